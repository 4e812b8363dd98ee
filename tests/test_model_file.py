"""The file of a network: what goes in comes out, and nothing else is let in."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save
from strategies import images, nets
from test_model_error import WELCOME

from bitfold.model import file
from bitfold.model.error import BadInput
from bitfold.model.layers import BinaryConv, Chain, Requantise, Residual, Scale, SumPool
from bitfold.model.net import Net
from bitfold.model.tensor import Tensor
from bitfold.model.write import check_place

AGAIN = f"; {file.MEND}"
BYTES = "its bytes are not those that are written for the network in it"


def small(**changes):
    """A network of one convolution of 27 weights, an offset and a residual."""
    bits = np.random.default_rng(0).random((3, 3, 1, 3)) < 0.5
    step = Requantise(0, -9, 9, np.array([1, -2, 3]))
    body = Chain((step, Residual(Chain((BinaryConv(bits, padding=(1, 1, 0, 0)),)))))
    return Net(**{"input": Tensor(3, 3, 3, 0, 7, 2), "body": body, "classes": ("é", "b", "c"), **changes})


def parts(raw):
    """(description, tensors) of the file's bytes."""
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    return json.loads(header["__metadata__"]["bitfold"]), load(raw)


def forge(raw, change):
    """The file's bytes after change(description, tensors), otherwise well formed."""
    described, tensors = parts(raw)
    change(described, tensors)
    return save(tensors, {"bitfold": json.dumps(described)})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.bitfold"


@pytest.fixture
def good(path):
    small().save(path)
    return path.read_bytes()


def refusal(path, raw):
    """What `load` says of these bytes, without the path."""
    path.write_bytes(raw)
    with pytest.raises(BadInput) as error:
        Net.load(path)
    message = str(error.value)
    assert message.startswith(f"{path} is not a usable network: ")
    assert message.endswith(AGAIN)
    assert "\n" not in message
    return message.removeprefix(f"{path} is not a usable network: ").removesuffix(AGAIN)


@given(net=nets(), text=st.text(st.characters(exclude_categories=["C", "Z"]), max_size=9) | st.sampled_from(WELCOME))
def test_round_trip(tmp_path_factory, net, text):
    path = tmp_path_factory.mktemp("file") / "net.bitfold"
    net = Net(net.input, net.body, net.classes, text)
    net.save(path)
    loaded = Net.load(path)
    assert (loaded.input, loaded.output) == (net.input, net.output)
    assert (loaded.classes, loaded.preprocessing) == (net.classes, net.preprocessing)
    assert loaded.digest() == net.digest()
    x = images(net, 2)
    np.testing.assert_array_equal(loaded(x), net(x))
    raw = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == raw


def test_the_deepest_network_is_read_again(path):
    found = []

    def deeper(body):
        while True:
            found.append(Net(Tensor(1, 1, 1, 0, 3), body))
            body = Chain((body,))

    with pytest.raises(BadInput, match="lies in more than"):
        deeper(Chain((Requantise(0, 0, 3),)))
    found[-1].save(path)
    assert Net.load(path).digest() == found[-1].digest()


def test_weights_take_one_bit_each(good):
    _, tensors = parts(good)
    weights = tensors["net.body.layers.1.body.layers.0.weights"]
    assert (weights.dtype, weights.shape) == (np.uint8, (4,))


def test_factors_of_a_scale_are_one_tensor(path):
    net = small(body=Chain((Scale(np.array([3, -(2**24), 0]), 5),)))
    net.save(path)
    loaded = Net.load(path)
    assert loaded.body.layers[0].factors.tolist() == [3, -(2**24), 0]
    assert (loaded.output, loaded.digest()) == (net.output, net.digest())
    raw = path.read_bytes()
    factors = "net.body.layers.0.factors"

    def layer(described):
        return described["network"]["body"]["layers"][0]

    for change, message in [
        (lambda d, t: layer(d).update(factors=None), f"{factors} is None instead of NDArray[np.int64]"),
        (lambda d, t: layer(d).update(factors=[True]), f"{factors} is [True] instead of NDArray[np.int64]"),
        (lambda d, t: layer(d).update(factors=[4]), f"{factors} needs int64 [4], the file has int64 [3]"),
        (
            lambda d, t: t.update({factors: t[factors] * 2}),
            "the factors must lie in [-2^24, 2^24], not in [-33554432, 6]",
        ),
    ]:
        assert refusal(path, forge(raw, change)) == message


def test_a_flag_is_there_where_it_is_true(path):
    """Networks without it keep the files that they had before there was such a flag."""
    pools = [SumPool(2, 1, (1, 0, 1, 0), valid=valid) for valid in (False, True)]
    plain, valid = (small(body=Chain((pool,))) for pool in pools)

    def layer(described):
        return described["network"]["body"]["layers"][0]

    plain.save(path)
    raw = path.read_bytes()
    assert set(layer(parts(raw)[0])) == {"kind", "kernel", "stride", "padding", "scale"}
    assert Net.load(path).body.layers[0] == pools[0]
    assert refusal(path, forge(raw, lambda d, t: layer(d).update(valid=False))) == BYTES
    valid.save(path)
    raw = path.read_bytes()
    assert layer(parts(raw)[0])["valid"] is True
    assert Net.load(path).body.layers[0] == pools[1]
    assert valid.digest() != plain.digest()
    message = "net.body.layers.0.valid is 1 instead of bool"
    assert refusal(path, forge(raw, lambda d, t: layer(d).update(valid=1))) == message


def test_digest_tells_any_difference_and_only_that():
    reference = small().digest()
    assert reference == small().digest() == small(body=Chain(small().body.layers)).digest()
    bits = small().body.layers[1].body.layers[0].weights
    flipped = bits.copy()
    flipped[2, 2, 0, 2] ^= True
    others = [
        small(classes=()),
        small(preprocessing="x"),
        small(input=Tensor(3, 3, 3, 0, 7, 1), classes=("é", "b", "c")),
        small(body=Chain((small().body.layers[0],))),
    ]
    for offset in ([1, -2, 4], None):
        step = Requantise(0, -9, 9, None if offset is None else np.array(offset))
        others.append(small(body=Chain((step, small().body.layers[1]))))
    for conv in (BinaryConv(flipped, 1, (1, 1, 0, 0)), BinaryConv(bits, 1, (2, 0, 0, 0))):
        others.append(small(body=Chain((small().body.layers[0], Residual(Chain((conv,)))))))
    assert len({reference, *(net.digest() for net in others)}) == 1 + len(others)


def test_digest_is_pinned():
    """A change here makes every published digest wrong: raise file.VERSION with it."""
    net = Net(Tensor(1, 1, 1, 0, 1), Chain((BinaryConv(np.ones((1, 1, 1, 1), np.bool_)),)))
    assert net.digest() == "79a1624a862ee605b903378bac23e6a6d3b570ff78ef417dda4ff63d37ffc2ea"


CONV = "net.body.layers.1.body.layers.0"


def conv(described):
    return described["network"]["body"]["layers"][1]["body"]["layers"][0]


def nest(described, tensors):
    for _ in range(60):
        described["network"]["body"] = {"kind": "Chain", "layers": [described["network"]["body"]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d, t: d.update(version=2),
            "its version is 2, this bitfold reads 1",
        ),
        (
            lambda d, t: d.update(version=True),
            "its version is True, this bitfold reads 1",
        ),
        (lambda d, t: d.update(extra=1), BYTES),
        (
            lambda d, t: d.update(network=7),
            "net is not a Net with the fields input, body, classes, preprocessing",
        ),
        (
            lambda d, t: d["network"].pop("classes"),
            "net is not a Net with the fields input, body, classes, preprocessing",
        ),
        (
            lambda d, t: d["network"].update(classes=["a", "b", 3]),
            "net.classes.2 is 3 instead of str",
        ),
        (
            lambda d, t: d["network"].update(classes=["a", "b"]),
            "2 class names for 3 output channels",
        ),
        (
            lambda d, t: d["network"].update(preprocessing="x" * 2001),
            f'the preprocessing "{"x" * 40}..." has 2,001 characters; shorten it to 2,000',
        ),
        (
            lambda d, t: d["network"].update(preprocessing="\x1b[2J"),
            r'the preprocessing "\x1b[2J" holds \x1b; remove that character',
        ),
        (
            lambda d, t: d["network"]["input"].update(height=1.5),
            "the description holds '1.5', which is no integer",
        ),
        (
            lambda d, t: d["network"]["input"].update(height=float("nan")),
            "the description holds 'NaN', which is no integer",
        ),
        (
            lambda d, t: d["network"]["input"].update(height=10**400),
            "the description holds a number of 401 digits",
        ),
        (
            lambda d, t: d["network"]["input"].update(height=True),
            "net.input.height is True instead of int",
        ),
        (
            lambda d, t: d["network"]["input"].update(height=0),
            "a tensor's height must be at least 1, not 0",
        ),
        (lambda d, t: conv(d).update(stride=True), f"{CONV}.stride is True instead of int"),
        (
            lambda d, t: conv(d).update(padding=[1, 1, 0]),
            f"{CONV}.padding is [1, 1, 0] instead of Padding",
        ),
        (
            lambda d, t: conv(d).update(padding=[1, 1, 0, False]),
            f"{CONV}.padding is False instead of int",
        ),
        (
            lambda d, t: conv(d).update(kind="eval"),
            f"{CONV} is of the unknown kind 'eval'",
        ),
        (
            lambda d, t: conv(d).update(kind="Tensor"),
            f"{CONV} is of the unknown kind 'Tensor'",
        ),
        (
            lambda d, t: conv(d).update(kind="SumPool"),
            f"{CONV} is not a SumPool with the fields kernel, stride, padding, scale, valid",
        ),
        (
            lambda d, t: d["network"]["body"]["layers"].append([]),
            "net.body.layers.2 is [] instead of Layer",
        ),
        (
            lambda d, t: conv(d).update(weights=[2**40, 3, 1, 3]),
            f"{CONV}.weights needs uint8 [{9 * 2**37}], the file has uint8 [4]",
        ),
        (
            lambda d, t: conv(d).update(weights=[3, 3, True, 3]),
            f"{CONV}.weights is [3, 3, True, 3] instead of NDArray[np.bool_]",
        ),
        (
            lambda d, t: conv(d).update(weights=[-3, -3, 1, 3]),
            f"{CONV}.weights is [-3, -3, 1, 3] instead of NDArray[np.bool_]",
        ),
        (
            lambda d, t: t.update({f"{CONV}.weights": t[f"{CONV}.weights"] | 1}),
            BYTES,
        ),
        (
            lambda d, t: t.update({f"{CONV}.weights": np.zeros((2, 2), np.uint8)}),
            f"{CONV}.weights needs uint8 [4], the file has uint8 [2, 2]",
        ),
        (
            lambda d, t: t.update({f"{CONV}.weights": np.zeros(4, np.int64)}),
            f"{CONV}.weights needs uint8 [4], the file has int64 [4]",
        ),
        (
            lambda d, t: t.update({f"{CONV}.weights": np.full(4, np.nan)}),
            f"tensor '{CONV}.weights' is neither uint8 nor int64",
        ),
        (
            lambda d, t: t.pop(f"{CONV}.weights"),
            f"{CONV}.weights needs uint8 [4], the file has none",
        ),
        (
            lambda d, t: t.update(spare=np.zeros(1, np.uint8)),
            BYTES,
        ),
        (
            lambda d, t: d["network"]["body"]["layers"][0].update(offset=[2]),
            "net.body.layers.0.offset needs int64 [2], the file has int64 [3]",
        ),
        (
            lambda d, t: d["network"]["body"]["layers"][0].update(offset=None),
            BYTES,
        ),
        (
            lambda d, t: d["network"]["body"]["layers"].pop(0),
            "net.body.layers.0.body.layers.0.weights needs uint8 [4], the file has none",
        ),
        (nest, "its layers are nested too deeply"),
    ],
)
def test_hostile_descriptions(path, good, change, message):
    assert refusal(path, forge(good, change)) == message


def with_header(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + data


def description(text):
    return with_header({"__metadata__": {"bitfold": text}})


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "it is cut short at 0 bytes"),
        (b"\x01\x00", "it is cut short at 2 bytes"),
        ((2**63).to_bytes(8, "little") + b"{}", "it is cut short at 10 bytes"),
        (
            with_header(b" " * (2**22 + 1)),
            "its header claims 4194305 bytes, at most 4194304 are read",
        ),
        (with_header(b"not JSON"), "the header is not JSON"),
        (with_header(b"\xff{}"), "the header is not JSON"),
        (with_header(b"[" * 100_000), "the header is not JSON"),
        (with_header(b"[]"), "the header is not an object"),
        (with_header({}), "it holds no bitfold network"),
        (
            with_header({"__metadata__": {"bitfold": 1}}),
            "it holds no bitfold network",
        ),
        (description('{"a":' * 100_000), "the description is not JSON"),
        (description("{}"), "its version is None, this bitfold reads 1"),
        (
            with_header(
                {
                    "__metadata__": {"bitfold": '{"version": 1}'},
                    "x": {"dtype": "U8", "shape": [2**50], "data_offsets": [0, 2**50]},
                },
                b"123",
            ),
            "safetensors says 'Error while deserializing: incomplete metadata, file not fully covered'",
        ),
        (
            with_header({"__metadata__": {"bitfold": '{"version": 1}'}, "x": {"dtype": ["U8"]}}),
            "tensor 'x' is neither uint8 nor int64",
        ),
    ],
)
def test_hostile_containers(path, raw, message):
    assert refusal(path, raw) == message


def rewritten(raw, change=lambda text: text, style=None, spaces=0):
    """The file with change(JSON of its header) or its JSON in another style, and `spaces` more of padding."""
    length = int.from_bytes(raw[:8], "little")
    text = raw[8 : 8 + length].decode().rstrip()
    text = change(json.dumps(json.loads(text), **style) if style else text)
    header = text.encode()
    header += b" " * (-len(header) % 8 + spaces)
    return len(header).to_bytes(8, "little") + header + raw[8 + length :]


def respelled(text, **style):
    """The header's JSON with the description's in another style."""
    header = json.loads(text)
    header["__metadata__"]["bitfold"] = json.dumps(json.loads(header["__metadata__"]["bitfold"]), **style)
    return json.dumps(header, separators=(",", ":"))


PLAIN = {"separators": (",", ":")}


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: rewritten(raw, style={"separators": (", ", ":")}),
        lambda raw: rewritten(raw, style={**PLAIN, "sort_keys": True}),
        lambda raw: rewritten(raw, spaces=8),
        lambda raw: rewritten(raw, lambda text: text[0] + " " + text[1:]),
        lambda raw: rewritten(raw, lambda text: text.replace('"shape"', r'"sh\u0061pe"', 1)),
        lambda raw: rewritten(raw, lambda text: text[:-1] + ',"net.body.layers.0.offset":' + text.split(":", 4)[-1]),
        lambda raw: rewritten(raw, lambda text: respelled(text, sort_keys=True)),
        lambda raw: rewritten(raw, lambda text: respelled(text, **PLAIN, sort_keys=True, ensure_ascii=False)),
        lambda raw: rewritten(raw, lambda text: text.replace(r"{\"network", r"{\"version\":1,\"network", 1)),
        lambda raw: raw + b"\0",
    ],
)
def test_other_bytes_for_the_same_network_are_refused(path, good, change):
    assert rewritten(good) == rewritten(good, style=PLAIN) == good
    assert rewritten(good, lambda text: respelled(text, **PLAIN, sort_keys=True)) == good
    changed = change(good)
    assert changed != good
    refusal(path, changed)


@given(net=nets())
def test_the_container_is_safetensors_own(net):
    """Held against the library, so that other programs read it; the bytes do not follow its versions."""
    text, arrays = file._described(net)
    packed = {name: np.packbits(array) if array.dtype == np.bool_ else array for name, array in arrays.items()}
    assert file._whole(net) == save(packed, {"bitfold": text})


def test_claims_are_not_allocated(path, good):
    def claim(described, tensors):
        conv(described)["weights"] = [2**30, 3, 1, 3]
        described["network"]["input"]["channels"] = 2**50

    tracemalloc.start()
    try:
        refusal(path, forge(good, claim))
        refusal(path, with_header({"x": 1})[:8] + b"{}")
        refusal(path, (2**40).to_bytes(8, "little") + b"{}")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_too_large_a_file_is_not_read_whole(path, monkeypatch, good):
    monkeypatch.setattr(file, "MAX_BYTES", 100)
    with pytest.raises(BadInput, match=r"has more than 100 bytes, which a \.bitfold file never has"):
        Net.load(path)


@given(st.data())
def test_damaged_bytes_give_a_network_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("file") / "net.bitfold"
    small().save(path)
    raw = bytearray(path.read_bytes())
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    for _ in range(data.draw(st.integers(0, 3)) if raw else 0):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    said = ""
    try:
        assert isinstance(Net.load(path), Net)
    except BadInput as error:
        said = str(error)
    assert "\n" not in said


def test_every_truncation_is_refused(path, good):
    for length in range(len(good)):
        refusal(path, good[:length])


def test_paths_that_are_no_files(tmp_path):
    link = tmp_path / "link.bitfold"
    link.symlink_to(tmp_path)
    pipe = tmp_path / "pipe.bitfold"
    os.mkfifo(pipe)
    for path in (tmp_path, link, pipe):
        with pytest.raises(BadInput) as error:
            Net.load(path)
        assert str(error.value) == f"{path} is not a regular file; give the path of a .bitfold file"
    absent = tmp_path / "absent"
    with pytest.raises(BadInput) as error:
        Net.load(absent)
    assert str(error.value) == f"{absent} cannot be read: No such file or directory; check the path"


def test_writing_is_whole_or_not_at_all(path, good, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BadInput) as error:
        small(preprocessing="new").save(path)
    assert str(error.value) == f"{path} cannot be written: No space left on device; choose another place"
    assert path.read_bytes() == good
    assert os.listdir(path.parent) == [path.name]


def test_a_place_is_refused_before_the_work(tmp_path):
    check_place(tmp_path / "new")
    (tmp_path / "file").touch()
    for place, reason in (
        (tmp_path, "Is a directory"),
        (tmp_path / "absent" / "new", "No such file or directory"),
        (tmp_path / "file" / "new", "Not a directory"),
        (tmp_path / ("n" * 256), "File name too long"),
        (Path("/dev/null"), "Not a regular file"),
    ):
        with pytest.raises(BadInput) as error:
            check_place(place)
        assert str(error.value) == f"{place} cannot be written: {reason}; choose another place"
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_a_reader_of_the_old_file_keeps_it(path, good):
    with open(path, "rb") as reader:
        small(preprocessing="new").save(path)
        assert reader.read() == good != path.read_bytes()


def test_a_link_to_a_file_stays_a_link(path, good):
    link = path.with_name("link.bitfold")
    link.symlink_to(path.name)
    small(preprocessing="new").save(link)
    assert link.is_symlink()
    assert Net.load(path).preprocessing == "new"
    assert Path(path).stat().st_mode & 0o444 == 0o444
