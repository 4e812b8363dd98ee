"""What a shell completes after `bitfold --install-completion`."""

import subprocess
import sys

import pytest
from commands import run

from bitfold.boards.board import BOARDS
from bitfold.model import zoo

TYPED = {
    "bitfold sim": ["simulate"],
    "bitfold simulate digits-t": ["digits-tiny"],
    "bitfold report ": zoo.names(),
    "bitfold simulate nothing-of-that-name": [],
    "bitfold build digits --board ulx": [name for name in BOARDS if name.startswith("ulx")],
    "bitfold plan digits --target ecp5-8": ["ecp5-85"],
    "bitfold plan digits --lut": ["--lut-share"],
}
"""A line, and what its last word may become; where that is nothing a shell offers files."""


@pytest.mark.parametrize("line", TYPED)
def test_the_last_word_is_completed(line, monkeypatch):
    monkeypatch.setenv("_BITFOLD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    status, out, err = run()
    assert (status, out.split(), err) == (0, TYPED[line], "")


def test_a_shell_takes_what_is_shown(tmp_path):
    program = tmp_path / "bitfold"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bitfold "$@"\n')
    program.chmod(0o755)
    script = f"""
PATH="{tmp_path}:$PATH"
eval "$(bitfold --show-completion)"
COMP_WORDS=(bitfold report mnist-)
COMP_CWORD=2
_bitfold_completion bitfold
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "mnist-4bit\n", "")
