"""Which files a command line means by files, folders and globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vlqa.data.formats import has_picture_suffix


def walk(inputs: Iterable[str], on_empty: Callable[[str], None] | None = None) -> Iterator[str]:
    """The pictures that the inputs name, lazily and in a fixed order.

    A folder is searched with all its subfolders, sorted by name, for files with a picture's suffix; hidden files and
    folders are left out, a link to a folder is followed once. A glob (`*`, `?`, `[…]`, `**`) is expanded and sorted.
    Everything else is passed on as it is, whatever its suffix: a missing file, or a glob that matches nothing, is for
    `decode` to complain of, so that it becomes a record with an error.

    Args:
        inputs: paths or globs.
        on_empty: called with each folder input that holds no picture, for a warning or an error of the caller's.

    Yields:
        Paths, one a picture; the same one twice if it is named twice.
    """
    for given in inputs:
        # A file may really be called `a[1].jpg`: what exists is never taken for a pattern.
        matches = [given] if os.path.lexists(given) or not glob.has_magic(given) else _expand(given)
        for path in matches:
            if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a name is too long
                yield path
                continue
            empty = True
            for found in _pictures(path, set()):
                empty = False
                yield found
            if empty and on_empty is not None:
                on_empty(path)


def _expand(pattern: str) -> list[str]:
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute patterns
    if "**" in pattern:  # it lists a folder and then all that is in it, which would come twice
        found = [path for path in found if not Path(path).is_dir()]
    return found or [pattern]


def _pictures(folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    try:
        status = Path(folder).stat()
        names, folders, links = _listing(folder)
    except OSError:
        yield folder  # unreadable: a record with an error rather than silence
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for name in names:
        path = os.path.join(folder, name)  # noqa: PTH118 - a million times, and "./a" keeps its dot
        if name in folders or (name in links and Path(path).is_dir()):
            yield from _pictures(path, seen)
        elif has_picture_suffix(name):
            yield path


def _listing(folder: str) -> tuple[list[str], set[str], set[str]]:
    """Names of the pictures, folders and links in a folder, sorted; which are folders; which may lead to one.

    Of millions of entries the names alone are held, and no entry is asked for what the listing tells already.
    """
    names: list[str] = []
    folders: set[str] = set()
    links: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                links.add(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                folders.add(entry.name)
            elif not has_picture_suffix(entry.name):
                continue
            names.append(entry.name)
    names.sort()
    return names, folders, links
