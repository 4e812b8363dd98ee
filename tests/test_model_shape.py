"""What networks of one shape have in common."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from loads import another
from machines import examples
from sim_nets import INPUT, KINDS, residual_net
from strategies import nets

from bitfold.model.error import BadInput
from bitfold.model.layers import Chain, Requantise, Scale, Table
from bitfold.model.net import Net
from bitfold.model.shape import shape
from bitfold.model.tensor import Tensor

NETS = {name: Net(INPUT, body) for name, body in KINDS.items()}


@pytest.mark.parametrize("kind", NETS)
def test_networks_that_differ_in_contents_have_one_shape(kind):
    net = NETS[kind]
    assert shape(net).digest() == shape(another(net, 1)).digest() == shape(shape(net)).digest()


@given(st.data(), st.integers(0, 99))
@examples(30, shrink=False)
def test_intervals_of_the_shape_contain_the_networks(data, seed):
    net = data.draw(nets(ops=1000, side=4))
    try:
        shape(net)
    except BadInput:
        event("a table behind factors that may be larger")
        return
    inside, outside = net.output, shape(net).output
    assert (inside.shape, inside.frac) == (outside.shape, outside.frac)
    assert outside.lo <= inside.lo <= inside.hi <= outside.hi


def scale(*factors):
    return shape(Net(INPUT, Chain((Scale(np.array(factors)),)))).body.layers[0].factors.tolist()


def test_factors_keep_bits_and_signs():
    assert scale(3, 5) == scale(0, 7) == [7, 7]
    assert scale(-3, -5) == scale(-7, 0) == [-7, -7]
    assert scale(3, -5) == scale(-1, 4) == [7, -7]
    assert scale(0, 0) == [0, 0]


def test_names_and_preprocessing_are_not_of_the_shape():
    net = residual_net()
    assert shape(replace(net, classes=(), preprocessing="x")).digest() == shape(net).digest()


@pytest.mark.parametrize(
    "other",
    [
        Chain((Requantise(1, -3, 2),)),
        Chain((Requantise(2, -3, 2, np.array([1, -5])),)),
        Chain((Requantise(1, -3, 3, np.array([1, -5])),)),
        Chain((Requantise(1, -3, 2, np.array([1, -5])), Requantise(0, -3, 2))),
    ],
)
def test_layers_shifts_and_clips_are(other):
    assert shape(Net(INPUT, other)).digest() != shape(NETS["requantise"]).digest()


def test_a_table_keeps_its_least_and_its_largest_value():
    table = shape(NETS["table"]).body.layers[0]
    assert isinstance(table, Table)
    assert table.reach == (-20, 12)


def test_factors_that_a_table_does_not_bear_are_refused():
    """Of as many bits as 4 is 7, and the table has values for 4 times the input alone."""
    net = Net(Tensor(1, 1, 1, 0, 7), Chain((Scale(np.array([4])), Table(np.arange(29), 0))))
    with pytest.raises(
        BadInput, match=r"^weights that are loaded, with the largest factors of as many bits: layer 1 \("
    ):
        shape(net)
