// Memory blocks of the 7 series, of which Yosys has no behaviour: as AMD's user guide 473 says, for one clock, without
// their output registers and resets, which Yosys does not use for a machine.
//
// A block is bytes with a parity bit each. A word of 9, 18, 36 or 72 bits is bytes side by side, one of 1, 2 or 4 bits a
// part of a byte; addresses count bits. What a port reads of a word that the other one writes is the word before, where
// both read first, and else not defined: here its opposite.

module ramb_core #(
  parameter BITS = 14, parameter [(1 << BITS) - 1:0] DATA = 0, parameter [(1 << BITS - 3) - 1:0] PARITY = 0,
  parameter READ_A = 0, WRITE_A = 0, READ_B = 0, WRITE_B = 0, MODE_A = "WRITE_FIRST", MODE_B = "WRITE_FIRST")(
  input clk, en_a, en_b, input [BITS-1:0] at_a, at_b, input [7:0] we_a, we_b, input [63:0] di_a, di_b,
  input [7:0] dip_a, dip_b, output [63:0] do_a, do_b, output [7:0] dop_a, dop_b);
  reg [8:0] bytes [0:(1 << BITS - 3) - 1];
  integer n;
  initial
    for (n = 0; n < 1 << BITS - 3; n = n + 1)
      bytes[n] = {PARITY[n], DATA[n * 8 +: 8]};

  // The first byte of a word, and how many there are.
  function [BITS-4:0] first(input integer width, input [BITS-1:0] at);
    first = at[BITS-1:3] & ~(count(width) - 1);
  endfunction
  function [BITS-4:0] count(input integer width);
    count = width < 9 ? 1 : width / 9;
  endfunction
  function [7:0] part(input integer width, input [2:0] at);
    part = ((8'd1 << width) - 8'd1) << (at & ~(width[2:0] - 3'd1));
  endfunction

  reg [71:0] out_a = 0, out_b = 0;
  reg [71:0] was_a, was_b;
  integer k;
  reg [BITS-4:0] place;
  reg wrote_a, wrote_b;

  function [71:0] word(input integer width, input [BITS-1:0] at);
    integer i;
    begin
      word = 0;
      if (width != 0 && width < 9)
        word[7:0] = (bytes[at[BITS-1:3]][7:0] & part(width, at[2:0])) >> (at[2:0] & ~(width[2:0] - 3'd1));
      else
        for (i = 0; i < width / 9; i = i + 1)
          {word[64 + i], word[8 * i +: 8]} = bytes[first(width, at) + i];
    end
  endfunction
  function meets(input integer read, input [BITS-1:0] at, input integer write, input [BITS-1:0] to);
    meets = first(read, at) < first(write, to) + count(write) && first(write, to) < first(read, at) + count(read);
  endfunction

  always @(posedge clk) begin
    was_a = word(READ_A, at_a);
    was_b = word(READ_B, at_b);
    wrote_a = en_a && WRITE_A != 0 && we_a != 0;
    wrote_b = en_b && WRITE_B != 0 && we_b != 0;
    if (wrote_b && meets(READ_A, at_a, WRITE_B, at_b) && MODE_B != "READ_FIRST") was_a = ~was_a;
    if (wrote_a && meets(READ_B, at_b, WRITE_A, at_a) && MODE_A != "READ_FIRST") was_b = ~was_b;
    if (wrote_a)
      for (k = 0; k < count(WRITE_A); k = k + 1) begin
        place = first(WRITE_A, at_a) + k;
        if (WRITE_A < 9)
          bytes[place] = (bytes[place] & ~{1'b0, part(WRITE_A, at_a[2:0])})
            | ({1'b0, part(WRITE_A, at_a[2:0])} & (di_a[8:0] << (at_a[2:0] & ~(WRITE_A[2:0] - 3'd1))));
        else if (we_a[k])
          bytes[place] = {dip_a[k], di_a[8 * k +: 8]};
      end
    if (wrote_b)
      for (k = 0; k < count(WRITE_B); k = k + 1) begin
        place = first(WRITE_B, at_b) + k;
        if (WRITE_B < 9)
          bytes[place] = (bytes[place] & ~{1'b0, part(WRITE_B, at_b[2:0])})
            | ({1'b0, part(WRITE_B, at_b[2:0])} & (di_b[8:0] << (at_b[2:0] & ~(WRITE_B[2:0] - 3'd1))));
        else if (we_b[k])
          bytes[place] = {dip_b[k], di_b[8 * k +: 8]};
      end
    if (en_a && !(wrote_a && MODE_A == "NO_CHANGE"))
      out_a <= wrote_a && MODE_A == "WRITE_FIRST" ? word(READ_A, at_a) : was_a;
    if (en_b && !(wrote_b && MODE_B == "NO_CHANGE"))
      out_b <= wrote_b && MODE_B == "WRITE_FIRST" ? word(READ_B, at_b) : was_b;
  end
  assign {dop_a, do_a} = out_a, {dop_b, do_b} = out_b;
endmodule

`define INITS(P, H) \
  P``H``0 = 256'd0, P``H``1 = 256'd0, P``H``2 = 256'd0, P``H``3 = 256'd0, P``H``4 = 256'd0, P``H``5 = 256'd0, \
  P``H``6 = 256'd0, P``H``7 = 256'd0, P``H``8 = 256'd0, P``H``9 = 256'd0, P``H``A = 256'd0, P``H``B = 256'd0, \
  P``H``C = 256'd0, P``H``D = 256'd0, P``H``E = 256'd0, P``H``F = 256'd0
`define ROW(P, H) P``H``F, P``H``E, P``H``D, P``H``C, P``H``B, P``H``A, P``H``9, P``H``8, P``H``7, P``H``6, P``H``5, \
  P``H``4, P``H``3, P``H``2, P``H``1, P``H``0
`define SETTINGS parameter integer DOA_REG = 0, DOB_REG = 0, READ_WIDTH_A = 0, READ_WIDTH_B = 0, WRITE_WIDTH_A = 0, \
    WRITE_WIDTH_B = 0; \
  parameter RAM_MODE = "TDP", WRITE_MODE_A = "WRITE_FIRST", WRITE_MODE_B = "WRITE_FIRST", SIM_DEVICE = "7SERIES", \
    RAM_EXTENSION_A = "NONE", RAM_EXTENSION_B = "NONE", INIT_A = 0, INIT_B = 0, SRVAL_A = 0, SRVAL_B = 0; \
  parameter IS_CLKARDCLK_INVERTED = 0, IS_CLKBWRCLK_INVERTED = 0, IS_ENARDEN_INVERTED = 0, IS_ENBWREN_INVERTED = 0, \
    IS_RSTRAMARSTRAM_INVERTED = 0, IS_RSTRAMB_INVERTED = 0, IS_RSTREGARSTREG_INVERTED = 0, IS_RSTREGB_INVERTED = 0; \
  wire clk = CLKARDCLK | CLKBWRCLK; \
  always @(posedge clk) \
    if (RSTRAMARSTRAM || RSTRAMB || DOA_REG != 0 || DOB_REG != 0 || RAM_EXTENSION_A != "NONE" \
        || IS_CLKARDCLK_INVERTED != 0 || IS_CLKBWRCLK_INVERTED != 0 || IS_ENARDEN_INVERTED != 0 \
        || IS_ENBWREN_INVERTED != 0) begin \
      $display("RAMB: this model has no resets, output registers, cascades and inverted pins"); \
      $finish; \
    end

module RAMB18E1(
  input CLKARDCLK, CLKBWRCLK, ENARDEN, ENBWREN, REGCEAREGCE, REGCEB, RSTRAMARSTRAM, RSTRAMB, RSTREGARSTREG, RSTREGB,
  input [13:0] ADDRARDADDR, ADDRBWRADDR, input [15:0] DIADI, DIBDI, input [1:0] DIPADIP, DIPBDIP, WEA,
  input [3:0] WEBWE, output [15:0] DOADO, DOBDO, output [1:0] DOPADOP, DOPBDOP);
  parameter [255:0] `INITS(INIT_, 0), `INITS(INIT_, 1), `INITS(INIT_, 2), `INITS(INIT_, 3), INITP_00 = 256'd0,
    INITP_01 = 256'd0, INITP_02 = 256'd0, INITP_03 = 256'd0, INITP_04 = 256'd0, INITP_05 = 256'd0, INITP_06 = 256'd0,
    INITP_07 = 256'd0;
  `SETTINGS
  localparam SDP = RAM_MODE == "SDP";
  wire [63:0] do_a, do_b;
  wire [7:0] dop_a, dop_b;
  ramb_core #(
    .BITS(14), .DATA({`ROW(INIT_, 3), `ROW(INIT_, 2), `ROW(INIT_, 1), `ROW(INIT_, 0)}),
    .PARITY({INITP_07, INITP_06, INITP_05, INITP_04, INITP_03, INITP_02, INITP_01, INITP_00}),
    .READ_A(READ_WIDTH_A), .WRITE_A(WRITE_WIDTH_A), .READ_B(READ_WIDTH_B), .WRITE_B(WRITE_WIDTH_B),
    .MODE_A(WRITE_MODE_A), .MODE_B(WRITE_MODE_B)
  ) core(
    clk, ENARDEN, ENBWREN, ADDRARDADDR, ADDRBWRADDR, {6'd0, WEA}, SDP ? {4'd0, WEBWE} : {6'd0, WEBWE[1:0]},
    {48'd0, DIADI}, WRITE_WIDTH_B == 36 ? {32'd0, DIBDI, DIADI} : {48'd0, DIBDI}, {6'd0, DIPADIP},
    WRITE_WIDTH_B == 36 ? {4'd0, DIPBDIP, DIPADIP} : {6'd0, DIPBDIP}, do_a, do_b, dop_a, dop_b);
  assign DOADO = do_a[15:0], DOPADOP = dop_a[1:0];
  assign DOBDO = READ_WIDTH_A == 36 ? do_a[31:16] : do_b[15:0], DOPBDOP = READ_WIDTH_A == 36 ? dop_a[3:2] : dop_b[1:0];
endmodule

module RAMB36E1(
  input CLKARDCLK, CLKBWRCLK, ENARDEN, ENBWREN, REGCEAREGCE, REGCEB, RSTRAMARSTRAM, RSTRAMB, RSTREGARSTREG, RSTREGB,
  CASCADEINA, CASCADEINB, INJECTDBITERR, INJECTSBITERR, input [15:0] ADDRARDADDR, ADDRBWRADDR, input [31:0] DIADI, DIBDI,
  input [3:0] DIPADIP, DIPBDIP, WEA, input [7:0] WEBWE, output [31:0] DOADO, DOBDO, output [3:0] DOPADOP, DOPBDOP,
  output CASCADEOUTA, CASCADEOUTB, DBITERR, SBITERR, output [7:0] ECCPARITY, output [8:0] RDADDRECC);
  parameter [255:0] `INITS(INIT_, 0), `INITS(INIT_, 1), `INITS(INIT_, 2), `INITS(INIT_, 3), `INITS(INIT_, 4),
    `INITS(INIT_, 5), `INITS(INIT_, 6), `INITS(INIT_, 7), `INITS(INITP_, 0);
  `SETTINGS
  wire [63:0] do_a, do_b;
  wire [7:0] dop_a, dop_b;
  ramb_core #(
    .BITS(15), .DATA({`ROW(INIT_, 7), `ROW(INIT_, 6), `ROW(INIT_, 5), `ROW(INIT_, 4), `ROW(INIT_, 3), `ROW(INIT_, 2),
    `ROW(INIT_, 1), `ROW(INIT_, 0)}), .PARITY({`ROW(INITP_, 0)}),
    .READ_A(READ_WIDTH_A), .WRITE_A(WRITE_WIDTH_A), .READ_B(READ_WIDTH_B), .WRITE_B(WRITE_WIDTH_B),
    .MODE_A(WRITE_MODE_A), .MODE_B(WRITE_MODE_B)
  ) core(
    clk, ENARDEN, ENBWREN, ADDRARDADDR[14:0], ADDRBWRADDR[14:0], {4'd0, WEA},
    RAM_MODE == "SDP" ? WEBWE : {4'd0, WEBWE[3:0]}, {32'd0, DIADI},
    WRITE_WIDTH_B == 72 ? {DIBDI, DIADI} : {32'd0, DIBDI}, {4'd0, DIPADIP},
    WRITE_WIDTH_B == 72 ? {DIPBDIP, DIPADIP} : {4'd0, DIPBDIP}, do_a, do_b, dop_a, dop_b);
  assign DOADO = do_a[31:0], DOPADOP = dop_a[3:0];
  assign DOBDO = READ_WIDTH_A == 72 ? do_a[63:32] : do_b[31:0], DOPBDOP = READ_WIDTH_A == 72 ? dop_a[7:4] : dop_b[3:0];
  assign CASCADEOUTA = 0, CASCADEOUTB = 0, DBITERR = 0, SBITERR = 0, ECCPARITY = 0, RDADDRECC = 0;
endmodule
