"""Splits that LIQE published (github.com/zwx8981/LIQE), read from its own files."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vlqa.data.catalog.columns import from_columns
from vlqa.data.manifest import Manifest
from vlqa.data.table import Table
from vlqa.errors import ManifestError

_FOLDER = "splits2"
_KINDS = ("_clip", "_score", "")  # of the files of one set the first has most columns
_NAME = re.compile(r"(.+?)_(train|val|test)(_clip|_score)?\.txt")
_NOTHING = "invalid"  # in the place of a second and third scene
_COLUMNS = {
    2: ("path", "mos"),
    3: ("path", "mos", "mos_std"),
    6: ("path", "mos", "distortion", "scenes", "scenes", "scenes"),
}


def published_split(
    folder: str | os.PathLike[str],
    number: int = 1,
    *,
    images: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> tuple[Manifest, Manifest]:
    """What to train on and what to test on in one of LIQE's ten splits of a set.

    A file holds a picture a line, between tabs: its path in the set's folder, its opinion, which is higher for better
    pictures in all six sets, its distortion and three places for scenes.

    Args:
        folder: the set's folder, such as IQA_Database/CSIQ, or `splits2` in it.
        number: of the split, 1 to 10.
        images: the folder that paths start from; that in which `splits2` lies when left out.
        name: of the set as its files begin (csiq, live, bid, clive, koniq10k, kadid10k), where there are several.

    Returns:
        (train, test). Column `split` of the first tells "train" from "val", by which LIQE chose its epoch: who needs no
        such choice trains on both.

    Raises:
        ManifestError: no such files, lines with other fields, or pictures on both sides.
    """
    root = Path(folder)
    splits = root if root.name == _FOLDER else root / _FOLDER
    place = splits / str(number)
    if not place.is_dir():
        raise ManifestError(f"{place}: no such folder; give the set's folder of LIQE's IQA_Database, and 1 to 10")
    files = _files(place, name)
    pictures = splits.parent if images is None else Path(images)
    train = Manifest.of(_read(files["train"], "train", files.get("val")), pictures)
    test = Manifest.of(_read(files["test"], "test"), pictures)
    shared = set(train.names) & set(test.names)
    if shared:
        raise ManifestError(f"{files['test']}: {len(shared)} pictures are in {files['train'].name} too; remove them")
    return train, test


def _files(place: Path, name: str | None) -> dict[str, Path]:
    """The files of one set by part."""
    sets: dict[tuple[str, str], dict[str, Path]] = {}
    for file in sorted(place.iterdir()):
        found = _NAME.fullmatch(file.name)
        if found:
            sets.setdefault((found[1], found[3] or ""), {})[found[2]] = file
    names = sorted({each for each, _ in sets})
    for kind in _KINDS:
        whole = [each for each in names if {"train", "test"} <= set(sets.get((each, kind), ()))]
        wanted = whole if name is None else [each for each in whole if each == name]
        if len(wanted) == 1:
            return sets[wanted[0], kind]
        if wanted:
            raise ManifestError(f"{place}: splits of several sets, {', '.join(wanted)}; name one of them")
    wanted_files = f"{name or 'SET'}_train_clip.txt and {name or 'SET'}_test_clip.txt"
    raise ManifestError(f"{place}: no {wanted_files}; there are files of {', '.join(names) or 'no set'}")


def _read(file: Path, part: str, also: Path | None = None) -> Table:
    """Lines of one or two files in the columns of a label file; `also` is the part "val"."""
    cells: dict[str, list[str]] = {}
    for source, label in ((file, part), (also, "val")):
        if source is None:
            continue
        for number, fields in _lines(source):
            columns = _COLUMNS.get(len(fields))
            if columns is None or (cells and set(cells) != {*columns, "split"}):
                expected = "2, 3 or 6" if columns is None else str(len(cells) - 1)
                message = f"expected {expected} fields between tabs, found {len(fields)}; download the file again"
                raise ManifestError(f"{source}:{number}: {message}")
            row = dict.fromkeys(columns, "") | {"split": label}
            for column, cell in zip(columns, fields, strict=True):
                if cell != _NOTHING:
                    row[column] = f"{row[column]}|{cell}".strip("|")
            for column, cell in row.items():
                cells.setdefault(column, []).append(cell)
    if not cells:
        raise ManifestError(f"{file}: the file is empty; download it again")
    return from_columns(file, **cells)


def _lines(file: Path) -> list[tuple[int, list[str]]]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ManifestError(f"{file}: cannot be read ({error.strerror})") from None
    lines = [(number, line.split("\t")) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, [cell.strip() for cell in fields]) for number, fields in lines if fields != [""]]
