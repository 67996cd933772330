"""The pictures that a command was given."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

import typer

from vlqa.data.complaints import one_line
from vlqa.data.images import MAX_PIXELS
from vlqa.data.sources.find import Picture, PictureFinder
from vlqa.data.sources.web import is_address
from vlqa.errors import ConfigError
from vlqa.types import Source

DIGEST_BYTES = 12


def find_pictures(paths: Sequence[str], max_pixels: int = MAX_PIXELS) -> Iterator[Picture]:
    """All pictures that inputs name, found as one goes; an input with none is a warning.

    Args:
        paths: inputs of any kind; see `PictureFinder.find`.
        max_pixels: of a picture; bounds what is read of one that is no file of its own.

    Raises:
        ConfigError: a list cannot be read.
    """

    def warn(name: str) -> None:
        where = "standard input" if name == "-" else one_line(name)
        typer.echo(f"warning: {where}: no pictures in it", err=True)

    standard_input = getattr(sys.stdin, "buffer", None)
    return PictureFinder(standard_input, max_pixels=max_pixels, on_empty=warn).find(paths)


def at_least_one(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """The same pictures.

    Raises:
        ConfigError: there were none.
    """
    empty = True
    for picture in pictures:
        empty = False
        yield picture
    if empty:
        raise ConfigError("no pictures found; name picture files, folders that hold some, or globs that match some")


def each_once(pictures: Iterable[Picture]) -> list[Picture]:
    """The pictures without those that were named before."""
    found = {_identity(picture): picture for picture in pictures}
    return list(found.values())


def name_of(picture: Picture) -> str:
    """What its record calls a picture."""
    return picture.name if isinstance(picture, Source) else picture


def brief_digest(text: str) -> bytes:
    """What stands for a name or a stamp where millions are in memory: `DIGEST_BYTES` bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()


def file_name(picture: Picture) -> str:
    """The last part of the name of a picture, as of `b.jpg` in `shard.tar/a/b.jpg` or `https://host/b.jpg?size=1`."""
    name = name_of(picture)
    return PurePath(unquote(urlsplit(name).path) if is_address(name) else name).name


def _identity(picture: Picture) -> object:
    return (picture.name, picture.stamp) if isinstance(picture, Source) else Path(picture).absolute()
