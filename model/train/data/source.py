"""Where a data set's files lie, and where they come from if they lie nowhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...error import BadInput, install

MEND = "delete it, and it is downloaded again"
"""How a broken file is mended, at the end of an error's line."""


@dataclass(frozen=True)
class Source:
    """A data set's files, on disk or on a server.

    Parameters
    ----------
    title : the data set's name
    places : folders below the user's where the files may lie, "." being the user's own; downloads go to the first
    url : what a file's name is appended to
    md5 : of every file on the server, by name: the data set's files, or the one archive that holds them all
    """

    title: str
    places: tuple[str, ...]
    url: str
    md5: dict[str, str]

    def find(self, folder: Path, files: Sequence[Sequence[str]]) -> list[Path] | None:
        """Paths of `files`, each given by its spellings, in the first place that has them all; None if none has."""
        for place in self.places:
            found = [path for spellings in files if (path := _spelled(folder / place, spellings))]
            if len(found) == len(files):
                return found
        return None

    def obtain(self, folder: Path, files: Sequence[Sequence[str]]) -> list[Path]:
        """As `find`, but what is missing is downloaded; BadInput when that fails.

        A download is checked against its MD5 before it gets its name: a file is there as a whole or not at all.
        """
        if found := self.find(folder, files):
            return found
        home = folder / self.places[0]
        for spellings in files:
            if not _spelled(home, spellings):
                self._fetch(folder, home, spellings)
        return [path for spellings in files if (path := _spelled(home, spellings))]

    def _fetch(self, folder: Path, home: Path, spellings: Sequence[str]) -> None:
        remote = next((name for name in spellings if name in self.md5), next(iter(self.md5)))
        url = self.url + remote
        missing = f"{spellings[0]} is in none of {', '.join(str(folder / place) for place in self.places)}"
        mend = f"put it into {home}, or name the folder that has it"
        try:
            import pooch
        except ImportError:
            raise BadInput(f"{missing}; {mend}; downloading it takes pooch; {install('train')}") from None
        unpack = pooch.Untar(extract_dir="unpacked") if remote.endswith(".tar.gz") else None
        try:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as arriving:
                arrived = pooch.retrieve(url, f"md5:{self.md5[remote]}", fname=remote, path=arriving, processor=unpack)
                home.mkdir(parents=True, exist_ok=True)
                for path in [arrived] if unpack is None else arrived:
                    os.replace(path, home / Path(path).name)
        except OSError as error:  # whatever requests raises is one
            reason = error.strerror or type(error).__name__
            raise BadInput(f"{missing}, and {url} cannot be fetched ({reason}): {mend}") from None
        except ValueError:
            wrong = f"what {url} sends has not the MD5 of {self.title}'s file, {self.md5[remote]}, and is not kept"
            raise BadInput(f"{missing}, and {wrong}: {mend}") from None


def _spelled(place: Path, spellings: Sequence[str]) -> Path | None:
    return next((place / name for name in spellings if (place / name).is_file()), None)
