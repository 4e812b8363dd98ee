"""Streams read back from a waveform."""

import re

import pytest

from bitfold.sim.taps import Stream, expose, read, rising_edges

VCD = """$timescale 1ns $end
$scope module top $end
$var wire 1 ! clk $end
$var wire 1 " a_valid $end
$var wire 1 # a_ready $end
$var wire 4 $ a_codes [3:0] $end
$upscope $end
$enddefinitions $end
#0
0!
0"
1#
b0000 $
#5
1!
1"
b0101 $
#10
0!
#15
1!
b0110 $
#20
0!
b0111 $
#25
1!
0#
bxx11 $
#30
0!
#35
1!
1#
#40
0!
#45
1!
0"
"""


def test_a_word_is_what_stood_there_just_before_the_rising_edge(tmp_path):
    path = tmp_path / "a.vcd"
    path.write_text(VCD)
    assert read(path, ["a"]) == {"a": Stream([0b0101, 0b0111, None], True, True)}


def test_a_missing_signal_is_named(tmp_path):
    path = tmp_path / "a.vcd"
    path.write_text(VCD)
    with pytest.raises(KeyError, match="has no signal b_codes"):
        read(path, ["a", "b"])


VERILOG = """module inner(clk, valid);
  output valid;
  reg valid = 1'h0;
  wire valid1;
endmodule
module bitfold(clk);
  wire [3:0] codes;
  inner  a (
    .valid(valid)
  );
  inner  b (
    .valid(valid2)
  );
endmodule
"""


def test_only_the_named_signals_are_traced_and_what_leads_to_them():
    on, off = "/* verilator tracing_on */", "/* verilator tracing_off */"
    marked = VERILOG
    for text in ("  output valid;", "  reg valid = 1'h0;", "  inner  a (\n    .valid(valid)\n  );"):
        marked = marked.replace(text, on + text + off)
    assert expose(VERILOG, ["a.valid"]) == f"{off}\n{marked}"
    codes = "  wire [3:0] codes;"
    assert expose(VERILOG, ["codes"]) == f"{off}\n{VERILOG.replace(codes, on + codes + off)}"


@pytest.mark.parametrize("path", ["c.valid", "a.ready", "valid", "a.b.valid"])
def test_a_path_that_leads_nowhere_is_named(path):
    with pytest.raises(KeyError, match=re.escape(f"the Verilog has no {path}")):
        expose(VERILOG, [path])


def test_a_signal_is_found_by_the_end_of_its_path(tmp_path):
    path = tmp_path / "a.vcd"
    scopes = "".join(f"$scope module {name} $end\n$var wire 1 {code} valid $end\n$upscope $end\n" for name, code in
                     (("ba", "$"), ("a", "#"), ("b", "%")))  # fmt: skip
    path.write_text(
        f"$scope module top $end\n$var wire 1 ! clk $end\n{scopes}$upscope $end\n$enddefinitions $end\n"
        "#0\n0!\n0$\n1#\n0%\n#5\n1!\n#10\n0!\n1$\n#15\n1!\n"
    )
    found = [dict(value) for value, _ in rising_edges(path, ["a.valid", "top.ba.valid", "b.valid"])]
    assert [(v["a.valid"], v["top.ba.valid"], v["b.valid"]) for v in found] == [("1", "0", "0"), ("1", "1", "0")]
    with pytest.raises(KeyError, match=r"has no signal top\.valid"):
        list(rising_edges(path, ["top.valid"]))
