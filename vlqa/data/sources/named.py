"""Single pictures of archives and tables, by the names that their records have: `shard.tar/00001.jpg`."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

from vlqa.data.formats import has_picture_suffix
from vlqa.data.sources import archives, parquet
from vlqa.data.sources.failing import failing
from vlqa.data.sources.web import is_address
from vlqa.types import Source

_HOLDERS = re.compile(
    rf"(?:{'|'.join(map(re.escape, archives.SUFFIXES + parquet.SUFFIXES))})(\?[^/]*)?/", re.IGNORECASE
)
_INDEXES = 4  # held at a time: what is named together lies together


def holder_of(name: str, folder: str | os.PathLike[str] = "") -> tuple[str, str] | None:
    """Path or address of the archive or table that a name leads into, and what it is called there.

    Args:
        name: of a picture.
        folder: that paths start from.

    Returns:
        None where the name leads into none that exists.
    """
    for found in _HOLDERS.finditer(name):
        holder, member = name[: found.end() - 1], name[found.end() :]
        if is_address(name):
            if member and (found.group(1) is None or has_picture_suffix(member)):  # else it is a part of the query
                return holder, member
        elif member and os.path.isfile(path := Path(folder, holder)):  # noqa: PTH113 - Path.is_file raises on long names
            return str(path), member
    return None


def is_elsewhere(name: str, folder: str | os.PathLike[str]) -> bool:
    """Whether a name leads to the web, or into an archive or a table that exists; what is there is not looked at."""
    return is_address(name) or holder_of(name, folder) is not None


class NamedPictures:
    """Finds pictures in archives and tables by their names; each of these is listed once.

    Args:
        listed: all pictures of an archive or a table, from its path or address.
    """

    def __init__(self, listed: Callable[[str], Iterator[Source]]) -> None:
        self._listed = listed
        self._indexes: OrderedDict[str, dict[str, Source]] = OrderedDict()

    def find(self, holder: str, member: str) -> Source:
        """A picture; one that fails where there is none of this name, or several."""
        name = f"{holder}/{member}"
        index = self._index(holder)
        if name in index:
            return index[name]
        if holder in index:  # it is damaged, or none
            return Source(name, index[holder].read)
        return failing(name, f"there is no picture called {member!r} in {holder}; check the name")

    def _index(self, holder: str) -> dict[str, Source]:
        if holder not in self._indexes:
            index: dict[str, Source] = {}
            for source in self._listed(holder):
                if source.name in index:
                    source = failing(
                        source.name, "is there more than once; a name of its own would tell which is meant"
                    )
                index[source.name] = source
            self._indexes[holder] = index
            if len(self._indexes) > _INDEXES:
                self._indexes.popitem(last=False)
        self._indexes.move_to_end(holder)
        return self._indexes[holder]
