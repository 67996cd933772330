"""How many pictures inputs name, for the time a run has left: in small steps, and without a name in memory."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from vlqa.data.files import open_regular
from vlqa.data.formats import has_picture_suffix
from vlqa.data.sources import archives, parquet, web
from vlqa.data.sources.find import STANDARD_INPUT, is_list
from vlqa.data.sources.kinds import Kind, kind_of
from vlqa.data.sources.lists import expand_braces, read_names


class UncountableError(Exception):
    """What the inputs name is known only once it is read."""


def counts(inputs: Iterable[str]) -> Iterator[int]:
    """Numbers whose sum is that of the pictures that `PictureFinder.find` finds; many are 0, so that one may rest.

    Raises:
        UncountableError: standard input, a list that is no file but a pipe, a gzipped archive, or an archive at an
            address.
    """
    for given in inputs:
        if given == STANDARD_INPUT:
            raise UncountableError
        if is_list(given):
            if not Path(given[1:]).is_file():  # lines that are read here would be lost to the run
                raise UncountableError
            with Path(given[1:]).open("rb") as file:
                for name in read_names(file, given[1:]):
                    yield from _named(name)
        elif web.is_address(given):
            for address in expand_braces(given):
                yield from _named(address)
        else:
            for pattern in [given] if os.path.lexists(given) else expand_braces(given):
                yield from _matching(pattern)


def _named(name: str) -> Iterator[int]:
    """What a line of a list stands for."""
    if web.is_address(name):
        if kind_of(name) is not Kind.PICTURE:
            raise UncountableError
        yield 1
    elif has_picture_suffix(name):
        yield 1
    else:
        yield from _at(name)


def _matching(pattern: str) -> Iterator[int]:
    if os.path.lexists(pattern) or not glob.has_magic(pattern):
        yield from _at(pattern)
        return
    matched = False
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - as `walk`
        if "**" not in pattern or not Path(path).is_dir():
            matched = True
            yield from _at(path)
    if not matched:
        yield 1  # a record with an error


def _at(path: str) -> Iterator[int]:
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a name is too long
        yield from _in_folder(path)
    elif (kind := kind_of(path)) is Kind.ARCHIVE:
        if _is_packed(path):
            raise UncountableError  # to unpack it once more would take time from the run
        yield from (1 for _ in archives.members(path, sys.maxsize))
    elif kind is Kind.TABLE:
        yield parquet.count_rows(path)
    else:
        yield 1


def _in_folder(folder: str) -> Iterator[int]:
    waiting, seen = [folder], set[tuple[int, int]]()
    while waiting:
        place = waiting.pop()
        try:
            status = Path(place).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        yield 0
                    elif Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir():
                        waiting.append(entry.path)
                    else:
                        yield int(has_picture_suffix(entry.name))
        except OSError:
            yield 1  # a record with an error


def _is_packed(path: str) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(2) == archives.GZIP
    except Exception:  # the archive's one record says why
        return False
