"""Programs end with whoever started them."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from bitfold.model.processes import call, end, start

FAMILY = "sleep 61.5 & echo started; sleep 61.5"
"""A program with one of its own."""


def alive(folder):
    """How many processes work in a folder."""
    found = 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):
            found += os.readlink(f"/proc/{process}/cwd") == str(folder)
    return found


def gone(folder):
    """Whether they all end; on a busy machine that takes a while."""
    deadline = time.monotonic() + 60
    while alive(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive(folder) == 0


def test_status_and_words(tmp_path):
    assert call(["sh", "-c", "echo é; echo to stderr >&2; exit 7"]) == (7, "é\nto stderr\n")
    assert call(["sh", "-c", "kill -9 $$"])[0] == 128 + 9
    assert call([tmp_path / "none"]) == (126, f"{tmp_path / 'none'}: No such file or directory\n")
    assert call(["printf", "\\377"]) == (0, "\ufffd")


def test_leaving_the_block_ends_all(tmp_path):
    def fail():
        with start(["sh", "-c", FAMILY], cwd=tmp_path) as process:
            assert process.stdout.readline() == "started\n"
            assert alive(tmp_path) >= 3
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gone(tmp_path)


def test_end_ends_all(tmp_path):
    with start(["sh", "-c", FAMILY], cwd=tmp_path) as process:
        process.stdout.readline()
        end(process)
        assert process.wait() == -signal.SIGKILL
    assert gone(tmp_path)


def test_they_end_with_a_process_that_is_killed(tmp_path):
    script = f"""
from bitfold.model.processes import start
with start(["sh", "-c", {FAMILY!r}], cwd={str(tmp_path)!r}) as process:
    print(process.stdout.readline(), flush=True)
    process.wait()
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=env) as process:
        process.stdout.readline()
        assert alive(tmp_path) >= 3
        process.kill()
    assert gone(tmp_path)
