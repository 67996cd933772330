"""Label files of choices between two pictures: columns path_a, path_b and preferred."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vlqa.data.sources.web import is_address
from vlqa.data.table import read_table
from vlqa.errors import ManifestError
from vlqa.types import Source

_COLUMNS = ("path_a", "path_b", "preferred")
_WORDS = ("a", "b", "tie")


@dataclass(frozen=True)
class Choices:
    """Pairs of pictures and which looked better.

    Attributes:
        images: folder that paths start from.
        first: the pictures a, as the file writes them.
        second: the pictures b.
        preferred: "a", "b" or "tie".
    """

    images: Path
    first: tuple[str, ...]
    second: tuple[str, ...]
    preferred: tuple[str, ...]

    def find_pictures(self) -> dict[str, Path | Source]:
        """Each picture once, by its name, as `Manifest.find_pictures`."""
        from vlqa.data.sources.find import PictureFinder  # imports decoders, which reading labels does without

        finder = PictureFinder()
        names = dict.fromkeys([*self.first, *self.second])
        return {name: finder.elsewhere(name, self.images) or self.images / name for name in names}

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, images: str | os.PathLike[str] | None = None) -> Choices:
        """Read a CSV or Parquet file.

        Args:
            path: the file.
            images: folder that its paths start from; its own when left out.

        Raises:
            ManifestError: a column is missing or there twice, a cell is empty or another word, or there is no row.
        """
        file = Path(path)
        root = file.parent if images is None else Path(images)
        if not root.is_dir():
            raise ManifestError(f"{root}: no such folder of images")
        table = read_table(file)
        found = [name.casefold() for name in table.columns]
        if twice := [name for name in _COLUMNS if found.count(name) > 1]:
            raise ManifestError(f"{file}: the column {twice[0]!r} is there twice; remove one")
        if missing := [name for name in _COLUMNS if name not in found]:
            there = ", ".join(map(repr, table.columns)) or "none"
            raise ManifestError(f"{file}: choices need the columns {', '.join(missing)}; there are {there}")
        if not table.rows:
            raise ManifestError(f"{file}: there is a header but no row")
        rows = [(line, [cells[found.index(name)] for name in _COLUMNS]) for line, cells in table.rows]
        for line, (first, second, preferred) in rows:
            if not first or not second:
                raise table.error(line, "a path is empty; fill it in or remove the row")
            if first == second:
                raise table.error(line, f"{first} is compared with itself; remove the row")
            if preferred.lower() not in _WORDS:
                raise table.error(line, f"preferred must be a, b or tie, found {preferred!r}")
        columns = [tuple(cells[place] for _, cells in rows) for place in range(3)]
        return cls(root, _plain(columns[0]), _plain(columns[1]), tuple(word.lower() for word in columns[2]))


def _plain(names: Iterable[str]) -> tuple[str, ...]:
    """The same names, one a picture: `./a.jpg` is `a.jpg`."""
    return tuple(name if is_address(name) else str(Path(name)) for name in names)


def holds_choices(path: str | os.PathLike[str]) -> bool:
    """Whether a label file has the columns of choices rather than of opinions."""
    found = {name.casefold() for name in read_table(Path(path)).columns}
    return set(_COLUMNS) <= found and "mos" not in found
