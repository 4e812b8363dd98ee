// Memory of the ECP5, of which Yosys has no model: what its mapping makes of it, and registers at its outputs.
//
// A block is 1,024 words of 18 bits. Narrower words are parts of them, those of 4, 2 and 1 bits of the lower 8 of 9;
// one of 36 bits is two words, which leave and come through both ports' pins.

module DP16KD(
  input CLKA, WEA, CEA, OCEA, RSTA, CSA0, CSA1, CSA2, ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9,
    ADA10, ADA11, ADA12, ADA13, DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12,
    DIA13, DIA14, DIA15, DIA16, DIA17, CLKB, WEB, CEB, OCEB, RSTB, CSB0, CSB1, CSB2, ADB0, ADB1, ADB2, ADB3, ADB4,
    ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13, DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8,
    DIB9, DIB10, DIB11, DIB12, DIB13, DIB14, DIB15, DIB16, DIB17,
  output DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13, DOA14, DOA15, DOA16,
    DOA17, DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13, DOB14, DOB15,
    DOB16, DOB17);
  parameter [319:0] INITVAL_00 = 320'd0, INITVAL_01 = 320'd0, INITVAL_02 = 320'd0, INITVAL_03 = 320'd0,
    INITVAL_04 = 320'd0, INITVAL_05 = 320'd0, INITVAL_06 = 320'd0, INITVAL_07 = 320'd0, INITVAL_08 = 320'd0,
    INITVAL_09 = 320'd0, INITVAL_0A = 320'd0, INITVAL_0B = 320'd0, INITVAL_0C = 320'd0, INITVAL_0D = 320'd0,
    INITVAL_0E = 320'd0, INITVAL_0F = 320'd0, INITVAL_10 = 320'd0, INITVAL_11 = 320'd0, INITVAL_12 = 320'd0,
    INITVAL_13 = 320'd0, INITVAL_14 = 320'd0, INITVAL_15 = 320'd0, INITVAL_16 = 320'd0, INITVAL_17 = 320'd0,
    INITVAL_18 = 320'd0, INITVAL_19 = 320'd0, INITVAL_1A = 320'd0, INITVAL_1B = 320'd0, INITVAL_1C = 320'd0,
    INITVAL_1D = 320'd0, INITVAL_1E = 320'd0, INITVAL_1F = 320'd0, INITVAL_20 = 320'd0, INITVAL_21 = 320'd0,
    INITVAL_22 = 320'd0, INITVAL_23 = 320'd0, INITVAL_24 = 320'd0, INITVAL_25 = 320'd0, INITVAL_26 = 320'd0,
    INITVAL_27 = 320'd0, INITVAL_28 = 320'd0, INITVAL_29 = 320'd0, INITVAL_2A = 320'd0, INITVAL_2B = 320'd0,
    INITVAL_2C = 320'd0, INITVAL_2D = 320'd0, INITVAL_2E = 320'd0, INITVAL_2F = 320'd0, INITVAL_30 = 320'd0,
    INITVAL_31 = 320'd0, INITVAL_32 = 320'd0, INITVAL_33 = 320'd0, INITVAL_34 = 320'd0, INITVAL_35 = 320'd0,
    INITVAL_36 = 320'd0, INITVAL_37 = 320'd0, INITVAL_38 = 320'd0, INITVAL_39 = 320'd0, INITVAL_3A = 320'd0,
    INITVAL_3B = 320'd0, INITVAL_3C = 320'd0, INITVAL_3D = 320'd0, INITVAL_3E = 320'd0, INITVAL_3F = 320'd0;
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG", RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC",
            CSDECODE_A = "0b000", CSDECODE_B = "0b000", CLKAMUX = "CLKA", CLKBMUX = "CLKB", WRITEMODE_A = "NORMAL",
            WRITEMODE_B = "NORMAL", GSR = "ENABLED";

  localparam [64*320-1:0] INIT = {INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39,
    INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27,
    INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E,
    INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16, INITVAL_15,
    INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C,
    INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08, INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03,
    INITVAL_02, INITVAL_01, INITVAL_00};

  reg [17:0] words [0:1023];
  integer n;
  initial
    for (n = 0; n < 1024; n = n + 1)
      words[n] = INIT[n / 16 * 320 + n % 16 * 20 +: 18];
  initial
    if (CLKAMUX != "CLKA" || CLKBMUX != "CLKB") begin
      $display("DP16KD: this model has no inverted clocks");
      $finish;
    end

  // Bits of a word that an address chooses, and where they begin.
  function [17:0] part(input integer width, input [17:0] word, input [13:0] address);
    case (width)
      1: part = {17'd0, word[address[3] * 9 + address[2:0]]};
      2: part = {16'd0, word[address[3] * 9 + address[2:1] * 2 +: 2]};
      4: part = {14'd0, word[address[3] * 9 + address[2] * 4 +: 4]};
      9: part = {9'd0, word[address[3] * 9 +: 9]};
      default: part = word;
    endcase
  endfunction
  function [17:0] merged(input integer width, input [17:0] word, input [13:0] address, input [1:0] bytes,
                         input [17:0] data);
    begin
      merged = word;
      case (width)
        1: merged[address[3] * 9 + address[2:0]] = data[0];
        2: merged[address[3] * 9 + address[2:1] * 2 +: 2] = data[1:0];
        4: merged[address[3] * 9 + address[2] * 4 +: 4] = data[3:0];
        9: merged[address[3] * 9 +: 9] = data[8:0];
        default: begin
          if (bytes[0]) merged[8:0] = data[8:0];
          if (bytes[1]) merged[17:9] = data[17:9];
        end
      endcase
    end
  endfunction

  wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [17:0] data_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0};
  reg [17:0] out_a = 0, more_a = 0;
  wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [17:0] data_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0};
  reg [17:0] out_b = 0, more_b = 0;

  // A write takes effect with the blocking assignment: what a port then gives is by its mode the word before or after.
  always @(posedge CLKA) begin : port_a
    reg [17:0] was;
    was = words[address_a[13:4]];
    if (CEA) begin
      if (DATA_WIDTH_A == 36) begin
        out_a <= words[{address_a[13:5], 1'b0}];
        more_a <= words[{address_a[13:5], 1'b1}];
        if (WEA) begin
          words[{address_a[13:5], 1'b0}] = merged(18, words[{address_a[13:5], 1'b0}], 14'd0, address_a[1:0], data_a);
          words[{address_a[13:5], 1'b1}] = merged(18, words[{address_a[13:5], 1'b1}], 14'd0, address_a[3:2], data_b);
        end
      end else begin
        if (WEA)
          words[address_a[13:4]] = merged(DATA_WIDTH_A, was, address_a, address_a[1:0], data_a);
        if (!WEA || WRITEMODE_A == "READBEFOREWRITE")
          out_a <= part(DATA_WIDTH_A, was, address_a);
        else if (WRITEMODE_A == "WRITETHROUGH")
          out_a <= part(DATA_WIDTH_A, words[address_a[13:4]], address_a);
      end
    end
    if (RSTA && RESETMODE != "SYNC") begin
      $display("DP16KD: this model has no asynchronous reset");
      $finish;
    end
    if (RSTA) begin
      out_a <= 0;
      more_a <= 0;
    end
  end
  always @(posedge CLKB) begin : port_b
    reg [17:0] was;
    was = words[address_b[13:4]];
    if (CEB) begin
      if (DATA_WIDTH_B == 36) begin
        out_b <= words[{address_b[13:5], 1'b0}];
        more_b <= words[{address_b[13:5], 1'b1}];
        if (WEB) begin
          words[{address_b[13:5], 1'b0}] = merged(18, words[{address_b[13:5], 1'b0}], 14'd0, address_b[1:0], data_a);
          words[{address_b[13:5], 1'b1}] = merged(18, words[{address_b[13:5], 1'b1}], 14'd0, address_b[3:2], data_b);
        end
      end else begin
        if (WEB)
          words[address_b[13:4]] = merged(DATA_WIDTH_B, was, address_b, address_b[1:0], data_b);
        if (!WEB || WRITEMODE_B == "READBEFOREWRITE")
          out_b <= part(DATA_WIDTH_B, was, address_b);
        else if (WRITEMODE_B == "WRITETHROUGH")
          out_b <= part(DATA_WIDTH_B, words[address_b[13:4]], address_b);
      end
    end
    if (RSTB && RESETMODE != "SYNC") begin
      $display("DP16KD: this model has no asynchronous reset");
      $finish;
    end
    if (RSTB) begin
      out_b <= 0;
      more_b <= 0;
    end
  end

  // The reader of 36 bits is port B: its lower word leaves by port A's pins.
  wire [17:0] given_a = DATA_WIDTH_B == 36 ? out_b : out_a;
  wire [17:0] given_b = DATA_WIDTH_B == 36 ? more_b : out_b;
  reg [17:0] held_a = 0, held_b = 0;
  wire clock_a = DATA_WIDTH_B == 36 ? CLKB : CLKA;
  always @(posedge clock_a)
    if (OCEA) held_a <= given_a;
  always @(posedge CLKB)
    if (OCEB) held_b <= given_b;
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0}
    = REGMODE_A == "OUTREG" ? held_a : given_a;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0}
    = REGMODE_B == "OUTREG" ? held_b : given_b;
endmodule
