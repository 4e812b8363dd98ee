// Cells of the vendors that stand between a board's pins and its logic, as a simulation without time sees them: buffers
// are wires, a PLL is a wire from the crystal and locks at once. Cells of logic and memory are the netlists' matter.

// ECP5
module IB(input I, output O);
  assign O = I;
endmodule
module OBZ(input I, input T, output O);
  assign O = I;
endmodule
module TRELLIS_IO(input I, input T, output O, inout B);
  parameter DIR = "INPUT";
  assign B = DIR == "OUTPUT" || (DIR == "BIDIR" && !T) ? I : 1'bz;
  assign O = B;
endmodule
module DCCA(input CLKI, input CE, output CLKO);
  assign CLKO = CLKI & CE;
endmodule
module EHXPLLL(input CLKI, CLKFB, PHASESEL1, PHASESEL0, PHASEDIR, PHASESTEP, PHASELOADREG, STDBY, PLLWAKESYNC, RST,
               ENCLKOP, ENCLKOS, ENCLKOS2, ENCLKOS3, output CLKOP, CLKOS, CLKOS2, CLKOS3, LOCK, INTLOCK, REFCLK,
               CLKINTFB);
  parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 1, CLKOP_CPHASE = 0, CLKOP_FPHASE = 0, CLKOS_DIV = 1,
            CLKOS_CPHASE = 0, CLKOS_FPHASE = 0;
  parameter FEEDBK_PATH = "", CLKOP_ENABLE = "", CLKOS_ENABLE = "", PLLRST_ENA = "", INTFB_WAKE = "",
            STDBY_ENABLE = "", DPHASE_SOURCE = "", OUTDIVIDER_MUXA = "", OUTDIVIDER_MUXB = "", OUTDIVIDER_MUXC = "",
            OUTDIVIDER_MUXD = "";
  assign CLKOP = CLKI, CLKOS = CLKI, LOCK = 1;
endmodule

// iCE40
module SB_IO(inout PACKAGE_PIN, input LATCH_INPUT_VALUE, CLOCK_ENABLE, INPUT_CLK, OUTPUT_CLK, OUTPUT_ENABLE, D_OUT_0,
             D_OUT_1, output D_IN_0, D_IN_1);
  parameter [5:0] PIN_TYPE = 0;
  parameter PULLUP = 0, NEG_TRIGGER = 0, IO_STANDARD = "";
  // Of the pin's kinds those without a register: 01xxxx is an output, 0000xx none, 1010xx one with an enable.
  assign PACKAGE_PIN = (PIN_TYPE[5:2] == 4'b0110 || (PIN_TYPE[5:2] == 4'b1010 && OUTPUT_ENABLE)) ? D_OUT_0 : 1'bz;
  assign D_IN_0 = PACKAGE_PIN;
endmodule
module SB_PLL40_PAD(input PACKAGEPIN, EXTFEEDBACK, BYPASS, RESETB, output PLLOUTCORE, PLLOUTGLOBAL, LOCK);
  parameter FEEDBACK_PATH = "", DIVR = 0, DIVF = 0, DIVQ = 0, FILTER_RANGE = 0;
  assign PLLOUTCORE = PACKAGEPIN, PLLOUTGLOBAL = PACKAGEPIN, LOCK = RESETB;
endmodule

// Gowin and Xilinx
module IBUF(input I, output O);
  assign O = I;
endmodule
module OBUF(input I, output O);
  assign O = I;
endmodule
module TBUF(input I, OEN, output O);
  assign O = I;
endmodule
module OBUFT(input I, T, output O);
  assign O = I;
endmodule
module BUFG(input I, output O);
  assign O = I;
endmodule
module rPLL(input CLKIN, CLKFB, RESET, RESET_P, input [5:0] FBDSEL, IDSEL, ODSEL, input [3:0] PSDA, DUTYDA, FDLY,
            output CLKOUT, CLKOUTP, CLKOUTD, CLKOUTD3, LOCK);
  parameter DEVICE = "", FCLKIN = "", DYN_IDIV_SEL = "", DYN_FBDIV_SEL = "", DYN_ODIV_SEL = "", DYN_DA_EN = "",
            PSDA_SEL = "", DUTYDA_SEL = "", CLKFB_SEL = "", CLKOUT_BYPASS = "", CLKOUTP_BYPASS = "",
            CLKOUTD_BYPASS = "", CLKOUTD_SRC = "", CLKOUTD3_SRC = "";
  parameter IDIV_SEL = 0, FBDIV_SEL = 0, ODIV_SEL = 0, CLKOUT_FT_DIR = 0, CLKOUTP_FT_DIR = 0, CLKOUT_DLY_STEP = 0,
            CLKOUTP_DLY_STEP = 0, DYN_SDIV_SEL = 0;
  assign CLKOUT = CLKIN, LOCK = 1;
endmodule
module FDPE(input C, CE, D, PRE, output reg Q);
  parameter INIT = 1'b1;
  initial Q = INIT;
  always @(posedge C, posedge PRE)
    if (PRE) Q <= 1;
    else if (CE) Q <= D;
endmodule
module PLLE2_BASE(input CLKIN1, CLKFBIN, RST, PWRDWN, output CLKOUT0, CLKOUT1, CLKOUT2, CLKOUT3, CLKOUT4, CLKOUT5,
                  CLKFBOUT, LOCKED);
  parameter CLKFBOUT_MULT = 5, CLKOUT0_DIVIDE = 1, DIVCLK_DIVIDE = 1;
  parameter real CLKIN1_PERIOD = 0.0;
  assign CLKOUT0 = CLKIN1, CLKFBOUT = CLKIN1, LOCKED = 1;
endmodule
