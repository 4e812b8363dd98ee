"""The pictures of the README and the site: what `bitfold report` draws of a machine, each as a file of its own.

    python benchmarks/pictures.py [-o docs/pictures]

machine.svg is the pipeline of digits for 2,400 cycles a frame, report.svg what its units do while five frames pass.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURES = {"machine": "The pipeline", "report": "Occupancy over time"}
"""Of each picture how its label on the page begins."""

STYLED = ("svg", ".unit", ".small", ".end", ".wire", ".bits", ".strip", ".axis")
"""Of the page's rules those that a drawing needs begin so."""


def style(page: str) -> str:
    """The rules of a page."""
    [rules] = re.findall(r"<style>\n(.*?)</style>", page, re.DOTALL)
    return str(rules)


def cut(page: str, label: str) -> str:
    """The first drawing of a page whose label begins so, with its styles and a ground."""
    colours = style(page).partition("* {")[0]
    rules = "\n".join(line for line in style(page).splitlines() if line.startswith(STYLED))
    head, body = re.findall(rf'(<svg [^>]*aria-label="{label}[^>]*>)(.*?</svg>)', page, re.DOTALL)[0]
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    font = 'svg { font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }'
    ground = '<rect width="100%" height="100%" rx="10" fill="var(--card)"/>'
    text = f"{head}<style>\n{colours}{font}\n{rules}\n</style>{ground}{body}"
    return re.sub(r"\n\s*\n+", "\n", text).replace(" & ", " &amp; ") + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("-o", "--output", type=Path, default=Path("docs/pictures"))
    folder = arguments.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        page = Path(place) / "report.html"
        words = ["report", "digits", "--cycles", "2400", "--frames", "5", "-o", str(page)]
        subprocess.run([sys.executable, "-m", "bitfold", *words], check=True)
        text = page.read_text("utf-8")
    for name, label in PICTURES.items():
        (folder / f"{name}.svg").write_text(cut(text, label), "utf-8")
        print(f"{folder / name}.svg")


if __name__ == "__main__":
    main()
