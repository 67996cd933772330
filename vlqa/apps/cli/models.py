"""`vlqa models`: what can be loaded by name."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import typer


def models(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """List the models: what each is, its scale, paper, licence of the weights, and where they come from.

    \b
    Examples:
      vlqa models
      vlqa models --json | jq .name
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa.hub.table import available_models

    if as_json:
        for row in available_models():
            record = dataclasses.asdict(row)
            typer.echo(
                json.dumps({name: record[name] for name in ("name", "what", "scale", "paper", "licence", "source")})
            )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for title in ("name", "what", "scale", "paper", "licence", "weights"):
        table.add_column(title, no_wrap=title == "name", overflow="fold")  # a name is there to be typed
    for row in available_models():
        table.add_row(row.name, row.what, _scale(row.scale), row.paper or "vlqa", row.licence, row.source)
    Console(width=None if sys.stdout.isatty() else 400).print(table)  # what is typed must not be cut in a pipe


def _scale(scale: tuple[float, float] | None) -> str:
    return "of its regressor" if scale is None else f"{scale[0]:g}–{scale[1]:g}"
