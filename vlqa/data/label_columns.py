"""The columns of a label file: which there may be, what their cells must hold, and what to say where they do not."""

from __future__ import annotations

import math
import os
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlqa.data.table import Table
from vlqa.errors import ManifestError, did_you_mean

_REQUIRED = ("path", "mos")
OPTIONAL = ("mos_std", "distortion", "scenes", "split", "fold", "group", "reference")
_PATH_IN_LIQE = "image"
_OTHER_NAMES = {  # what published label files call the required columns; "dmos" is not here: its direction differs
    "path": ("filename", "file", "file_name", "image_name", "image_path", "img", "name"),
    "mos": ("score", "quality", "mean_mos", "label", "rating"),
}


def read_columns(table: Table, images: Path, *, unrated: bool = False) -> dict[str, Any]:
    """The fields of a Manifest that a table holds, each column checked.

    Args:
        table: the label file's rows.
        images: the folder that relative paths start from.
        unrated: whether `mos` may be empty.

    Raises:
        ManifestError: a column is missing or given twice, there are no rows, or a cell is wrong; with its line.
    """
    return _Columns(table, images).read(unrated)


def frozen(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same array, made read-only."""
    column.setflags(write=False)
    return column


class _Columns:
    """Turns a table of text into columns, or into the error that stands first in it."""

    def __init__(self, table: Table, images: Path) -> None:
        self.table = table
        self.images = images
        self.cells = self.named_columns()
        self.lines = [line for line, _ in table.rows]

    def read(self, unrated: bool) -> dict[str, Any]:
        names = self.full("path")
        mos = self.numbers("mos", self.cells["mos"] if unrated else self.full("mos"), blank=unrated)
        rated = mos[~np.isnan(mos)]
        if len(rated) > 1 and rated.min() == rated.max():
            warnings.warn(
                f"{self.table.file}: all {len(rated)} rows have mos {rated[0]:g}; nothing can be fitted or compared",
                UserWarning,
                stacklevel=4,
            )
        columns: dict[str, Any] = {"names": tuple(names), "paths": self.paths(names), "mos": mos}
        for name in OPTIONAL:
            if name not in self.cells:
                continue
            if name == "mos_std":
                columns[name] = self.numbers(name, self.cells[name], blank=True)
            elif name == "fold":
                columns[name] = self.fold()
            elif name == "scenes":
                columns[name] = tuple(
                    tuple(scene.strip() for scene in cell.split("|") if scene.strip()) for cell in self.cells[name]
                )
            else:
                columns[name] = tuple(self.cells[name] if name == "distortion" else self.full(name))
        if "distortion" not in columns and "type_id" in self.cells:
            columns["distortion"] = self.kadid_types()
        return columns

    def named_columns(self) -> dict[str, list[str]]:
        found = [name.casefold() for name in self.table.columns]
        if "path" not in found and found.count(_PATH_IN_LIQE) == 1:
            found = ["path" if name == _PATH_IN_LIQE else name for name in found]
        for index, name in enumerate(found):
            if name in found[:index] and name in _REQUIRED + OPTIONAL:
                raise ManifestError(f"{self.table.file}: the column {name!r} is there twice; remove one")
        listed = ", ".join(map(repr, self.table.columns)) or "none"
        for name in _REQUIRED:
            if name not in found:
                other = next((each for each in found if each in _OTHER_NAMES[name]), None)
                hint = f"; did you mean {other!r}?" if other else did_you_mean(name, set(found) - {"dmos"})
                hint = f"{hint} Rename it to {name!r}" if hint else ""
                if name == "mos" and "dmos" in found:
                    hint = "; 'dmos' rises as quality falls: turn it round, or rename it for vlqa fit --direction dmos"
                what = "'path' (or 'image')" if name == "path" else repr(name)
                raise ManifestError(f"{self.table.file}: the column {what} is missing; there are {listed}{hint}")
        for name in found:
            meant = did_you_mean(name, OPTIONAL) if name not in _REQUIRED + OPTIONAL else ""
            if meant:
                warnings.warn(f"{self.table.file}: the column {name!r} is ignored{meant}", UserWarning, stacklevel=5)
        if not self.table.rows:
            raise ManifestError(f"{self.table.file}: there is a header but no row")
        columns = zip(*(cells for _, cells in self.table.rows), strict=True)
        return {name: list(column) for name, column in zip(found, columns, strict=True)}

    def full(self, name: str) -> list[str]:
        for line, cell in zip(self.lines, self.cells[name], strict=True):
            if not cell:
                raise self.table.error(line, f"{name} is empty; fill it in or remove the row")
        return self.cells[name]

    def numbers(self, name: str, cells: Sequence[str], blank: bool = False) -> npt.NDArray[np.float64]:
        values = np.full(len(cells), np.nan)
        for index, (line, cell) in enumerate(zip(self.lines, cells, strict=True)):
            if not cell and blank:
                continue
            try:
                values[index] = float(cell.replace("_", "?"))  # Python reads 1_0 as 10
            except ValueError:
                hint = "; write the decimals after a point" if "," in cell else ""
                raise self.table.error(line, f"{name} must be a number, found {cell!r}{hint}") from None
            if not math.isfinite(values[index]) and not (blank and math.isnan(values[index])):
                raise self.table.error(line, f"{name} must be a finite number, found {cell!r}; remove the row")
            if name == "mos_std" and values[index] < 0:
                raise self.table.error(line, f"mos_std must not be negative, found {cell!r}")
        return frozen(values)

    def fold(self) -> npt.NDArray[np.int64]:
        values = self.numbers("fold", self.full("fold"))
        for line, value in zip(self.lines, values, strict=True):
            if value != int(value) or abs(value) >= 2**31:
                raise self.table.error(line, f"fold must be a whole number, found {value:g}")
        return frozen(values.astype(np.int64))

    def kadid_types(self) -> tuple[str, ...]:
        from vlqa.data.degradations import TYPES  # imports cv2, which other label files do without

        known = {float(kind.number): kind.name for kind in TYPES}
        numbers = self.numbers("type_id", self.cells["type_id"], blank=True).tolist()
        for line, number in zip(self.lines, numbers, strict=True):
            if number not in known and not math.isnan(number):
                raise self.table.error(line, f"type_id is KADID-10k's number of a type, 1 to 25, found {number:g}")
        return tuple(known.get(number, "") for number in numbers)

    def paths(self, names: Sequence[str]) -> tuple[Path, ...]:
        first: dict[str, int] = {}
        paths = []
        for line, name in zip(self.lines, names, strict=True):
            if any(unicodedata.category(character) == "Cc" for character in name):
                raise self.table.error(line, f"the path {name!r} holds control characters")
            path = self.images / name
            normal = os.path.normpath(path)
            if normal in first:
                raise self.table.error(
                    line, f"{name} is there twice, first in {self.table.unit} {first[normal]}; keep one"
                )
            first[normal] = line
            paths.append(path)
        return tuple(paths)
