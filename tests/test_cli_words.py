"""Whatever a person types or a file says: a status of 0, 1 or 2, and for 2 one line that anybody can read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from commands import run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitfold.cli.main import COMMANDS
from bitfold.model import zoo
from bitfold.model.layers import BinaryConv, Chain, Requantise
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor


def refused(*words):
    """What the one line says."""
    status, out, err = run(*words)
    assert (status, out) == (2, ""), (words, status, out, err)
    assert err.startswith("bitfold: ")
    assert err.endswith("\n")
    line = err[:-1]
    assert "\n" not in line
    assert not any(ord(c) < 32 or ord(c) in range(127, 160) or 0xD800 <= ord(c) < 0xE000 for c in line), ascii(line)
    return line.removeprefix("bitfold: ")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a network, its images and its plan."""
    folder = tmp_path_factory.mktemp("small")
    random = np.random.default_rng(7)
    body = Chain((BinaryConv(random.random((4, 3, 3, 2)) < 0.5, padding=(1, 1, 1, 1)), Requantise(2, -4, 11)))
    net = Net(Tensor(4, 4, 2, 0, 15), body)
    net.save(folder / "small.bitfold")
    np.save(folder / "images.npy", random.integers(0, 16, (3, 4, 4, 2), dtype=np.uint8))
    assert run("verilog", folder / "small.bitfold", "-o", folder / "v")[0] == 0
    (folder / "v" / "bitfold.toml").rename(folder / "plan.toml")
    return folder


def test_alone_it_shows_its_help():
    status, out, err = run()
    assert (status, err) == (0, "")
    assert out == run("--help")[1]
    assert all(name in out for name in COMMANDS)


def test_it_tells_its_version():
    assert run("--version") == (0, "bitfold 0.1.0\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help(name):
    status, out, err = run(name, "--help")
    assert (status, err) == (0, "")
    assert f"Usage: bitfold {name}" in out


def test_a_network_is_no_command(small):
    assert refused("digits", "--help").startswith("digits is no command: begin with what to do, as in bitfold report")
    assert refused(small / "small.bitfold").startswith(f"{small / 'small.bitfold'} is no command: ")
    assert refused("simulat").startswith(
        "there is no command simulat; did you mean simulate? there are demo, info, plan, "
    )


def test_a_network_that_is_not_there_lists_those_that_are(monkeypatch, tmp_path):
    shipped = f"give a .bitfold file or one of {', '.join(zoo.names())}"
    for name, near in (
        ("digts", "digits"),
        ("digits.bitfold", "digits"),
        ("nets/fashion-mnst.bitfold", "fashion-mnist"),
    ):
        says = f"there is no file {name} and no shipped network of that name; did you mean {near}? {shipped}"
        assert refused("report", name) == says
    assert refused("check", "x") == f"there is no file x and no shipped network of that name; {shipped}"
    # A folder of the data set's name is not the network.
    monkeypatch.chdir(tmp_path)
    Path("mnist").mkdir()
    assert "mnist is read from a folder: name it with --data DIR" in refused("check", "mnist")


def test_numbers_that_are_none(small):
    net, images = small / "small.bitfold", small / "images.npy"
    for value, shown in (
        ("nan", "nan"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("-1", "-1"),
        ("0", "0"),
        ("1e-300", "1e-300"),
    ):
        assert refused("plan", net, "--fps", value) == f"--fps must be a number from 1e-06 to 1e+12, not {shown}"
        says = f"--clock must be a number from 0.001 to 1e+06, not {shown}"
        assert refused("plan", net, "--fps", 1, "--clock", value) == says
        says = f"--lut-share must be a number from 0.01 to 1, not {shown}"
        assert refused("plan", net, "--target", "ecp5-25", "--lut-share", value) == says
    says = "--device is of a family: name a device of it with --target, one of ice40-hx8k, "
    assert refused("plan", net, "--fps", 1, "--device", "luts=9").startswith(says)
    for value in ("luts", "luts=0", "luts=-1", "luts=1e9", "luts=9,luts=9", "brams=9", "luts=9,", ""):
        says = f"--device must be luts=N, ffs=N or blocks=N, or some of them with commas, not {value!r}"
        assert refused("plan", net, "--target", "ecp5-25", "--device", value) == says
    for value in ("-5", "0"):
        says = f"--cycles must be a number from 1 to 1,000,000,000,000,000, not {value}"
        assert refused("verilog", net, "-o", small / "x", "--cycles", value) == says
    for value in ("nan", "-0.1", "1.0", "inf"):
        says = f"pauses is a probability from 0 to 0.999, not {value}"
        assert refused("simulate", net, "--images", images, "--pauses", value) == says
    for value in (-1, 10**30):
        says = f"the seed must be an integer from 0 to 4,294,967,295, not {value}"
        assert refused("simulate", net, "--images", images, "--seed", value) == says
    assert "--frames" in refused("report", net, "--frames", -1)
    train = ("train", "digits", "-o", small / "n.bitfold")
    for value in ("nan", "-1", "0", "inf"):
        assert refused(*train, "--minutes", value) == f"--minutes must be a number from 0.1 to 1e+06, not {value}"
        says = f"--fps must be a number from 1e-06 to 1e+12, not {value}"
        assert refused(*train, "--luts", 9, "--fps", value) == says
    for option in ("--luts", "--fps"):
        says = "--luts and --fps belong together: how many LUTs, at how many frames a second"
        assert refused(*train, option, 9) == says
    for option, value in (("--target", "ice40-up5k"), ("--clock", 12)):
        says = "--target and --clock say where and how fast the --luts are: give these too"
        assert refused(*train, option, value) == says
    for option in ("--seed", "--seeds", "--threads", "--epochs", "--luts"):
        assert option in refused("train", "digits", "-o", small / "n.bitfold", option, 10**12)
        assert option in refused("train", "digits", "-o", small / "n.bitfold", option, -1)
    assert not (small / "x").exists()


IMAGES = {
    "object": (np.array([None]), "Array can't be memory-mapped: Python objects in dtype."),
    "floats": (np.zeros((1, 4, 4, 2)), "the values must be integers, not float64"),
    "bools": (np.zeros((1, 4, 4, 2), bool), "the values must be integers, not bool"),
    "times": (np.zeros((1, 4, 4, 2), "m8[s]"), "the values must be integers, not timedelta64[s]"),
    "texts": (np.full((1, 4, 4, 2), "1"), "the values must be integers, not <U1"),
    "records": (np.zeros((1, 4, 4, 2), [("a", "u1")]), "the values must be integers, not [('a', 'u1')]"),
    "shape": (np.zeros((1, 4, 2, 4), np.uint8), "the array has the shape [1, 4, 2, 4]; expected [N, 4, 4, 2]"),
    "point": (np.array(3), "the array has the shape []; expected [N, 4, 4, 2]"),
    "none": (np.zeros((0, 4, 4, 2), np.uint8), "there are no images to simulate"),
    "large": (np.full((1, 4, 4, 2), 2**63, np.uint64), "the values span [9223372036854775808, 9223372036854775808]"),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_images_that_are_none(small, tmp_path, kind):
    array, says = IMAGES[kind]
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    assert says in refused("simulate", small / "small.bitfold", "--images", tmp_path / "x.npy")


def test_images_of_every_layout_are_the_same(small, tmp_path):
    images = np.load(small / "images.npy")
    expected = Net.load(small / "small.bitfold")(images)
    for array in (np.asfortranarray(images), images.astype(">i4"), images.astype(np.uint64)):
        np.save(tmp_path / "x.npy", array)
        words = ("--images", tmp_path / "x.npy", "--engine", "amaranth", "-o", tmp_path / "y.npy")
        assert run("simulate", small / "small.bitfold", *words)[0] == 0
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_files_in_the_wrong_place_are_named(small):
    net, images, plan = small / "small.bitfold", small / "images.npy", small / "plan.toml"
    out = ("-o", small / "x")
    assert refused("verilog", images, *out) == (
        f"{images} is not a network but a NumPy array, such as images; give a .bitfold file, as training writes it"
    )
    assert f"{plan} is not a network but a plan; " in refused("verilog", plan, *out)
    assert f"{net} is not a plan but a safetensors file, such as bitfold's networks" in refused(
        "verilog", net, *out, "--plan", net
    )
    assert f"{plan} is not a .npy file of images but a plan; see numpy.save" in refused(
        "simulate", net, "--images", plan
    )
    assert not (small / "x").exists()


def test_outputs_are_looked_at_before_the_work(small, tmp_path, monkeypatch):
    """Where a result cannot be written, nothing is planned, compiled or drawn."""
    net, images = small / "small.bitfold", small / "images.npy"
    for work in ("pareto.Planner", *(f"arguments.{name}" for name in ("meet", "fit_device", "fit", "balance"))):
        monkeypatch.setattr(f"bitfold.cli.{work}", None)
    monkeypatch.setattr("bitfold.cli.demonstration.zoo", None)
    (tmp_path / "file").touch()
    for name in ("v/bitfold.v", "demo/bitfold.md", "curve.csv"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "long").mkdir()
    for words, place in [
        (("plan", net, "--fps", 1, "-o", "file/x"), "file/x"),
        (("plan", net, "--fps", 1, "-o", "n" * 256), "n" * 256),
        (("plan", net, "--pareto", "file/x.svg"), "file/x.svg"),
        (("plan", net, "--pareto", "curve.svg"), "curve.csv"),
        (("verilog", net, "-o", "file"), "file"),
        (("verilog", net, "-o", "file/below"), "file/below"),
        (("verilog", net, "-o", "v"), "v/bitfold.v"),
        (("simulate", net, "--images", images, "-o", "none/x.npy"), "none/x.npy"),
        (("simulate", net, "--images", images, "--waveform", "none/x.vcd"), "none/x.vcd"),
        (("simulate", net, "--images", images, "--waveform", "/dev/null"), "/dev/null"),
        (("report", net, "-o", "none/page.html"), "none/page.html"),
        (("report", net, "-o", "long"), "long"),
        (("demo", "-o", "file"), "file"),
        (("demo", "-o", "demo"), "demo/bitfold.md"),
    ]:
        words = [tmp_path / word if i and words[i - 1] in PLACES else word for i, word in enumerate(words)]
        assert f"{tmp_path / place} cannot be written: " in refused(*words)
    assert sorted(os.listdir(tmp_path)) == ["curve.csv", "demo", "file", "long", "v"]


PLACES = ("-o", "--pareto", "--waveform")


def test_a_path_is_printed_as_it_is(small, tmp_path, monkeypatch):
    """Long, in brackets, with two spaces and letters of any script; in JSON too."""
    folder = tmp_path / "[red]x" / "[/]  :smile: größe 日本" / ("n" * 120)
    status, out, err = run("verilog", small / "small.bitfold", "-o", folder)
    assert status == 0, err
    assert out.splitlines()[:3] == [
        f" verilog           {folder}/bitfold.v",
        f" sheet             {folder}/bitfold.md",
        f" plan              {folder}/bitfold.toml",
    ]
    status, out, err = run("verilog", small / "small.bitfold", "-o", folder, "--json")
    assert (status, json.loads(out)["verilog"]) == (0, f"{folder}/bitfold.v")
    assert f"{folder}/none" in refused(
        "verilog", small / "small.bitfold", "-o", tmp_path / "x", "--plan", folder / "none"
    )
    monkeypatch.setattr("bitfold.cli.pareto.write", lambda *_: [])
    status, out, err = run("plan", small / "small.bitfold", "--pareto", folder / "[b].svg")
    assert status == 0, err
    assert out.endswith(f"plans drawn in {folder}/[b].svg, their figures in {folder}/[b].csv\n")


@pytest.mark.parametrize("columns", ["20", "80"])
def test_tables_are_printed_whole(columns, small, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    status, out, err = run("plan", small / "small.bitfold", "--target", "ecp5-25")
    assert status == 0, err
    firsts = [line.split()[0] for line in out.splitlines()[:6]]
    assert firsts == ["layer", "0", "queues", "frames", "sum", "of"]
    status, out, err = run("zoo")
    assert [line.split()[0] for line in out.splitlines()] == ["name", *zoo.names()]
    assert [line.split()[-2] for line in out.splitlines()[1:]] == [
        f"{100 * zoo.card(name).float_test_error:.2f}" for name in zoo.names()
    ]


ODD = "a\x1b[31mb\nc\x9b\u202ed\udcff"
SHOWN = r"a\x1b[31mb\nc\x9b\u202ed\udcff"


def test_what_steers_a_terminal_is_escaped(small, tmp_path):
    net = small / "small.bitfold"
    folder = tmp_path / ODD
    status, out, err = run("verilog", net, "-o", folder)
    assert status == 0, err
    assert out.splitlines()[0] == f" verilog           {tmp_path}/{SHOWN}/bitfold.v"
    (folder / "bad.toml").write_text('bitfold_plan = 1\n[layers]\n"\\u001b[31m" = 1\n')
    assert r'bad.toml: layer "\x1b[31m" must be' in refused("verilog", net, "-o", folder, "--plan", folder / "bad.toml")
    for words in [
        (ODD,), ("plan", ODD), ("plan", net, "--fps", ODD), ("plan", net, "--target", ODD), ("zoo", f"--{ODD}"),
        ("verilog", net, "-o", tmp_path / "x", "--name", ODD), ("simulate", net, "--images", folder / "none.npy"),
        ("simulate", net, "--images", small / "images.npy", "--engine", ODD), ("check", net, "--set", ODD),
        ("train", ODD, "-o", tmp_path / "n.bitfold"), ("train", "digits", "-o", folder / "n"), ("check", folder),
    ]:  # fmt: skip
        refused(*words)
    status, out, err = run("report", net, "-o", folder / "page.html", "--frames", 0)
    assert (status, err) == (0, "")
    assert run("report", folder / "odd.bitfold", "--frames", 0)[0] == 2


def test_a_reader_that_leaves_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m bitfold zoo | true; {sys.executable} -m bitfold zoo --json | head -c 1",
        shell=True, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[", "")


def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bitfold", "zoo"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No space left on device" in done.stderr


def test_ctrl_c_is_quiet(small, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("bitfold.cli.verilog.write_machine", stop)
    assert run("verilog", small / "small.bitfold", "-o", small / "x") == (130, "", "")


def test_a_locale_without_the_letters_escapes_them(tmp_path):
    words = [sys.executable, "-m", "bitfold", "plan", "größe", "--fps", "1"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(r"bitfold: there is no file gr\xf6\xdfe and no shipped")
    assert done.stderr.count("\n") == 1


# Numbers as a person may type them, texts as a name may have them, and files of every kind.
NUMBERS = st.one_of(
    st.sampled_from(
        ["nan", "inf", "-inf", "-0", "0", "1e400", "1e-400", "9" * 5000, "1_0", "٣", "0x10", "1e3", "", " 1"]
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
)
TEXTS = st.text(st.characters(exclude_characters="\0/"), max_size=12)
TOML = st.recursive(
    st.one_of(
        st.integers(-(2**70), 2**70).map(str), st.floats().map(str), st.just("true"), TEXTS.map(json.dumps),
        st.sampled_from(["9" * 5000, "0x" + "f" * 5000, "1979-05-27", "1e999", "[" * 2000, "'''"]),
        st.just("{ pe = 1, simd = 1 }"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(["pe", "simd", "pixels", "wired", "out", "x"]), inner, max_size=4).map(
            lambda table: "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
        ),
    ),
    max_leaves=4,
)  # fmt: skip
KEYS = st.one_of(
    st.sampled_from(["bitfold_plan", "target", "output_lanes", "input_pixels", "layers", "data"]), TEXTS.map(json.dumps)
)
PLANS = st.builds(
    lambda head, lines, layers: "\n".join(
        [*head, *(f"{k} = {v}" for k, v in lines), "[layers]", *(f"{k} = {v}" for k, v in layers)]
    ).encode(errors="replace"),
    st.sampled_from([["bitfold_plan = 1"], []]),
    st.lists(st.tuples(KEYS, TOML), max_size=3),
    st.lists(st.tuples(st.one_of(st.just('"0"'), KEYS), TOML), max_size=3),
)
DTYPES = st.sampled_from(["u1", ">i4", "<f8", "?", "m8[s]", "U3", "O", "V3", "i8", "u8", [("a", "u1")]])
SHAPES = st.one_of(st.just((2, 4, 4, 2)), st.lists(st.integers(0, 5), max_size=5).map(tuple))


@st.composite
def arrays(draw):
    """A .npy file, at times cut short, or with a header that promises what the file does not hold."""
    buffer = io.BytesIO()
    array = np.zeros(draw(SHAPES), draw(DTYPES))
    np.save(buffer, np.asfortranarray(array) if draw(st.booleans()) else array, allow_pickle=True)
    raw = buffer.getvalue()
    if draw(st.booleans()):
        raw = raw[: draw(st.integers(0, len(raw)))]
    shape = draw(st.sampled_from([b"(2,", b"(-2,", b"(99999999999999,", b"(" + b"9" * 30 + b",", b"(True,", b"("]))
    return raw.replace(b"(2,", shape)


FILES = st.one_of(PLANS, arrays(), st.binary(max_size=40), TEXTS.map(lambda text: text.encode(errors="replace")))


@st.composite
def command_lines(draw, folder):
    """A command that works, but for one or two of its arguments, which may be anything of their kind."""
    given = folder / "given"
    given.write_bytes(draw(FILES))
    name = draw(TEXTS)
    net, images, plan = (folder / name for name in ("small.bitfold", "images.npy", "plan.toml"))
    files = st.one_of(st.just(given), st.sampled_from([net, images, plan, folder, "/dev/zero", name]))
    places = st.sampled_from([folder / "out" / name, folder / "none" / "x", folder, given / "x", Path("/dev/null")])
    names = st.one_of(st.just(name), st.sampled_from(["mnist", "ecp5-25", "digts"]))
    rates = {"--fps": ("1000", NUMBERS), "--clock": ("100", NUMBERS)}
    folded = {"--plan": (plan, files), "--cycles": (None, NUMBERS)}
    # What stands first is the command's argument; None is left out.
    commands = {
        "plan": {
            "": (net, files), **rates, "--target": (None, names), "--lut-share": (None, NUMBERS), "-o": (None, places),
            "--device": (None, names),
        },
        "verilog": {"": (net, files), "-o": (folder / "v", places), **folded, "--name": (None, names)},
        "simulate": {
            "": (net, files), "--images": (images, files), "--engine": ("amaranth", names), **folded,
            "--pauses": (None, NUMBERS), "--seed": (None, NUMBERS), "--waveform": (None, places), "-o": (None, places),
        },
        "report": {"": (net, files), "--frames": ("0", st.sampled_from(["-1", "nan"])), "-o": (None, places), **folded},
        "info": {"": (net, files), "--clock": (None, NUMBERS), "--fps": (None, NUMBERS), **folded},
        "check": {"": (net, files), "--data": (folder, files), "--set": (None, names)},
        "train": {
            "": (given, st.sampled_from([name, "digts"])), "-o": (folder / "n.bitfold", places),
            "--data": (None, files), "--seed": (None, NUMBERS), "--threads": (None, NUMBERS), "--device": (None, names),
        },
        "zoo": {f"--{name}": (None, NUMBERS)},
        name: {"": (net, files)},
    }  # fmt: skip
    command = draw(st.sampled_from(sorted(commands)))
    arguments = commands[command]
    odd = draw(st.sets(st.sampled_from(sorted(arguments)), min_size=1, max_size=2))
    words = [command]
    for option, (usual, values) in arguments.items():
        value = draw(values) if option in odd else usual
        if value is not None:
            words += [option, value] if option else [value]
    return [*words, *(["--json"] if draw(st.booleans()) else [])]


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_command_line_ends_in_a_status(small, data):
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        for file in ("small.bitfold", "images.npy", "plan.toml"):
            (folder / file).write_bytes((small / file).read_bytes())
        words = data.draw(command_lines(folder))
        status, out, err = run(*words)
        assert status in (0, 1, 2), (status, out, err)
        if status == 2:
            assert refused(*words)
        if status == 0 and "--json" in words:
            json.loads(out)
        assert not any(0xD800 <= ord(c) < 0xE000 or (ord(c) < 32 and c != "\n") for c in out)
