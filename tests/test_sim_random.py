"""Random networks under random foldings: the generated Verilog against the reference."""

import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import examples, plans
from strategies import images, nets

from bitfold.sim.simulate import check

HAS_ICARUS = shutil.which("iverilog") is not None
"""Without Icarus, which starts within a second, a few examples go through Verilator and many through Amaranth."""


def check_exact(data: st.DataObject, pauses: float, engine: str) -> None:
    net = data.draw(nets(ops=3000, side=7))
    plan = data.draw(plans(net))
    report = check(net, plan, images(net, 3), engine=engine, pauses=pauses, seed=1)
    assert report.exact, report.first
    np.testing.assert_array_equal(report.run.logits, net(images(net, 3)))


@given(st.data(), st.sampled_from([0.0, 0.3]))
@examples(8)
def test_random_networks(data, pauses):
    check_exact(data, pauses, "icarus" if HAS_ICARUS else "verilator")


@pytest.mark.slow
@given(st.data(), st.sampled_from([0.0, 0.3, 0.6]))
@examples(200)
def test_random_networks_at_length(data, pauses):
    check_exact(data, pauses, "icarus" if HAS_ICARUS else "amaranth")
