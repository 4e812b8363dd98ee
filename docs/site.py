"""What the site has besides the pages in this folder: the sources to read docstrings from, generated pages, links.

MkDocs calls the functions `on_*`; mkdocstrings makes the `Docstrings`.
"""

from __future__ import annotations

import logging
import posixpath
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from bitfold.cli.main import app

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "build" / "source"
DIGIT = ROOT / "build" / "draw-a-digit.html"
LOG = logging.getLogger("mkdocs.hooks.site")

ELSEWHERE = {
    "CHANGELOG.md": "reference/changelog.md",
    "model/zoo/README.md": "zoo.md",
    "model/train/recipes": "reference/recipes.md",
    **{f"examples/{file.name}": "reference/examples.md" for file in (ROOT / "examples").glob("*.py")},
}
"""Pages that stand for what lies outside this folder."""

NO_DIGIT = """<!doctype html>
<meta charset="utf-8"><title>Draw a digit</title>
<p>This site was built without the page. <code>make site</code> makes it first.</p>
"""
"""What stands in the place of the page on which one draws a digit, where nobody has made it."""

FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))")


@event_priority(100)  # before mkdocstrings, which looks once whether the folder is there
def on_config(config: MkDocsConfig) -> None:
    """Lay the package's sources where docstrings are read: the root itself, a package, holds much else."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    shutil.rmtree(SOURCE, ignore_errors=True)
    for package in packages:
        place = Path(*package.split("."))
        (SOURCE / place).mkdir(parents=True, exist_ok=True)
        for file in (ROOT / place.relative_to("bitfold")).glob("*.py"):
            shutil.copy(file, SOURCE / place / file.name)


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are made of other files, and of the command itself."""
    made = {
        "reference/command.md": command_page(),
        "reference/recipes.md": recipes_page(),
        "reference/examples.md": examples_page(),
        **{page: (ROOT / path).read_text("utf-8") for path, page in ELSEWHERE.items() if path.endswith(".md")},
    }
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    whole = {"abs_src_path": str(DIGIT)} if DIGIT.exists() else {"content": NO_DIGIT}
    files.append(File.generated(config, DIGIT.name, **whole))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that lead on a code host to where they lead on the site; a warning where there is no such page."""
    place = page.file.src_uri
    original = {site: path for path, site in ELSEWHERE.items() if path.endswith(".md")}.get(place, f"docs/{place}")

    def moved(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(original), match[1]))
        target = path.removeprefix("docs/") if path.startswith("docs/") else ELSEWHERE.get(path)
        if target is None:
            LOG.warning("%s links to %s, which no page of the site stands for", original, path)
            return match[0]
        return posixpath.relpath(target, posixpath.dirname(place) or ".") + (match[2] or "")

    parts = FENCED.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)


def command_page() -> str:
    """Every command with its arguments and options, as --help has them."""
    parts = ["# The command\n", "`bitfold COMMAND --help` says the same.\n"]
    group: Any = typer.main.get_command(app)
    context = group.make_context("bitfold", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        parts.append(f"## bitfold {name}\n\n{command.help}\n")
        rows = [row for parameter in command.get_params(inner) if (row := parameter.get_help_record(inner))]
        if rows:
            parts.append("| argument or option | what |\n| --- | --- |")
            parts += [f"| `{_cell(left)}` | {_cell(right).replace('<', '&lt;')} |" for left, right in rows]
            parts.append("")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def recipes_page() -> str:
    """The recipes that ship, one after the other."""
    parts = ["# Recipes that ship\n", "`bitfold train NAME --data DIR -o NET.bitfold`; [their keys](../training.md).\n"]
    for file in sorted((ROOT / "model/train/recipes").glob("*.toml")):
        parts.append(f"## {file.stem}\n\n```toml\n{file.read_text('utf-8')}```\n")
    return "\n".join(parts)


def examples_page() -> str:
    """The programs in examples/, one after the other."""
    parts = ["# Examples\n", "The programs in `examples/`, which the tutorials use and the tests run.\n"]
    for file in sorted((ROOT / "examples").glob("*.py")):
        parts.append(f"## {file.name}\n\n```python\n{file.read_text('utf-8')}```\n")
    return "\n".join(parts)


SECTION = re.compile(r"^([A-Z]\w+)\n-{3,}\n((?:.+\n?)+)", re.MULTILINE)
"""A title underlined, and its lines up to an empty one."""


class Docstrings(griffe.Extension):
    """Docstrings in markdown: sections become lists, ``text`` and `text` code."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring:
            text = SECTION.sub(lambda match: f"**{match[1]}**\n\n{_list(match[2])}\n", obj.docstring.value)
            obj.docstring.value = text


def _list(lines: str) -> str:
    return "\n".join(_items(lines))


def _items(lines: str) -> Iterator[str]:
    """A list of what stands in lines such as "name : text", with the lines indented below them."""
    for line in lines.splitlines():
        name, separator, text = line.partition(" : ")
        if separator and not line.startswith(" "):
            yield f"- {', '.join(f'`{each}`' for each in name.split(', '))}: {text}"
        else:
            yield f"  {line.strip()}" if line.startswith(" ") else f"- {line}"
