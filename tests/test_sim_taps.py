"""Streams read back from a waveform."""

import pytest

from bitfold.sim.taps import Stream, expose, read

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


def test_only_the_named_streams_are_traced():
    text = "module m;\n  wire a_valid;\n  wire [3:0] a_codes;\n  wire [3:0] b_codes;\nendmodule\n"
    on, off = "/* verilator tracing_on */", "/* verilator tracing_off */"
    assert expose(text, ["a"]) == (
        f"{off}\nmodule m;\n{on}  wire a_valid;{off}\n{on}  wire [3:0] a_codes;{off}\n"
        "  wire [3:0] b_codes;\nendmodule\n"
    )
