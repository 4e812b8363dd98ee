"""Folders for what a run needs for a while, and for what is kept between runs.

A folder that a run works in is locked by it, so that whoever comes later can tell one whose run was killed from one in
use, and removes it.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import functools
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .error import BadInput

PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
"""Paths that every shell and makefile takes."""

_SCRATCH = re.compile(r"\.bitfold-[0-9a-f]{16}")
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


def cache(chosen: str | os.PathLike[str] | None = None) -> Path:
    """The folder for what is kept between runs; all in it may be deleted at any time.

    `chosen`, or `bitfold` in the user's cache; where that cannot be written, one that lasts as long as this process,
    and a line on stderr says so. BadInput where `chosen` cannot be written.
    """
    if chosen is not None:
        folder = Path(chosen).absolute()
        if reason := _unusable(folder):
            raise BadInput(f"{chosen} cannot keep compiled models: {reason}; choose another place")
        return folder
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "bitfold"
    except RuntimeError:  # nobody knows this user's home
        return _passing_cache("this user has no home")
    reason = _unusable(folder)
    return _passing_cache(f"{folder} cannot be written ({reason})") if reason else folder


def _unusable(folder: Path) -> str | None:
    """Why nothing can be kept in a folder, which is made; None where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder / f"probe-{secrets.token_hex(8)}"):
            return None
    except OSError as error:
        return error.strerror or str(error)


@contextmanager
def environment(**settings: str) -> Iterator[None]:
    """Environment variables for the programs that libraries start meanwhile."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@functools.cache
def _passing_cache(why: str) -> Path:
    stack = ExitStack()
    folder = stack.enter_context(scratch())
    atexit.register(stack.close)
    logging.getLogger("bitfold").warning(
        "bitfold: %s: compiled models are not kept; name a folder for them with --cache DIR or XDG_CACHE_HOME", why
    )
    return folder


@contextmanager
def scratch(*, plain: bool = False) -> Iterator[Path]:
    """A temporary folder, removed at the end; those of runs that were killed are removed at the start.

    `plain`: its path suits every shell and makefile, wherever the user's temporary files are.
    """
    try:
        usual = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise BadInput(f"there is no folder for temporary files: {error.strerror}; name one with TMPDIR") from None
    for parent in map(Path, (usual, "/tmp", "/var/tmp", "/dev/shm")):
        if not plain or (PLAIN.fullmatch(str(parent)) and os.access(parent, os.W_OK | os.X_OK)):
            break
    else:
        raise BadInput(f"{usual} has characters that simulators do not take; name another folder with TMPDIR")
    sweep(parent, _SCRATCH)
    with held(parent / f".bitfold-{secrets.token_hex(8)}") as folder:
        yield folder


@contextmanager
def held(folder: Path) -> Iterator[Path]:
    """The folder, empty and nobody else's until it is removed at the end; waits while another process holds it."""
    while True:
        with suppress(FileExistsError):  # perhaps gone already, which pathlib takes for a file in its place
            folder.mkdir(mode=0o700)
        if (lock := _lock(folder, wait=True)) is not None:
            break
    try:
        for rest in folder.iterdir():
            shutil.rmtree(rest) if rest.is_dir() and not rest.is_symlink() else rest.unlink()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path, names: re.Pattern[str]) -> None:
    """Remove the folders of such names whose process is gone."""
    for folder in parent.iterdir():
        if names.fullmatch(folder.name) and (lock := _lock(folder, wait=False)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """A descriptor that holds the folder until it is closed; None where the folder is gone or, unless `wait`, held."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError:
        if wait:
            raise
        return None  # another user's
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(lock), os.stat(folder)):
            return lock
    except FileNotFoundError:  # whoever held it has removed it
        pass
    except OSError as error:
        if wait and error.errno in _NO_LOCKS:  # a file system without locks, where nobody sweeps
            return lock
        if wait:
            os.close(lock)
            raise
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None
