"""The networks that ship: they load, are as small and as accurate as their README says."""

from __future__ import annotations

import re

import pytest

from bitfold.model import zoo
from bitfold.model.error import BadInput


def test_an_unknown_name_lists_the_known():
    assert "digits" in zoo.names()
    with pytest.raises(BadInput, match=r"the zoo has no network 'digit'; it has .*digits"):
        zoo.path("digit")


@pytest.mark.parametrize("name", zoo.names())
def test_a_network_is_described_as_it_is(name):
    readme = zoo.path(name).with_name("README.md").read_text()
    described = re.search(rf"^\| {name} \|(.*)\|$", readme, re.MULTILINE)
    assert described, f"{name} is missing in the zoo's README"
    net = zoo.load(name)
    assert f"{net.weights:,}" in described[1]
    assert f"{zoo.path(name).stat().st_size:,}" in described[1]
    assert net.digest()[:12] in readme


def test_the_digits_network_recognises_the_held_out_fifth():
    pytest.importorskip("sklearn")
    from bitfold.model.train.data import digits

    held_out = digits().held_out
    right = int((zoo.load("digits").classify(held_out.images) == held_out.labels).sum())
    readme = zoo.path("digits").with_name("README.md").read_text()
    assert f"{right} of {len(held_out)}" in readme
    assert right / len(held_out) >= 0.985
