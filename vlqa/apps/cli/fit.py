"""`vlqa fit`: a model for one's own notion of quality, from few labels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlqa.apps.cli.score import SOME_FAILED
from vlqa.errors import ConfigError

if TYPE_CHECKING:
    from vlqa.fewshot.predictor import FewShotPredictor


class Head(StrEnum):
    """What reads the features."""

    AUTO = "auto"
    RIDGE = "ridge"
    ELASTIC_NET = "elastic-net"
    SVR = "svr"
    GP = "gp"
    PREFERENCE = "preference"
    CALIBRATION = "calibration"


class Direction(StrEnum):
    """Which way opinions go."""

    MOS = "mos"
    DMOS = "dmos"


def fit(
    labels: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet: path and mos (perhaps mos_std, group); or path_a, path_b, preferred.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the model.", show_default=False)],
    images: Annotated[
        Path | None, typer.Option("--images", "-i", help="Folder the paths start from; default: the file's.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Whose features are read: a name of `vlqa models`, or a saved folder.")
    ] = "mini",
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="Published file or saved folder.")] = None,
    count: Annotated[
        int | None, typer.Option("--labels", "-n", min=1, help="Fit on so many rows, at random; test on the others.")
    ] = None,
    head: Annotated[Head, typer.Option("--head", help="What reads the features.")] = Head.AUTO,
    direction: Annotated[
        Direction, typer.Option("--direction", help="dmos: higher opinions are worse.")
    ] = Direction.MOS,
    seed: Annotated[int, typer.Option("--seed", help="Decides the folds, and the rows of --labels.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Pictures of 224×224 an encoder call.")] = 32,
) -> None:
    """Fit a model to your own ratings: 25 pictures give a start, 200 a good one.

    Prints how well labels left out were predicted, and saves a folder that every command takes as --model.

    \b
    Examples:
      vlqa fit ratings.csv --output mine/ && vlqa score new/*.jpg --model mine/
      vlqa fit ratings.csv --images photos/ --model mini-zero --labels 100 --output mine/
      vlqa fit choices.csv --head preference --output mine/
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa.data.choices import holds_choices

    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is a file; name a folder to save the model in")
    of_model = {"weights": weights, "device": device, "batch_size": batch_size}
    if head is Head.PREFERENCE or (head is Head.AUTO and holds_choices(labels)):
        failed = _fit_choices(labels, images, output, model, of_model, seed)
    else:
        failed = _fit_opinions(labels, images, output, model, of_model, seed, count, head, direction)
    if failed:
        raise typer.Exit(SOME_FAILED)


def _fit_choices(
    labels: Path, images: Path | None, output: Path, model: str, of_model: dict[str, Any], seed: int
) -> bool:
    """Fit on choices and save; whether some picture failed."""
    import numpy as np

    from vlqa import FewShotPredictor, load
    from vlqa.data.choices import Choices

    choices = Choices.read(labels, images=images)
    few = FewShotPredictor(load(model, **of_model), head=Head.PREFERENCE.value, seed=seed)
    seen = {path: row for row, path in enumerate(dict.fromkeys([*choices.first, *choices.second]))}
    features = few.embed(seen)
    first, second = (features[[seen[path] for path in paths]] for paths in (choices.first, choices.second))
    few.fit_preference_features(first, second, choices.preferred)
    few.save(output)
    typer.echo(f"{few.fitted_.labels} choices; {few.agreement_:.0%} of those left out are ordered as people did")
    return not bool(np.isfinite(features).all())


def _fit_opinions(
    labels: Path,
    images: Path | None,
    output: Path,
    model: str,
    of_model: dict[str, Any],
    seed: int,
    count: int | None,
    head: Head,
    direction: Direction,
) -> bool:
    """Fit on opinions, save, and print how well labels left out were predicted; whether some picture failed."""
    import numpy as np

    from vlqa import FewShotPredictor, Manifest, load

    manifest = Manifest.read(labels, images=images)
    if count is not None and count >= len(manifest):
        raise ConfigError(
            f"--labels {count}: {labels} has {len(manifest)} rows; leave some to test on, or the option out"
        )
    few = FewShotPredictor(load(model, **of_model), head=head.value, seed=seed)
    few.check_labels(manifest.mos, direction.value)  # before minutes of work on the pictures
    features = few.embed(manifest.paths)
    order = np.arange(len(manifest)) if count is None else np.random.default_rng(seed).permutation(len(manifest))
    rows, rest = order[:count], order[count:] if count is not None else order[:0]
    chosen = manifest.subset(rows)
    few.fit_features(features[rows], chosen.mos, mos_std=chosen.mos_std, groups=chosen.group, direction=direction.value)
    few.save(output)
    opinions = manifest.mos[rest] if direction is Direction.MOS else -manifest.mos[rest]
    _print(few, few.predict_features(features[rest]), opinions)
    return not bool(np.isfinite(features).all())


def _print(few: FewShotPredictor, scores: Any, mos: Any) -> None:
    """A table of the cross-validation, and of a test on rows that were left for one."""
    from rich.console import Console
    from rich.table import Table

    from vlqa.evaluation import evaluate_scores

    fitted = few.fitted_
    assert fitted.held is not None
    title = f"{fitted.name} on {' + '.join(fitted.reader.columns.parts)}, {fitted.labels} labels"
    table = Table(title=title, box=None, title_justify="left")
    for name in ("", "SRCC", "95 % interval", "PLCC", "95 % interval"):
        table.add_column(name, justify="left" if not name else "right")
    told = [("cross-validated", fitted.held.predicted, fitted.held.mos)]
    told += [(f"the other {len(mos)} rows", scores, mos)] if len(mos) > 2 else []
    for name, predicted, opinions in told:
        result = evaluate_scores(predicted, opinions)
        cells = [(f"{part.value:.3f}", f"{part.low:.3f} … {part.high:.3f}") for part in (result.srcc, result.plcc)]
        table.add_row(name, *cells[0], *cells[1])
    Console().print(table)
