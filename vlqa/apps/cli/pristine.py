"""`vlqa pristine`: what undamaged photographs look like to an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlqa.apps.cli.inputs import Paths


def pristine(
    paths: Paths,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.", show_default=False)],
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="A model that scores blindly, or a saved model's folder."),
    ] = "grepq-low",
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="Published file or saved folder.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Fit pristine statistics to good photographs: mean and covariance of features of sharp, colourful patches.

    \b
    Examples:
      vlqa pristine good/ --model grepq-low/ --output pristine.safetensors
      vlqa score photo.jpg --model grepq-low/ --pristine pristine.safetensors
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa.apps.pictures import find_pictures
    from vlqa.apps.progress import counted
    from vlqa.hub.statistics import load_blind, write_statistics
    from vlqa.predictors.pristine import pristine_statistics

    predictor = load_blind(model, weights=weights, device=device)
    with counted("reading", inputs=paths) as count:
        statistics = pristine_statistics(predictor, count.passing(find_pictures(paths)))
    write_statistics(output, statistics, predictor)
    typer.echo(f"{output}: {statistics.patches} patches, {len(statistics.mean)} features")
