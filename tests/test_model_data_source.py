"""Files that are missing are downloaded, as a whole or not at all; a server runs in the test."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import io
import sys
import tarfile
import tempfile
import threading

import numpy as np
import pytest

from bitfold.model.error import BadInput
from bitfold.model.train.data import cifar, idx, open_data, svhn
from bitfold.model.train.data.source import Source

pytest.importorskip("pooch")

UNREACHABLE = "http://127.0.0.1:9/"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The folder that is served, and its address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "server"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{listening.server_port}/"
        listening.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def serve(server, files):
    """Put files (bytes by name) on the server; a source of them, which looks in two places."""
    folder, url = server
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return Source("Sample", ("sample", "."), url, {name: md5(data) for name, data in files.items()})


def md5(data):
    return hashlib.md5(data).hexdigest()


def archive(files):
    """A tar.gz that holds files in a folder, as CIFAR's does."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"inside/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_missing_file_is_downloaded_once(server, home, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")  # what arrives is on the disk where it stays
    source = serve(server, {"one.gz": b"first", "two.gz": b"second"})
    wanted = [("one", "one.gz"), ("two", "two.gz")]
    assert source.find(home, wanted) is None
    paths = source.obtain(home, wanted)
    assert [path.read_bytes() for path in paths] == [b"first", b"second"]
    assert below(home) == ["sample", "sample/one.gz", "sample/two.gz"]
    assert dataclasses.replace(source, url=UNREACHABLE).obtain(home, wanted) == paths


def test_only_what_is_missing_is_downloaded(server, home):
    source = serve(server, {"one.gz": b"first", "two.gz": b"second"})
    (home / "sample").mkdir()
    (home / "sample/one").write_bytes(b"mine")
    (server[0] / "one.gz").unlink()
    paths = source.obtain(home, [("one", "one.gz"), ("two", "two.gz")])
    assert [path.read_bytes() for path in paths] == [b"mine", b"second"]


def test_an_archive_is_unpacked_into_the_first_place(server, home):
    source = serve(server, {"all.tar.gz": archive({"a.bin": b"1", "b.bin": b"2", "readme": b"3"})})
    paths = source.obtain(home, [("a.bin",), ("b.bin",)])
    assert [path.read_bytes() for path in paths] == [b"1", b"2"]
    assert below(home) == ["sample", "sample/a.bin", "sample/b.bin", "sample/readme"]


def test_files_are_not_gathered_from_two_places(server, home):
    source = dataclasses.replace(serve(server, {"one": b"1", "two": b"2"}), url=UNREACHABLE)
    (home / "sample").mkdir()
    (home / "sample/one").write_bytes(b"1")
    (home / "two").write_bytes(b"2")
    assert source.find(home, [("one",), ("two",)]) is None
    (home / "one").write_bytes(b"other")
    assert source.find(home, [("one",), ("two",)]) == [home / "one", home / "two"]


def test_a_file_with_the_wrong_checksum_is_not_kept(server, home):
    source = serve(server, {"one": b"right"})
    (server[0] / "one").write_bytes(b"wrong")
    message = (
        f"one is in none of {home}/sample, {home}, and what {source.url}one sends has not the MD5 of Sample's file, "
        f"{md5(b'right')}, and is not kept: put it into {home}/sample, or name the folder that has it"
    )
    with pytest.raises(BadInput) as error:
        source.obtain(home, [("one",)])
    assert str(error.value) == message
    assert below(home) == []


def test_a_server_without_the_file(server, home):
    source = serve(server, {"one": b"right"})
    (server[0] / "one").unlink()
    with pytest.raises(BadInput, match=r"/one cannot be fetched \(HTTPError\): put it into"):
        source.obtain(home, [("one",)])
    assert below(home) == []


def test_no_server(home, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    source = Source("Sample", ("sample", "."), UNREACHABLE, {"one.tar.gz": md5(b"right")})
    message = (
        f"a.bin is in none of {home}/sample, {home}, and {UNREACHABLE}one.tar.gz cannot be fetched (ConnectionError): "
        f"put it into {home}/sample, or name the folder that has it"
    )
    with pytest.raises(BadInput) as error:
        source.obtain(home, [("a.bin",)])
    assert str(error.value) == message
    assert below(home) == []


def test_without_pooch_the_extra_is_named(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(
        BadInput,
        match=r"train_32x32.mat is in none of .*; put it into .* in bitfold's folder: pip install '\.\[train\]'",
    ):
        open_data("svhn", home).train()


def test_cifar10_comes_out_of_its_archive(server, home, monkeypatch):
    image = bytes(range(256)) * 12
    files = {f"data_batch_{n}.bin": bytes([n]) + image for n in range(1, 6)} | {"test_batch.bin": bytes([7]) + image}
    sent = serve(server, {"cifar-10-binary.tar.gz": archive(files)})
    monkeypatch.setattr(cifar, "CIFAR10", dataclasses.replace(cifar.CIFAR10, url=sent.url, md5=sent.md5))
    data = open_data("cifar10", home)
    np.testing.assert_array_equal(data.train().labels, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(data.test().labels, [7])
    assert (home / "cifar10/cifar-10-batches-bin/test_batch.bin").is_file()


@pytest.mark.parametrize(
    ("source", "files"),
    [
        (idx.MNIST, 4),
        (idx.FASHION_MNIST, 4),
        (cifar.CIFAR10, 1),
        (cifar.CIFAR100, 1),
        (svhn.SVHN, 2),
    ],
    ids=lambda value: getattr(value, "title", ""),
)
def test_every_file_has_its_checksum(source, files):
    assert len(set(source.md5.values())) == files
    assert all(len(bytes.fromhex(digest)) == 16 for digest in source.md5.values())
    assert source.url.startswith("http")
    assert source.url.endswith("/")
