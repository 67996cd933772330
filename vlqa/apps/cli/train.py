"""`vlqa train`: every recipe in configs/."""

from __future__ import annotations

from typing import Annotated

import typer


def train(
    config: Annotated[
        str, typer.Argument(help="A recipe (YAML), or the name of one that comes with vlqa.", show_default=False)
    ],
    set: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change one value: key=value, dots for nesting.", metavar="KEY=VALUE"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the output folder.")
    ] = False,
    limit_steps: Annotated[
        int | None, typer.Option("--limit-steps", min=1, help="Stop after so many steps: a dry run.")
    ] = None,
) -> None:
    """Train a model from a recipe; prints the folder of the trained model.

    \b
    Examples:
      vlqa train configs/mini.yaml
      vlqa train configs/mini.yaml --set "data.sizes=[224]" --set output=runs/wide --limit-steps 20
      vlqa train configs/mini.yaml --resume
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa import train as run

    typer.echo(str(run(config, overrides=set or (), resume=resume, limit_steps=limit_steps)))
