"""Files are read whole and bounded, and what they are is said where it is plain."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from bitfold.model import zoo
from bitfold.model.card import card_path
from bitfold.model.error import BadInput, short, suggest
from bitfold.model.net import Net
from bitfold.model.read import kind_of, read_bytes, read_text
from bitfold.model.write import check_folder, check_place, make_folder, write_beside


def saved(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def zipped(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("net/data.pkl", pickle.dumps([1]))


ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.4.0:\x8a\x01"
KINDS = {
    "a NumPy array, such as images": saved(lambda file: np.save(file, np.zeros(3, np.uint8))),
    "a zip archive, such as PyTorch's .pt and NumPy's .npz files": saved(zipped),
    "a Python pickle, such as old PyTorch files": pickle.dumps({"state": [1.0]}),
    "an ONNX model": ONNX,
    "a plan": b"# mine\nbitfold_plan = 1\n[layers]\n",
    "a recipe": b'data = "mnist"\n[network]\nform = "wide"\n',
    "the card of a network": card_path(zoo.path("digits")).read_bytes(),
    "a web page": b"<!DOCTYPE html>\n<html><head>",
    "a text": "// Größe\nmodule bitfold(clk);\n".encode() + b" " * 9000,
    "a picture": b"\x89PNG\r\n\x1a\n",
    "a gzip archive": b"\x1f\x8b\x08\x00",
    "an HDF5 file, such as Keras writes": b"\x89HDF\r\n\x1a\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_given_as_a_network_is_named(kind, tmp_path):
    assert kind_of(KINDS[kind]) == kind
    path = tmp_path / "given"
    path.write_bytes(KINDS[kind])
    with pytest.raises(BadInput) as error:
        Net.load(path)
    assert str(error.value) == f"{path} is not a network but {kind}; give a .bitfold file, as training writes it"


@pytest.mark.parametrize("raw", [b"", b"\x00" * 100, b"\xff\xfe", b"\x08\x01\x02" * 50])
def test_what_nobody_knows_has_no_name(raw):
    assert kind_of(raw) is None


def test_a_network_cut_short_is_no_other_file(tmp_path):
    raw = zoo.path("digits").read_bytes()
    path = tmp_path / "net.bitfold"
    for length in (4, 9, 100, len(raw) - 1):
        path.write_bytes(raw[:length])
        with pytest.raises(BadInput, match=f"^{path} is not a usable network: .*; update bitfold, or fetch or save"):
            Net.load(path)


def test_files_are_read_where_they_can_be(tmp_path):
    path = tmp_path / "text"
    path.write_text("größer\n", "utf-8")
    assert read_text(str(path), "a text") == "größer\n"
    assert read_bytes(path, "a text", 9) == path.read_bytes()
    for wrong, says in (
        (tmp_path, "is not a regular file; give the path of a plan"),
        ("/dev/zero", "is not a regular file; give the path of a plan"),
        (tmp_path / "none", "cannot be read: No such file or directory; check the path"),
        (tmp_path / ("n" * 300), "cannot be read: File name too long; check the path"),
        ("\0", r"cannot be read: embedded null byte; check the path"),
    ):
        with pytest.raises(BadInput) as error:
            read_bytes(wrong, "a plan")
        assert str(error.value) == f"{wrong} {says}".replace("\0", r"\x00")
    with pytest.raises(BadInput, match="has more than 7 bytes, which a plan never has"):
        read_bytes(path, "a plan", 7)


def test_a_folder_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "there" / "a.v").mkdir(parents=True)
    check_folder(tmp_path / "new" / "below", "a.v")
    check_folder(str(tmp_path / "there"), "b.v")
    for folder, place, reason in (
        (tmp_path / "file", tmp_path / "file", "Not a directory"),
        (tmp_path / "file" / "x", tmp_path / "file" / "x", "Not a directory"),
        (tmp_path / "there", tmp_path / "there" / "a.v", "Is a directory"),
        (tmp_path / ("n" * 300), tmp_path / ("n" * 300), "File name too long"),
    ):
        with pytest.raises(BadInput) as error:
            check_folder(folder, "a.v")
        assert str(error.value) == f"{place} cannot be written: {reason}; choose another place"
    assert sorted(os.listdir(tmp_path)) == ["file", "there"]
    assert make_folder(str(tmp_path / "new" / "below")).is_dir()


def test_devices_are_not_replaced_by_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for act in (check_place, lambda path: write_beside(path, b"")):
        with pytest.raises(BadInput, match="pipe cannot be written: Not a regular file; choose another place"):
            act(tmp_path / "pipe")
    assert os.listdir(tmp_path) == ["pipe"]


def test_what_files_say_is_shown_short():
    assert short("[red]\x1b") == r"'[red]\x1b'"
    assert len(short("x" * 10_000)) == 80
    assert short(1 << 60_000) == "a number of thousands of digits"
    assert short({"a": [1 << 60_000]}) == "more than can be shown"


def test_near_names_are_suggested():
    assert suggest("digts", ["mnist", "digits"]) == "did you mean digits? "
    assert suggest("resnet", ["mnist", "digits"]) == ""
