"""The wheel and the sdist: every file that belongs there, and a command that works away from the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")
if not (Path(__file__).parents[1] / ".git").exists():
    pytest.skip("which files belong there git says", allow_module_level=True)

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FOLDERS = [package.replace(".", "/") for package in PROJECT["tool"]["setuptools"]["packages"]]


def call(*words: object, **how: object) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, **how)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def pythons() -> list[str]:
    """This Python, and others on the PATH for which the package is."""
    found = {f"{sys.version_info.major}.{sys.version_info.minor}": sys.executable}
    for minor in range(11, 15):
        path = shutil.which(f"python3.{minor}")
        if (
            path
            and not subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode
        ):
            found.setdefault(f"3.{minor}", path)
    return [found[name] for name in sorted(found)]


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The repository's files."""
    return set(call("git", "ls-files", cwd=ROOT).splitlines())


@pytest.fixture(scope="module")
def built(tracked, tmp_path_factory) -> Path:
    """A folder with a wheel and the sdist that it was built from."""
    place = tmp_path_factory.mktemp("package")
    for name in tracked:
        if (ROOT / name).exists():
            (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / "source" / name)
    told = call(sys.executable, "-m", "build", "--outdir", place / "dist", cwd=place / "source")
    assert "is absent from the `packages` configuration" not in told
    return place / "dist"


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    [path] = built.glob("*.whl")
    return path


def test_the_changelog_begins_with_the_version():
    first = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[0]
    assert re.fullmatch(re.escape(PROJECT["project"]["version"]) + r" \((unreleased|\d{4}-\d\d-\d\d)\)", first)


@pytest.mark.slow
def test_the_wheel_has_every_file_of_its_packages(wheel, tracked):
    """Templates, C++, networks and recipes, too."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {f"bitfold/{name}" for name in tracked if str(Path("bitfold", name).parent) in FOLDERS} - ABOUT


ABOUT = {
    f"bitfold/{name}"
    for name in (".gitignore", "CHANGELOG.md", "LICENSE", "MANIFEST.in", "Makefile", "README.md", "mkdocs.yml",
                 "pyproject.toml", "requirements.lock")
}  # fmt: skip
"""What lies beside the modules of the root and is about the repository."""


@pytest.mark.slow
def test_the_sdist_is_the_repository(built, tracked):
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in names if name.startswith("bitfold.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert names - made == {name for name in tracked if (ROOT / name).exists()}


@pytest.mark.slow
@pytest.mark.parametrize("python", pythons())
def test_it_works_where_nothing_else_is_installed(python, wheel, tmp_path):
    here, bin_ = tmp_path / "here", tmp_path / "venv" / "bin"
    here.mkdir()
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    where = {"cwd": here, "env": env | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONWARNINGS": "error"}}
    call(python, "-m", "venv", tmp_path / "venv", env=env)
    call(bin_ / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "requirements.lock", wheel, env=env, cwd=here)
    assert "torch" not in call(bin_ / "python", "-m", "pip", "list", "--format", "freeze", env=env)
    assert call(bin_ / "bitfold", "--version", **where) == f"bitfold {PROJECT['project']['version']}\n"
    assert " digits-tiny " in call(bin_ / "bitfold", "zoo", **where)
    call(bin_ / "bitfold", "verilog", "digits", "-o", "machine", **where)
    call(bin_ / "bitfold", "report", "digits-tiny", "--frames", "0", "-o", "report.html", **where)
    assert {"bitfold.v", "bitfold.md", "bitfold.toml"} <= {path.name for path in (here / "machine").iterdir()}
    program = "import bitfold.zoo; print(bitfold.zoo.load('digits').weights, bitfold.__file__)"
    weights, file = call(bin_ / "python", "-c", program, **where).split()
    assert (weights, Path(file).parents[4]) == ("74512", tmp_path / "venv")
