"""`vlqa export`: a model with its image towers in OpenVINO's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the model.", show_default=False)],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of `vlqa models`, or a saved model's folder.")
    ] = "mini",
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="Published file or saved folder.")] = None,
) -> None:
    """Save a model that OpenVINO runs, faster than torch on CPUs; same scores. Needs vlqa's extra "export".

    What it makes is a model as any other: with --precision bf16 it is faster still, with scores a little different.

    \b
    Examples:
      vlqa export --model clip-iqa-ensemble --weights RN50.pt --output fast/
      vlqa score photos/ --model fast/ --precision bf16
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa import load
    from vlqa.hub.exports import export as export_model
    from vlqa.hub.exports import towers_of
    from vlqa.hub.target import check_target

    check_target(output)
    predictor = load(model, weights=weights, device="cpu", runtime="torch")
    export_model(predictor, output)
    typer.echo(f"{output}: {predictor.name} with {', '.join(towers_of(predictor))} in OpenVINO's format")
