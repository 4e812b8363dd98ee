"""Folders that last and folders that do not, wherever the user's are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bitfold.model import places
from bitfold.model.error import BadInput


@pytest.fixture(autouse=True)
def forget():
    """A cache that lasts as long as a process lasts as long as a test here."""
    places._passing_cache.cache_clear()
    yield
    places._passing_cache.cache_clear()


def test_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    assert places.cache() == tmp_path / "my cache" / "bitfold"
    assert list(places.cache().iterdir()) == []
    monkeypatch.setenv("HOME", str(tmp_path))
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert places.cache() == tmp_path / ".cache" / "bitfold"


@pytest.mark.parametrize("home", ["/proc/none", "file", None])
@pytest.mark.parametrize("name", ["HOME", "XDG_CACHE_HOME"])
def test_a_cache_that_cannot_be_written_is_replaced_and_one_line_says_so(name, home, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(name, str(tmp_path / home if home else "unused"))
    if home is None:

        def unknown():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.delenv(name)
        monkeypatch.setattr(Path, "home", unknown)
    folder = places.cache()
    assert places.cache() == folder
    (folder / "model").write_text("", encoding="utf-8")
    assert len(caplog.messages) == 1
    assert "name a folder for them with --cache DIR or XDG_CACHE_HOME" in caplog.text


def test_the_cache_that_was_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/proc/none")
    assert places.cache(tmp_path / "a b") == tmp_path / "a b"
    monkeypatch.chdir(tmp_path)
    assert places.cache("-c") == tmp_path / "-c"
    with pytest.raises(BadInput, match=r"/proc/none cannot keep compiled models: No such file or directory; choose"):
        places.cache("/proc/none")


def test_scratch_goes_at_the_end():
    def fail():
        with places.scratch() as folder:
            (folder / "inner").mkdir()
            raise KeyError(folder)

    with pytest.raises(KeyError) as caught:
        fail()
    assert not caught.value.args[0].exists()


def test_scratch_of_a_killed_run_goes_at_the_next_start_and_nothing_else_does(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = """
import time
from bitfold.model.places import scratch
with scratch() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""
    env = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=env) as process:
        killed = Path(process.stdout.readline().strip())
        for mine in ("bitfold-demo", ".bitfold-notes", f".bitfold-{'a' * 17}"):
            (tmp_path / mine).mkdir()
        with places.scratch():
            assert killed.exists()
            process.send_signal(signal.SIGKILL)
            process.wait()
            with places.scratch() as other:
                assert not killed.exists()
                assert len(list(tmp_path.iterdir())) == 5
                with places.scratch():
                    assert other.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"bitfold-demo", ".bitfold-notes", f".bitfold-{'a' * 17}"}


def test_a_plain_path_where_the_usual_one_is_not(monkeypatch, tmp_path):
    odd = tmp_path / "a $b"
    odd.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(odd))
    with places.scratch() as folder:
        assert folder.parent == odd
    with places.scratch(plain=True) as folder:
        assert " " not in str(folder)
        assert "$" not in str(folder)


def test_a_held_folder_is_one_process_at_a_time(tmp_path):
    script = f"""
from pathlib import Path
from bitfold.model.places import held
for _ in range(40):
    with held(Path({str(tmp_path / "shared")!r})) as folder:
        assert list(folder.iterdir()) == []
        (folder / "mine").write_text("x", encoding="utf-8")
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen([sys.executable, "-c", script], env=env) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert list(tmp_path.iterdir()) == []
