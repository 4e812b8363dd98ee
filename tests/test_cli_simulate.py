# amaranth: UnusedElaboratable=no
"""`bitfold simulate` on many images: files that ship, runs that are killed, what CI services read."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

import numpy as np
import pytest
from commands import run
from sim_nets import bits, images

from bitfold.hw.planner import fit
from bitfold.hw.verilog import known
from bitfold.hw.verilog.formats import Interface
from bitfold.hw.verilog.write import write
from bitfold.model.layers import BinaryConv, Chain, GlobalSum, Requantise, SumPool
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor

ENGINE = "icarus" if shutil.which("iverilog") else "verilator"


def small_net(flip=False):
    """Two convolutions; a weight of channel 2 of the first may have the other sign."""
    weights = bits(4, 1, 1, 2, seed=1)
    weights[2, 0, 0, 1] ^= flip
    head = Requantise(0, -8, 7), GlobalSum(), BinaryConv(bits(3, 1, 1, 4, seed=3))
    return Net(Tensor(2, 2, 2, -8, 7), Chain((BinaryConv(weights), *head)), ("a", "b", "c"))


NET = small_net()
PLAN = fit(NET, 4)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Shared, since Yosys is slow to start in an empty one."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def folder(tmp_path, cache, monkeypatch):
    """Where net.bitfold, plan.toml and images.npy are, three of them, and `cache`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache").symlink_to(cache)
    NET.save("net.bitfold")
    PLAN.save("plan.toml")
    np.save("images.npy", images(NET, 3))
    return tmp_path


def simulate(*words):
    return run("simulate", "net.bitfold", "--images", "images.npy", "--cache", "cache", *words)


def figures(*words, status=0):
    found, out, err = simulate(*words, "--json")
    assert found == status, err
    return json.loads(out)


def test_figures_say_what_was_run(folder):
    told = figures("--engine", "amaranth", "--plan", "plan.toml", "--pauses", 0.2, "--seed", 3, "-o", "logits.npy")
    assert told["exact"] is True
    assert told["images"] == 3
    assert (told["network"], told["plan"], told["verilog"]) == (NET.digest(), PLAN.digest(), None)
    assert (told["engine"], told["pauses"], told["seed"], told["version"]) == ("amaranth", 0.2, 3, "0.1.0")
    assert told["seconds"] > 0
    assert told["images_per_second"] > 0
    assert told["latency_cycles"] >= told["ideal_cycles_per_frame"] > 0
    np.testing.assert_array_equal(np.load("logits.npy"), NET(images(NET, 3)))


@pytest.mark.parametrize(
    ("name", "interface", "apart"),
    [
        ("bitfold", Interface(), False),
        ("net_1", Interface("class", padded=True, counted=True, aresetn=True, control="wishbone"), True),
    ],
)
def test_the_files_that_ship_are_simulated(folder, name, interface, apart, monkeypatch):
    """Under any name, with any ports, contents of memories beside them; and nothing is generated."""
    monkeypatch.setattr(known, "write_machine", None)
    path = write(NET, PLAN, folder / "ship", name, interface=interface, weights_file=apart)
    told = figures("--verilog", "ship", "--engine", ENGINE)
    assert told["exact"] is True
    assert told["plan"] == PLAN.digest()
    parts = [path, *(sorted(folder.glob("ship/*.mem")) if apart else ())]
    assert len(parts) > apart
    together = subprocess.run(["cat", *parts], capture_output=True, check=True).stdout
    said = subprocess.run(["sha256sum"], input=together, capture_output=True, check=True).stdout
    assert told["verilog"] == said.decode().split()[0]


def test_a_changed_file_that_ships_is_found(folder):
    """A bit of a memory's contents."""
    write(NET, PLAN, folder / "ship", weights_file=True)
    file = folder / "ship" / "bitfold__accelerator__layer_0__weights0.mem"
    content = file.read_text()
    place = next(i for i, c in enumerate(content) if c in "01")
    file.write_text(content[:place] + "10"[int(content[place])] + content[place + 1 :])
    np.save("images.npy", images(NET, 1))
    told = figures("--verilog", "ship", "--engine", ENGINE, status=1)
    assert told["exact"] is False
    assert told["first_difference"].startswith("layer 0 (BinaryConv with Requantise) is the first that differs")


def test_files_that_do_not_ship_are_one_line(folder):
    assert run("verilog", "net.bitfold", "--plan", "plan.toml", "-o", "ship", "--cache", "cache")[0] == 0
    right = (folder / "ship" / "bitfold.v").read_text()
    for spoil, says in [
        (lambda text: text.replace(NET.digest(), "a" * 64), "ship/bitfold.v is of the network aaaaaaaaaaaa, not "),
        (lambda text: "\n" + text, "ship/bitfold.v does not begin as bitfold writes it; write it again with bitfold"),
        (
            lambda text: text.replace("output [15:0] short_", "output [14:0] short_"),
            "ship/bitfold.v has not the ports of a machine of",
        ),
    ]:
        (folder / "ship" / "bitfold.v").write_text(spoil(right))
        status, out, err = simulate("--verilog", "ship")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"bitfold: {says}")
    for words, says in [
        (("--verilog", "ship", "--plan", "plan.toml"), "the plan of --verilog DIR lies there: leave out --plan and"),
        (("--verilog", "none"), "none is no folder with Verilog: write it again with bitfold verilog NET -o DIR"),
        (("--verilog", "."), ". must hold one machine, NAME.v beside NAME.toml, and there is none; write it again"),
        (("--waveform", "w.vcd", "--jobs", "2"), "--waveform is of one run from end to end: leave out --jobs, --dask"),
        (("-o", "x.npy", "--resume", "run"), "--resume keeps digests, not logits: leave out --output, or --resume"),
        (("--jobs", "0"), "--jobs must be a number from 1 to 4,096, not 0"),
        (("--set", "digits"), "give images by --images X.npy, or a data set by --set NAME"),
        (("--count", "3"), "--data and --count are of a data set: name one by --set"),
        (("--junit", "none/x.xml"), "none/x.xml cannot be written: No such file or directory; choose another place"),
    ]:
        status, out, err = simulate(*words)
        assert (status, out) == (2, ""), words
        assert err.startswith(f"bitfold: {says}")
    assert run("simulate", "net.bitfold")[2].startswith("bitfold: give images by --images X.npy, or a data set by")
    says = "bitfold: net.bitfold takes images of 2x2x2, those of digits are 8x8x1; --set must name the data set"
    assert run("simulate", "net.bitfold", "--set", "digits")[2].startswith(says)


def test_each_image_that_differs_is_a_failure_with_its_layer(folder):
    """A flipped weight of the Verilog: the layer, the position and the channel stand in the XML."""
    wrong = small_net(flip=True)
    path = write(wrong, PLAN, folder / "ship")
    path.write_text(path.read_text().replace(wrong.digest(), NET.digest()))
    status, _, err = simulate("--verilog", "ship", "--engine", ENGINE, "--junit", "x.xml")
    assert status == 1, err
    suite = ElementTree.parse("x.xml").getroot()[0]
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert list(cases) == ["image 0", "image 1", "image 2", "interface sheet"]
    different = (wrong(images(NET, 3)) != NET(images(NET, 3))).any(axis=(1, 2, 3))
    assert different.any()
    assert int(suite.get("tests")) == 4
    assert int(suite.get("failures")) == different.sum()
    assert int(suite.get("skipped")) == 1
    for image in range(3):
        failure = cases[f"image {image}"].find("failure")
        assert (failure is not None) == different[image]
        if failure is not None:
            assert failure.get("message").startswith("layer 0 (BinaryConv with Requantise) is the first that")
            told = dict(line.split(": ") for line in failure.text.splitlines())
            assert (told["layer"], told["channel"]) == ("0", "2")
            assert {"row", "column", "expected", "actual"} < told.keys()
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["network"] == NET.digest()


def test_a_machine_that_stands_still_is_a_failure_too(folder):
    path = write(NET, PLAN, folder / "ship")
    text = path.read_text()
    spoilt = text.replace("(m_axis_tready)", "(1'h0)").replace("(m_axis_tvalid)", "()")
    place = "  assign m_axis_tdata ="
    path.write_text(spoilt.replace(place, f"  assign m_axis_tvalid = 1'h0;\n{place}"))
    status, out, err = simulate("--verilog", "ship", "--engine", ENGINE, "--junit", "x.xml", "--json")
    assert status == 1
    assert err.startswith("bitfold: the machine stands still: ")
    assert json.loads(out)["exact"] is False
    suite = ElementTree.parse("x.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "3")
    [failure] = suite.iter("failure")
    assert failure.get("message").startswith("the machine stands still: ")
    assert "layer 1 " in failure.text


def test_a_right_machine_passes_all_its_cases(folder):
    assert simulate("--engine", "amaranth", "--junit", "x.xml")[0] == 0
    suite = ElementTree.parse("x.xml").getroot()[0]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "0", "0", "0"]
    assert not list(suite.iter("failure"))


def test_a_data_sets_images_are_judged_too(folder):
    pytest.importorskip("sklearn")
    from bitfold.model.train.data import open_data

    net = Net(Tensor(8, 8, 1, 0, 16), Chain((SumPool(4, 4), BinaryConv(bits(10, 2, 2, 1)))))
    net.save("digits.bitfold")
    words = ("--set", "digits", "--count", 17, "--jobs", 1, "--engine", "amaranth", "--cache", "cache", "--json")
    status, out, err = run("simulate", "digits.bitfold", *words)
    assert status == 0, err
    data = open_data("digits", None).test()
    wrong = net.classify(data.batch(np.arange(17))) != data.labels[:17]
    told = json.loads(out)
    assert (told["images"], told["exact"], told["test_error"]) == (17, True, wrong.mean())


TIMES = ("seconds", "images_per_second")


def test_a_killed_run_goes_on_and_gives_the_same(folder):
    np.save("images.npy", images(NET, 130))
    words = ["simulate", "net.bitfold", "--images", "images.npy", "--plan", "plan.toml", "--engine", "amaranth"]
    whole = figures("--plan", "plan.toml", "--engine", "amaranth", "--jobs", 2)
    command = [sys.executable, "-m", "bitfold", *words, "--jobs", "1", "--resume", "run", "--cache", "cache"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=env) as process:
        deadline = time.monotonic() + 300
        while not (folder / "run").exists() or (folder / "run").read_bytes().count(b"\n") < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = (folder / "run").read_bytes().count(b"\n") - 1
    assert 2 <= kept < 8
    resumed = figures("--plan", "plan.toml", "--engine", "amaranth", "--resume", "run", "--jobs", 1)
    assert {name: value for name, value in resumed.items() if name not in TIMES} == {
        name: value for name, value in whole.items() if name not in TIMES
    }
    assert (folder / "run").read_bytes().count(b"\n") == 9
    # Nothing is left to do, and other images are another run.
    again = figures("--plan", "plan.toml", "--engine", "amaranth", "--resume", "run")
    assert again == resumed | {name: again[name] for name in TIMES}
    np.save("images.npy", images(NET, 130, seed=1))
    status, out, err = simulate("--plan", "plan.toml", "--engine", "amaranth", "--resume", "run")
    assert (status, out) == (2, "")
    assert err.startswith("bitfold: run is of another run: there images_digest is '")
    assert err.count("\n") == 1


def test_a_second_run_generates_nothing(folder, monkeypatch):
    np.save("images.npy", images(NET, 1))
    first = figures("--engine", ENGINE)
    for work in ("arguments.fit", "arguments.balance"):
        monkeypatch.setattr(f"bitfold.cli.{work}", None)
    monkeypatch.setattr("bitfold.hw.verilog.known.write_machine", None)
    again = figures("--engine", ENGINE)
    assert {**again, **{name: first[name] for name in TIMES}} == first


def test_other_sources_networks_plans_and_ports_are_generated_anew(tmp_path, monkeypatch):
    made = []

    def write_machine(accelerator, directory, **how):
        made.append(how["interface"])
        (directory / "bitfold.v").write_text(f"// {len(made)}\n")
        return directory / "bitfold.v"

    monkeypatch.setattr(known, "write_machine", write_machine)
    (tmp_path / "out").mkdir()

    def text(net=NET, plan=PLAN, interface=Interface()):  # noqa: B008
        return known.verilog(net, plan, tmp_path / "out", tmp_path, interface).read_text()

    assert [text(), text()] == ["// 1\n"] * 2
    assert text(net=small_net(flip=True)) == "// 2\n"
    assert text(plan=fit(NET, 8)) == "// 3\n"
    assert text(interface=Interface(padded=True)) == "// 4\n"
    assert text() == "// 1\n"
    monkeypatch.setattr(known, "generator", lambda: b"another version")
    assert text() == "// 5\n"


def test_the_generators_key_covers_its_sources(monkeypatch):
    before = known.generator()
    known.generator.cache_clear()
    assert known.generator() == before
    read = known.Path.read_bytes
    for name in ("hw/array/mac.py", "hw/verilog/write.py", "model/layers.py"):
        known.generator.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(
                known.Path,
                "read_bytes",
                lambda path: read(path) + b"\n" * str(path).endswith(name),  # noqa: B023
            )
            assert known.generator() != before
    known.generator.cache_clear()
