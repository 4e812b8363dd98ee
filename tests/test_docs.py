"""The pages: every block of code is run as a reader would, and the site is built without a warning.

In a page's tutorial or how-to a block is one of these, and may have a comment in the line before it:

    ```console              each line after "$ " is run by bash, in order, and has to succeed; what stands below it is
                            what it prints, where "..." may stand for anything
    ```LANGUAGE title="F"   is the file F, or goes on where another block of that name has ended
    ```python               is run by itself
    ```text                 is nothing to run

    <!-- not run: REASON -->    needs the network, a board or an editor
    <!-- varies: REASON -->     what it prints is not compared
    <!-- slow: REASON -->       anywhere: the page is run by the slow tests
    <!-- needs: PACKAGE -->     anywhere: a module that the page's commands import

A page is run in an empty folder that has the repository's examples.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bitfold.model import zoo

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TAUGHT = [*sorted((DOCS / "tutorials").glob("*.md")), *sorted((DOCS / "how-to").glob("*.md"))]
PAGES = [*TAUGHT, *(page for page in sorted(DOCS.glob("*.md")) if "```python" in page.read_text("utf-8"))]
BLOCK = re.compile(
    r'^(?:<!-- (?P<word>[a-z ]+): (?P<reason>[^\n]+) -->\n)?```(?P<kind>[^\s`]*)(?: title="(?P<title>[^"\n]+)")?\n'
    r"(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of a page, and what the comment in front of it says."""

    kind: str
    title: str | None
    text: str
    word: str | None
    line: int

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Each command, and what it prints."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)
        assert not parts[0].strip(), f"line {self.line}: a console block begins with a command"
        found = []
        for part in parts[1:]:
            command, _, printed = re.sub(r"\\\n", "\\\\\0", part).partition("\n")
            found.append((command.replace("\0", "\n"), printed))
        return found


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(each["kind"], each["title"], each["text"], each["word"], text.count("\n", 0, each.start()) + 1)
        for each in BLOCK.finditer(text)
    ]


def said(page: Path, word: str) -> list[str]:
    """What the page's comments say of themselves by this word."""
    return re.findall(rf"^<!-- {word}: ([^\n]+) -->$", page.read_text("utf-8"), re.MULTILINE)


def matches(printed: str, told: str) -> bool:
    """Whether that is what was told: spaces at the ends of lines aside, "..." for anything."""
    lines = [line.rstrip() for line in told.strip("\n").splitlines()]
    parts = [
        "(.*\n)?" if line.strip() == "..." else ".*".join(map(re.escape, line.split("..."))) + "\n" for line in lines
    ]
    pattern = "".join(parts).replace("\n(.*\n)?", "\n((?:.*\n)*?)").replace("(.*\n)?", "((?:.*\n)*?)")
    return re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").splitlines())) is not None


@pytest.fixture
def reader(tmp_path):
    """What runs a command where a reader stands, and gives what it prints."""
    programs, place = tmp_path / "bin", tmp_path / "here"
    programs.mkdir()
    place.mkdir()
    (place / "examples").symlink_to(ROOT / "examples")
    for name, words in {"bitfold": "-m bitfold ", "python": ""}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "COLUMNS": "100"}
    if "PYTHONPATH" in env:
        env["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, env["PYTHONPATH"].split(os.pathsep)))

    def run(command: str, given: str | None = None) -> str:
        done = subprocess.run(
            ["bash", "-ec", command], cwd=place, env=env, input=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    run.place = place
    return run


def marked(page: Path) -> object:
    return pytest.param(page, id=str(page.relative_to(DOCS)), marks=[pytest.mark.slow] if said(page, "slow") else [])


@pytest.mark.parametrize("page", [marked(page) for page in PAGES])
def test_a_page_does_what_it_says(page, reader):
    for package in said(page, "needs"):
        if not find_spec(package):
            pytest.skip(f"{package} is not installed")
    for block in blocks(page):
        where = f"{page.name}, line {block.line}"
        if block.word == "not run" or (block.title is None and block.kind not in ("console", "python")):
            continue
        if block.title:
            file = reader.place / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a") as opened:
                opened.write(block.text)
        elif block.kind == "python":
            reader("python -", block.text)
        else:
            for command, told in block.commands:
                printed = reader(command)
                assert block.word == "varies" or matches(printed, told), (
                    f"{where}: {command}\n{printed}\nis not\n{told}"
                )


@pytest.mark.parametrize("page", TAUGHT, ids=lambda page: str(page.relative_to(DOCS)))
def test_no_code_is_left_out(page):
    """Every block is of a kind that is run, or says why it is not; nothing stands as code in other ways."""
    text = page.read_text("utf-8")
    for block in blocks(page):
        assert block.title or block.kind in ("console", "python", "text"), f"{page.name}, line {block.line}"
        assert block.word in (None, "not run", "varies"), f"{page.name}, line {block.line}"
    rest = BLOCK.sub("", text)
    assert "```" not in rest
    assert re.findall(r"^(?<=\n)\n {4,}(?![-*\d|])\S.*", rest, re.MULTILINE) == []


def test_the_workflow_runs_what_the_page_has_run():
    page = DOCS / "tutorials" / "ci.md"
    [workflow] = [block.text for block in blocks(page) if block.title and block.title.endswith(".yml")]
    typed = [command for block in blocks(page) if block.kind == "console" for command, _ in block.commands]
    steps = re.findall(r"^ +- run: (bitfold .*)$", workflow, re.MULTILINE)
    assert len(steps) == 2
    assert [step for step in steps if step not in typed] == []


@pytest.mark.parametrize("picture", sorted((DOCS / "pictures").glob("*.svg")), ids=lambda path: path.name)
def test_a_picture_stands_alone(picture):
    """It is well-formed, and small; what it is drawn with is in it; no other is loaded."""
    text = picture.read_text("utf-8")
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert len(text) < 100_000
    used = set(re.findall(r'class="([^"]+)"', text))
    styles = text.partition("</style>")[0]
    assert [name for name in {word for names in used for word in names.split()} if f".{name}" not in styles] == []
    assert re.findall(r"(?:href|src|url\()", text) == []


def test_the_comparison_is_of_the_networks_that_ship():
    """Each of its data sets' networks with its card's error, and each peer with a source; data sets are apart."""
    text = (DOCS / "pictures" / "compared.svg").read_text("utf-8")
    kept = tomllib.loads((ROOT / "benchmarks" / "compared.toml").read_text("utf-8"))
    first, second = text.split(">MNIST:")
    panels = {"cifar10": first.partition(">CIFAR-10:")[2], "mnist": second}
    for name in zoo.names():
        card = zoo.card(name)
        for data, panel in panels.items():
            assert (f">{name}, {100 * card.test_error:.2f} %<" in panel) == (card.data == data), name
    for peer in kept["peer"]:
        assert peer["source"]
        for data, panel in panels.items():
            assert (f">{peer['name']}, {100 * peer['error']:.4g} %" in panel) == (peer["data"] == data), peer["name"]
    assert text.count('<circle class="own"') == len(kept["own"]) > 3
    page = (DOCS / "one-bit.md").read_text("utf-8")
    assert [each["luts"] for each in kept["peer"] if "luts" in each and f"{each['luts']:,}" not in page] == []


def test_what_is_printed_is_compared():
    told = "a 1\n...\nb ... c\n"
    assert matches("a 1  \nx\ny\nb 77 c\n", told)
    assert matches("a 1\nb  c\n", told)
    assert not matches("a 2\nb 77 c\n", told)
    assert not matches("a 1\nx\nb 77 d\n", told)
    assert not matches("a 1\nb 77 c\nd\n", told)
    assert matches("", "")
    assert not matches("x\n", "")


def test_the_site_is_built_without_a_warning(tmp_path):
    """As `make site` builds it in a fresh clone; and nothing on its pages comes from elsewhere."""
    pytest.importorskip("mkdocs")
    shutil.rmtree(ROOT / "build" / "source", ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pages = [*tmp_path.rglob("*.html")]
    assert len(pages) > 30
    assert tmp_path / "draw-a-digit.html" in pages
    for page in pages:
        text = page.read_text("utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]+src="(https?:[^"]+)"', text)
        loaded += re.findall(r'<link[^>]+rel="(?:stylesheet|preconnect|icon)"[^>]+href="(https?:[^"]+)"', text)
        assert loaded == [], page
        # What markdown does not take for a table or a list of its own stands as text.
        assert not re.search(r"<p>(?:[^<]*\n)?\||\| ---|\n- ", re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)), (
            page
        )
