"""`vlqa fit`: a model for one's own notion of quality, from few labels."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlqa.apps.cli.inputs import BatchSize
from vlqa.apps.cli.score import SOME_FAILED
from vlqa.errors import ConfigError

if TYPE_CHECKING:
    from vlqa.data.choices import Choices
    from vlqa.data.manifest import Manifest
    from vlqa.fewshot.predictor import FewShotPredictor
    from vlqa.fewshot.store import FeatureStore


class Head(StrEnum):
    """What reads the features."""

    AUTO = "auto"
    RIDGE = "ridge"
    ELASTIC_NET = "elastic-net"
    SVR = "svr"
    GP = "gp"
    PREFERENCE = "preference"
    CALIBRATION = "calibration"


class Adapt(StrEnum):
    """What learns besides the head."""

    LORA = "lora"


class Direction(StrEnum):
    """Which way opinions go."""

    MOS = "mos"
    DMOS = "dmos"


def fit(
    labels: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet: path and mos (perhaps mos_std, group); or path_a, path_b, preferred (a, b or tie).",
            metavar="LABELS",
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
    head: Annotated[
        Head,
        typer.Option(
            "--head",
            help="What reads the features; auto: whatever predicts ratings left out best; calibration: only brings the "
            "model's own score onto your scale; preference: for choices.",
        ),
    ] = Head.AUTO,
    adapt: Annotated[
        Adapt | None,
        typer.Option("--adapt", help="lora: let the image tower learn too, in a low rank; from 100 labels on."),
    ] = None,
    direction: Annotated[
        Direction, typer.Option("--direction", help="dmos: higher opinions are worse.")
    ] = Direction.MOS,
    features: Annotated[
        Path | None,
        typer.Option("--features", help="Store of `vlqa embed`: what is in it is not opened again, the rest added."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides the folds, and the rows of --labels.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    batch_size: BatchSize = None,
) -> None:
    """Fit a model to your own ratings: 25 pictures give a start, 200 a good one.

    Prints how well labels left out were predicted, and saves a folder that every command takes as --model.

    \b
    Examples:
      vlqa fit ratings.csv --output mine/ && vlqa score new/*.jpg --model mine/
      vlqa fit ratings.csv --images photos/ --model mini-zero --labels 100 --output mine/
      vlqa fit ratings.csv --model mini-zero --adapt lora --output mine/
      vlqa fit choices.csv --head preference --output mine/
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    import numpy as np

    from vlqa import FewShotPredictor, Manifest, load
    from vlqa.data.choices import Choices, holds_choices
    from vlqa.fewshot.store import FeatureStore
    from vlqa.hub.target import check_target

    check_target(output)  # before minutes of work on the pictures
    store = None if features is None else FeatureStore(features)
    choices = head is Head.PREFERENCE or holds_choices(labels)
    if choices and head not in (Head.AUTO, Head.PREFERENCE):
        raise ConfigError(f"{labels} holds choices, which --head {head.value} cannot read; leave --head out")
    if choices and (count is not None or direction is not Direction.MOS or adapt is not None):
        raise ConfigError("--labels, --direction and --adapt are for opinions; choices are all read, without them")
    rated = Choices.read(labels, images=images) if choices else Manifest.read(labels, images=images)
    predictor = load(model, weights=weights, device=device, batch_size=batch_size)
    if isinstance(predictor, FewShotPredictor):
        raise ConfigError(
            f"{model} is a few-shot model itself; name the model below it, --model {predictor.predictor.name}"
        )
    few = FewShotPredictor(predictor, head=Head.PREFERENCE.value if choices else head.value, seed=seed)
    if isinstance(rated, Choices):
        seen = _fit_choices(few, rated, store)
    else:
        few, seen = _fit_opinions(few, rated, store, count, direction.value, adapt is not None)
    few.save(output)
    typer.echo(f"{output}: saved {few.name}; vlqa score PATH… --model {output}", err=True)
    if not np.isfinite(seen).all():
        raise typer.Exit(SOME_FAILED)


def _fit_choices(few: FewShotPredictor, choices: Choices, store: FeatureStore | None) -> Any:
    """Fit on choices, and tell how many are ordered rightly; the features, of NaN for a picture that failed."""
    from vlqa.apps.features import features_of

    pictures = choices.find_pictures()
    row = {name: number for number, name in enumerate(pictures)}
    features = features_of(few, list(pictures.values()), store)
    first, second = (features[[row[name] for name in names]] for names in (choices.first, choices.second))
    few.fit_preference_features(first, second, choices.preferred)
    told = f"{few.agreement_:.0%} of those left out, with their pictures, are ordered as people did"
    if math.isnan(few.agreement_):
        told = "they share pictures, so that none could be left out to test the others"
    typer.echo(f"{few.fitted_.labels} choices; {told}")
    return features


def _fit_opinions(
    few: FewShotPredictor,
    manifest: Manifest,
    store: FeatureStore | None,
    count: int | None,
    direction: str,
    adapts: bool,
) -> tuple[FewShotPredictor, Any]:
    """Fit on opinions, and tell how well labels left out are predicted; the features too, as of `_fit_choices`."""
    import numpy as np

    from vlqa.apps.features import features_of
    from vlqa.apps.progress import stepping
    from vlqa.training.adapt import adapt as adapt_lora
    from vlqa.training.adapt import check_adaptable

    if count is not None and count >= len(manifest):
        rows = f"{manifest.source} has {len(manifest)} rows"
        raise ConfigError(f"--labels {count}: {rows}; leave some to test on, or the option out")
    few.check_labels(manifest.mos, direction)  # before minutes of work on the pictures
    if adapts:
        check_adaptable(few, len(manifest) if count is None else count)
    pictures = manifest.find_pictures()
    features = features_of(few, pictures, store)
    order = np.arange(len(manifest)) if count is None else np.random.default_rng(few.seed).permutation(len(manifest))
    chosen, rest = manifest.subset(order[:count]), order[len(order) if count is None else count :]
    labels: Any = {"mos_std": chosen.mos_std, "groups": chosen.group, "direction": direction}
    unseen = features[rest]
    if adapts:
        with stepping("adapting") as progress:
            below = few.predictor
            few = adapt_lora(
                few,
                [pictures[row] for row in order[:count].tolist()],
                chosen.mos,
                features=features[order[:count]],
                progress=progress,
                **labels,
            )
        if few.predictor is not below and len(rest):
            unseen = features_of(few, [pictures[row] for row in rest.tolist()], None)
    else:
        few.fit_features(features[order[:count]], chosen.mos, **labels)
    opinions = manifest.mos[rest] if direction == "mos" else -manifest.mos[rest]
    _print(few, few.predict_features(unseen), opinions)
    return few, features


def _print(few: FewShotPredictor, scores: Any, mos: Any) -> None:
    """A table of the cross-validation, and of a test on rows that were left for one."""
    from rich.console import Console
    from rich.table import Table

    from vlqa.evaluation import evaluate_scores
    from vlqa.fewshot.columns import SCORE

    fitted = few.fitted_
    assert fitted.held is not None
    if fitted.name == "calibration":
        kept = "; no head ranks better" if few.head == Head.AUTO.value else ""
        title = f"{few.predictor.name}'s own score, brought onto the scale of {fitted.labels} labels{kept}"
    else:
        read = ["the model's own score" if part == SCORE else part for part in fitted.reader.columns.parts]
        title = f"{few.name}, which reads {' + '.join(read)}"
    typer.echo(title)  # a title of the table would be cut into lines of its width
    table = Table(box=None)
    for name in ("", "SRCC", "95 % interval", "PLCC", "95 % interval"):
        table.add_column(name, justify="left" if not name else "right")
    told = [("cross-validated", fitted.held.predicted, fitted.held.mos)]
    told += [(f"the other {len(mos)} rows", scores, mos)] if len(mos) > 2 else []
    for name, predicted, opinions in told:
        result = evaluate_scores(predicted, opinions)
        cells = [(f"{part.value:.3f}", f"{part.low:.3f} … {part.high:.3f}") for part in (result.srcc, result.plcc)]
        table.add_row(name, *cells[0], *cells[1])
    Console().print(table)
