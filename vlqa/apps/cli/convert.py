"""`vlqa convert`: a published checkpoint into vlqa's own format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlqa.errors import ConfigError


def convert(
    method: Annotated[
        str, typer.Option("--method", "-m", help="Whose checkpoint it is: a name of `vlqa models`.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)],
    checkpoint: Annotated[Path | None, typer.Argument(help="The published file.", show_default=False)] = None,
    part: Annotated[
        list[str] | None, typer.Option("--part", help="One of several files, by its role.", metavar="NAME=FILE")
    ] = None,
    prompts: Annotated[
        str | None, typer.Option("--prompts", "-p", help="Prompt file or bundled name to store with it.")
    ] = None,
    patches: Annotated[str | None, typer.Option("--patches", help="LIQE's patch rule: demo or pyiqa.")] = None,
) -> None:
    """Convert a published checkpoint; no code in it is ever executed. Prints the folder.

    \b
    Examples:
      vlqa convert LIQE.pt --method liqe --output liqe/
      vlqa convert RN50.safetensors --method clip-iqa --output clip-iqa/
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa import convert as run

    given = {"prompts": prompts, "patches": patches}
    options = {name: value for name, value in given.items() if value is not None}
    typer.echo(str(run(checkpoint, method, output, parts=_parts(part or []), **options)))


def _parts(given: list[str]) -> dict[str, str]:
    parts = {}
    for text in given:
        name, separator, file = text.partition("=")
        if not separator or not name or not file:
            raise ConfigError(f"--part {text!r}: expected NAME=FILE")
        parts[name] = file
    return parts
