"""Label files: which pictures there are and what people thought of them. No picture is opened here."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlqa.data.label_columns import OPTIONAL, frozen, read_columns
from vlqa.data.table import Table, read_table
from vlqa.errors import ManifestError
from vlqa.types import Source


@dataclass(frozen=True, eq=False)
class Manifest:
    """Rows of a label file as columns of equal length. Build one with `read` or `of`, which check them.

    Attributes:
        source: the label file.
        images: the folder that relative paths start from.
        names: each path as the label file writes it.
        paths: each path in full.
        mos: (n,) mean opinion scores, higher is better, on the label file's own scale; NaN where a row has none.
        mos_std: (n,) deviation of the raters, NaN where there is none; None without the column, as all below.
        distortion: one name a row, "" where there is none.
        scenes: the names of each row, () where there are none.
        split: "train", "test" or whatever the file says.
        fold: (n,) fold numbers.
        group: what must not be divided between folds.
        reference: the undamaged picture of each row, as the file writes it.
    """

    source: Path
    images: Path
    names: tuple[str, ...]
    paths: tuple[Path, ...]
    mos: npt.NDArray[np.float64]
    mos_std: npt.NDArray[np.float64] | None = None
    distortion: tuple[str, ...] | None = None
    scenes: tuple[tuple[str, ...], ...] | None = None
    split: tuple[str, ...] | None = None
    fold: npt.NDArray[np.int64] | None = None
    group: tuple[str, ...] | None = None
    reference: tuple[str, ...] | None = None

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        images: str | os.PathLike[str] | None = None,
        *,
        unrated: bool = False,
    ) -> Manifest:
        """Read a CSV or Parquet label file.

        Columns path (or image, as LIQE's label files call it) and mos are needed; mos_std, distortion, scenes (joined
        by |), split, fold, group and reference are read where they are, and KADID-10k's type_id for distortion; others
        are ignored, with a warning where one looks like a slip of the pen.

        Args:
            path: the label file.
            images: the folder that relative paths start from; the label file's own otherwise.
            unrated: whether rows may leave mos empty, as pictures may of which only scene or distortion is known.

        Raises:
            ManifestError: one line that names the file, the line, what was expected and what to do.
        """
        file = Path(path)
        root = file.parent if images is None else Path(images)
        if not root.is_dir():
            raise ManifestError(f"{root}: no such folder of images")
        table = read_table(file)
        return cls(source=file, images=root, **read_columns(table, root, unrated=unrated))

    @classmethod
    def of(cls, table: Table, images: Path) -> Manifest:
        """Rows that a program put together, checked as `read` checks those of a label file.

        Raises:
            ManifestError: as in `read`.
        """
        return cls(source=table.file, images=images, **read_columns(table, images))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.names)

    @property
    def folds(self) -> tuple[int, ...]:
        """The fold numbers that occur, ascending; empty without the column."""
        return () if self.fold is None else tuple(int(number) for number in np.unique(self.fold))

    def subset(self, rows: npt.ArrayLike) -> Manifest:
        """The rows of a truth mask (n,), or of indices in their order.

        Raises:
            ManifestError: a mask of another length, an index outside, or nothing selected.
        """
        chosen = np.asarray(rows)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise ManifestError(f"expected a mask of {len(self)} rows, found shape {chosen.shape}")
            chosen = np.flatnonzero(chosen)
        if not chosen.size:
            raise ManifestError(f"{self.source}: no row is selected")
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
            raise ManifestError("rows are selected by a truth mask or by whole numbers")
        if chosen.min() < -len(self) or chosen.max() >= len(self):
            raise ManifestError(
                f"row {chosen.max() if chosen.max() >= len(self) else chosen.min()} of {len(self)} rows"
            )
        columns: dict[str, Any] = {}
        for field in dataclasses.fields(self)[2:]:
            column = getattr(self, field.name)
            if isinstance(column, tuple):
                columns[field.name] = tuple(column[index] for index in chosen)
            elif column is not None:
                columns[field.name] = frozen(column[chosen])
        return dataclasses.replace(self, **columns)

    def where(self, **wanted: Any) -> Manifest:
        """The rows whose columns have a given value, or one of several.

        `where(fold=0)`, `where(split=["train", "val"], distortion="blur")`. Scenes match if any of a row's does.

        Raises:
            ManifestError: a column that does not exist, or no such row; the message names the values there are.
        """
        mask = np.ones(len(self), bool)
        for name, value in wanted.items():
            column = getattr(self, name, None) if name in OPTIONAL else None
            if column is None:
                there = [each for each in OPTIONAL if getattr(self, each) is not None]
                raise ManifestError(
                    f"{self.source}: no column {name!r} to select by; there are {', '.join(there) or 'none'}"
                )
            accepted = set(value) if isinstance(value, list | tuple | set | range) else {value}
            rows = [set(item) if isinstance(item, tuple) else {item} for item in column]
            fits = np.array([not accepted.isdisjoint(row) for row in rows])
            if not fits.any():
                values = sorted(set().union(*rows))
                listed = ", ".join(map(str, values[:10])) + (", …" if len(values) > 10 else "")
                raise ManifestError(f"{self.source}: no row has {name} {value!r}; there are {listed}")
            mask &= fits
        return self.subset(mask)

    def splits(self) -> Iterator[tuple[int, Manifest, Manifest]]:
        """(fold number, the rows of all other folds, the rows of this fold), fold by fold.

        Raises:
            ManifestError: there is no column fold, or only one fold.
        """
        if self.fold is None or len(self.folds) < 2:
            raise ManifestError(f"{self.source}: a column 'fold' with two values or more is needed")
        for number in self.folds:
            yield number, self.subset(self.fold != number), self.subset(self.fold == number)

    def find_pictures(self) -> list[Path | Source]:
        """Each picture as predictors take it: its path, or a `Source` of what is no file of its own.

        Archives and tables are listed for it, and those on the web fetched, by each call.

        A name such as `shard.tar/00001.jpg` or `https://host/a.jpg` is what records of `vlqa score` and lists of
        `vlqa select` call the member of an archive, the row of a Parquet file or a picture on the web.
        """
        from vlqa.data.sources.find import PictureFinder  # imports decoders, which reading labels does without

        finder = PictureFinder()
        return [finder.elsewhere(name, self.images) or path for name, path in zip(self.names, self.paths, strict=True)]

    def missing_files(self) -> tuple[Path, ...]:
        """Paths at which there is no file, without those that lead to the web or into an archive that is there."""
        absent = [(name, path) for name, path in zip(self.names, self.paths, strict=True) if not path.is_file()]
        if not absent:
            return ()
        from vlqa.data.sources.named import is_elsewhere  # imports decoders, as above

        return tuple(path for name, path in absent if not is_elsewhere(name, self.images))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as CSV with paths as they were read; `images` must be given to read it from elsewhere."""
        from vlqa.artifacts import atomic_write  # imports torch, which reading labels does without

        columns: dict[str, Sequence[Any]] = {"path": self.names, "mos": _blank_where_unknown(self.mos)}
        for name in OPTIONAL:
            column = getattr(self, name)
            if name == "scenes" and column is not None:
                column = ["|".join(scenes) for scenes in column]
            if name == "mos_std" and column is not None:
                column = _blank_where_unknown(column)
            if column is not None:
                columns[name] = column
        with atomic_write(path, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


def _blank_where_unknown(column: npt.NDArray[np.float64]) -> list[Any]:
    return ["" if math.isnan(value) else value for value in column.tolist()]
