"""A set's folder on disk: label files and pictures, found whatever the case of their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlqa.errors import ManifestError


@dataclass(frozen=True)
class Folder:
    """One folder and what lies under it; each subfolder is listed once.

    Names are given with forward slashes. TID2013 alone mixes i01_01_1.bmp, I01_01_1.bmp and I01.BMP, and copies made on
    Windows change more, so a name is taken as it is written and else in any case.

    Attributes:
        path: the folder.
        home: the web page of the set, for messages.
    """

    path: Path
    home: str
    _listings: dict[Path, dict[str, str]] = field(default_factory=dict, repr=False, compare=False)

    def entries(self, inside: Path | None = None) -> dict[str, str]:
        """Names in the folder, or in one inside it, by themselves and in lower case; none if it cannot be read."""
        where = self.path if inside is None else inside
        if where not in self._listings:
            try:
                names = sorted(entry.name for entry in where.iterdir())
            except OSError:  # no such folder, or a file: what is looked for in it is missing
                names = []
            self._listings[where] = {name.casefold(): name for name in names} | {name: name for name in names}
        return self._listings[where]

    def on_disk(self, name: str) -> str | None:
        """The name as the disk spells it; None if there is nothing of that name."""
        spelled: list[str] = []
        for part in name.split("/"):
            listing = self.entries(self.path.joinpath(*spelled))
            found = listing.get(part) or listing.get(part.casefold())
            if found is None:
                return None
            spelled.append(found)
        return "/".join(spelled)

    def find(self, *names: str) -> Path | None:
        """The first of these files or folders that is there."""
        return next((self.path / found for found in map(self.on_disk, names) if found is not None), None)

    def file(self, *names: str) -> Path:
        """The first of these files that is there.

        Raises:
            ManifestError: none is; the message names them all.
        """
        found = self.find(*names)
        if found is None:
            raise ManifestError(f"{self.path}: no {' or '.join(names)}; it comes with the set, from {self.home}")
        return found

    def within(self, candidates: Sequence[str], names: Iterable[str]) -> list[str]:
        """The names with the folder in front that holds them.

        That is the first of the candidates ("" for this folder itself) in which any of the names is found, else the
        first that is there at all, else the first: so missing pictures are missing where they belong.
        """
        wanted = list(names)
        holding = next((each for each in candidates if any(self.on_disk(_joined(each, name)) for name in wanted)), None)
        there = next((each for each in candidates if each and self.on_disk(each)), candidates[0])
        return [_joined(there if holding is None else holding, name) for name in wanted]


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
