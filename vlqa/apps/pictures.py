"""The pictures that a command was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import typer

from vlqa.data.walk import walk
from vlqa.errors import ConfigError


def find_pictures(paths: Sequence[str]) -> Iterator[str]:
    """Paths of all pictures in files, folders and globs, found as one goes; an empty folder is a warning."""
    return walk(paths, on_empty=lambda folder: typer.echo(f"warning: {folder}: no pictures in it", err=True))


def at_least_one(paths: Iterable[str]) -> Iterator[str]:
    """The same paths.

    Raises:
        ConfigError: there were none.
    """
    empty = True
    for path in paths:
        empty = False
        yield path
    if empty:
        raise ConfigError("no pictures found; name picture files, folders that hold some, or globs that match some")
