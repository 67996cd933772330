"""The pictures that a command was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import typer

from vlqa.data.walk import walk


def find_pictures(paths: Sequence[str]) -> Iterator[str]:
    """Paths of all pictures in files, folders and globs, found as one goes; an empty folder is a warning."""
    return walk(paths, on_empty=lambda folder: typer.echo(f"warning: {folder}: no pictures in it", err=True))
