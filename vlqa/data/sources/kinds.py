"""What a path or an address stands for, by how it is written."""

from __future__ import annotations

from enum import Enum, auto

from vlqa.data.sources import archives, parquet
from vlqa.data.sources.named import holder_of
from vlqa.data.sources.web import is_address


class Kind(Enum):
    """What a name is taken for."""

    PICTURE = auto()
    ARCHIVE = auto()
    TABLE = auto()


def kind_of(name: str) -> Kind:
    """What the file of a path, or what is at an address, is taken for; nothing is looked at.

    Args:
        name: an address may have a query and a fragment, and may lead to a picture in an archive or a table.
    """
    path = name
    if is_address(name):
        if holder_of(name) is not None:
            return Kind.PICTURE
        path = name.partition("#")[0].partition("?")[0]
    if path.lower().endswith(archives.SUFFIXES):
        return Kind.ARCHIVE
    return Kind.TABLE if path.lower().endswith(parquet.SUFFIXES) else Kind.PICTURE
