"""The names a user imports: every path as text or PathLike, every array as an array."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sim_nets import images, residual_net

import bitfold
from bitfold.model import zoo
from bitfold.model.card import Card

NET = residual_net()
PLAN = bitfold.fit(NET, 16)
IMAGES = images(NET, 2)


class Somewhere(os.PathLike):
    """A path that is neither text nor a Path."""

    def __init__(self, path):
        self.path = str(path)

    def __fspath__(self):
        return self.path


@pytest.mark.parametrize("kind", [str, Somewhere])
def test_paths_are_text_or_pathlike(kind, tmp_path):
    NET.save(kind(tmp_path / "net.bitfold"))
    assert bitfold.Net.load(kind(tmp_path / "net.bitfold")).digest() == NET.digest()
    PLAN.save(kind(tmp_path / "plan.toml"))
    assert bitfold.Plan.load(kind(tmp_path / "plan.toml")) == PLAN
    verilog = bitfold.write_verilog(NET, PLAN, kind(tmp_path / "v"))
    assert verilog == tmp_path / "v" / "bitfold.v"
    card = zoo.card("digits")
    card.save(kind(tmp_path / "card.json"))
    assert Card.load(kind(tmp_path / "card.json")) == card


def test_a_simulation_takes_them_too(tmp_path):
    places = {"build": Somewhere(tmp_path / "b"), "waveform": Somewhere(tmp_path / "w.vcd")}
    assert bitfold.check(NET, PLAN, IMAGES, engine="amaranth", **places).exact
    assert (tmp_path / "w.vcd").stat().st_size > 0
    bitfold.write_verilog(NET, PLAN, tmp_path)
    places = {
        name: str(tmp_path / file) for name, file in (("verilog", "bitfold.v"), ("build", "b"), ("waveform", "v"))
    }
    assert_array_equal(bitfold.simulate(NET, PLAN, IMAGES, **places).logits, NET(IMAGES))
    assert (tmp_path / "v").stat().st_size > 0


LAYOUTS = {
    "list": IMAGES.tolist(),
    "tuple": tuple(IMAGES),
    "Fortran": np.asfortranarray(IMAGES),
    "big-endian": IMAGES.astype(">i4"),
    "backwards": IMAGES[:, ::-1].copy()[:, ::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_of_every_layout_are_the_same(layout):
    expected = NET(IMAGES)
    assert_array_equal(NET(LAYOUTS[layout]), expected)
    assert_array_equal(NET.classify(LAYOUTS[layout]), NET.classify(IMAGES))
    assert_array_equal(bitfold.simulate(NET, PLAN, LAYOUTS[layout], engine="amaranth").logits, expected)


def test_a_check_takes_other_layouts_too():
    assert bitfold.check(NET, PLAN, LAYOUTS["list"], engine="amaranth").exact


REFUSED = {
    "the values must be integers, not float64": [IMAGES.astype(float), IMAGES.astype(float).tolist()],
    "the values must be integers, not bool": [IMAGES > 0],
    "the values must be integers, not object": [None, object()],
    "the values must be integers, not <U": ["images.npy"],
    "the values must be integers, not timedelta64": [IMAGES.astype("m8[s]")],
    "the values are no array": [[[1, 2], [3]]],
    "the array has the shape": [IMAGES[0], IMAGES[0].tolist(), 7],
}


@pytest.mark.parametrize("message", REFUSED)
def test_other_images_are_refused_in_a_sentence(message):
    for given in REFUSED[message]:
        for take in (
            NET,
            NET.classify,
            lambda given: bitfold.check(NET, PLAN, given, engine="amaranth"),
            lambda given: bitfold.simulate(NET, PLAN, given, engine="amaranth"),
        ):
            with pytest.raises(bitfold.BadInput, match=f"^{message}"):
                take(given)


def test_the_networks_that_ship_are_at_hand():
    """`import bitfold` brings them; one way leads to them: the names are the model's own."""
    assert bitfold.zoo.load("digits").digest() == bitfold.zoo.card("digits").digest
    assert bitfold.zoo.path("digits").name == "digits.bitfold"
    assert "digits" in bitfold.zoo.names()
    assert all(getattr(bitfold.zoo, name) is getattr(zoo, name) for name in bitfold.zoo.__all__)
    assert "zoo" in bitfold.__all__


def test_the_torch_modules_come_when_they_are_asked_for():
    """`import bitfold` needs no torch; what does says so where it is missing."""
    program = """
import sys
import bitfold
assert not {"torch", "bitfold.nn", "bitfold.model.export"} & set(sys.modules)
sys.modules["torch"] = None
for name in ("nn", "export", "calibrate"):
    try:
        getattr(bitfold, name)
    except ImportError as error:
        print(error)
print(hasattr(bitfold, "neither"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    told = [f"bitfold.{name} needs torch: pip install 'bitfold[train]'" for name in ("nn", "export", "calibrate")]
    assert (done.stdout.splitlines(), done.stderr) == ([*told, "False"], "")


def test_the_torch_modules_are_the_networks_own():
    pytest.importorskip("torch")
    from bitfold.model import export
    from bitfold.model.train import calibrate, modules

    assert bitfold.export is export.export
    assert bitfold.calibrate is calibrate.calibrate
    assert {name: getattr(bitfold.nn, name) for name in bitfold.nn.__all__} == {
        name: getattr(modules, name) for name in bitfold.nn.__all__
    }
