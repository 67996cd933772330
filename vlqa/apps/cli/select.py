"""`vlqa select`: which pictures to have rated."""

from __future__ import annotations

import csv
import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlqa.apps.cli.inputs import Paths
from vlqa.apps.cli.score import SOME_FAILED
from vlqa.errors import ConfigError
from vlqa.types import Source

if TYPE_CHECKING:
    from vlqa.data.sources.find import Picture
    from vlqa.fewshot.selection import Candidates
    from vlqa.predictors.base import ImagePredictor


class Strategy(StrEnum):
    """How pictures are chosen."""

    K_CENTRE = "k-centre"
    FACILITY = "facility"
    DISAGREEMENT = "disagreement"
    KINDS = "kinds"
    RANDOM = "random"


def select(
    paths: Paths,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many to have rated.", show_default=False)],
    strategy: Annotated[
        Strategy,
        typer.Option(
            "--strategy",
            "-s",
            help="k-centre: far apart; facility: resemble all others; disagreement: of the two views; "
            "kinds: each scene and distortion in turn.",
        ),
    ] = Strategy.K_CENTRE,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of `vlqa models`, or a saved model's folder.")
    ] = "mini",
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="Published file or saved folder.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV of path and an empty mos, to be filled in.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option("--features", help="Store of `vlqa embed`: what is in it is not opened again, the rest added."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides what is random.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Pictures of 224×224 an encoder call.")] = 32,
) -> None:
    """Choose which pictures to have rated, the most useful first, for `vlqa fit`.

    \b
    Examples:
      vlqa select holiday/ --count 25 --output ratings.csv
      vlqa select "shots/*.jpg" --count 50 --strategy kinds
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    import numpy as np

    from vlqa import load
    from vlqa.apps.features import features_of
    from vlqa.apps.pictures import each_once, find_pictures, name_of
    from vlqa.fewshot.selection import select as choose
    from vlqa.fewshot.store import FeatureStore

    if output is not None and output.is_dir():
        raise ConfigError(f"--output {output} is a directory; name a CSV file")
    if output is not None and output.exists():
        _check_unrated(output)
    predictor = load(model, weights=weights, device=device, batch_size=batch_size)
    pictures = each_once(find_pictures(paths))
    if not pictures:
        raise ConfigError("no pictures found; name picture files, folders that hold some, or globs that match some")
    rows = features_of(predictor, pictures, None if features is None else FeatureStore(features))
    candidates = _candidates(predictor, pictures, np.asarray(rows, np.float64), strategy, seed)
    chosen = [pictures[row] for row in choose(candidates, count, strategy.value)]
    if output is None:
        typer.echo("\n".join(map(name_of, chosen)))
    else:
        _write(output, chosen)
        told = f"{len(chosen)} of {len(pictures)} pictures; fill in mos, higher is better, then vlqa fit {output}"
        typer.echo(f"{output}: {told}", err=True)
    if not math.isfinite(candidates.features.sum()):  # a row of NaN for each that failed
        raise typer.Exit(SOME_FAILED)


def _candidates(
    predictor: ImagePredictor, pictures: list[Picture], features: Any, strategy: Strategy, seed: int
) -> Candidates:
    """What a strategy chooses by; pictures are looked at again only where features alone do not tell it."""
    from vlqa.fewshot.selection import Candidates, ranks_apart

    score = predictor.predict_features(features) if predictor.scores_from_features else None
    disagreement = kinds = None
    if strategy is Strategy.DISAGREEMENT:
        told = [(record.high, record.low) for record in predictor.assess(pictures)]
        disagreement = ranks_apart(told)
    if strategy is Strategy.KINDS:
        stored = predictor.scores_from_features
        records = predictor.assess_features(features) if stored else predictor.assess(pictures)
        named = [(record.scene, record.distortion) for record in records]
        kinds = None if all(scene is None for scene, _ in named) else [(s or "", d or "") for s, d in named]
    return Candidates(features, score, disagreement, kinds, seed)


def _check_unrated(output: Path) -> None:
    """Raise the ConfigError of a file whose ratings would be lost."""
    from vlqa.data.table import read_table
    from vlqa.errors import ManifestError

    try:
        table = read_table(output)
        place = table.columns.index("mos")
    except (ManifestError, ValueError):
        raise ConfigError(f"--output {output} is there already and no list of `vlqa select`; name a new file") from None
    if any(cells[place] for _, cells in table.rows):
        raise ConfigError(f"--output {output} has ratings in it, which would be lost; name a new file")


def _write(output: Path, chosen: list[Picture]) -> None:
    """Paths relative to the file where they lie below it, as label files have them; addresses as they are."""
    from vlqa.artifacts import atomic_write
    from vlqa.data.sources.named import holder_of
    from vlqa.data.sources.web import is_address

    home = output.resolve().parent

    def name(picture: Picture) -> str:
        if not isinstance(picture, Source):
            return seen_from_home(picture)
        place = None if is_address(picture.name) else holder_of(picture.name)
        return picture.name if place is None else f"{seen_from_home(place[0])}/{place[1]}"

    def seen_from_home(given: str) -> str:
        path = Path(given).resolve()
        return str(path.relative_to(home) if path.is_relative_to(home) else path)

    with atomic_write(output, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "mos"))
        writer.writerows((name(picture), "") for picture in chosen)
