"""`vlqa evaluate`: how well a model agrees with human scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlqa.apps.cli.inputs import BatchSize
from vlqa.apps.cli.score import SOME_FAILED, Precision
from vlqa.errors import ConfigError

if TYPE_CHECKING:
    from vlqa.evaluation import Evaluation

_NAMES = {
    "srcc": "SRCC",
    "plcc": "PLCC, raw",
    "plcc_logistic": "PLCC, logistic",
    "krcc": "KRCC",
    "rmse": "RMSE",
}


def evaluate(
    labels: Annotated[
        Path, typer.Argument(help="CSV or Parquet: path or image, and mos.", metavar="LABELS", show_default=False)
    ],
    images: Annotated[
        Path | None, typer.Option("--images", "-i", help="Folder the paths start from; default: the file's.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of `vlqa models`, or a saved model's folder.")
    ] = "mini",
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="Published file or saved folder.")] = None,
    prompts: Annotated[str | None, typer.Option("--prompts", "-p", help="Prompt file or bundled name.")] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="One of the model's LoRA adapters, or a folder in peft's format.")
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features", help="Folder of `vlqa embed`: what is in it is not looked at again, the rest added."
        ),
    ] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Only the rows of this fold (column fold).")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[Precision, typer.Option("--precision", help="Of the image tower.")] = Precision.FP32,
    batch_size: BatchSize = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Compare a model's scores with human opinions: correlations and error with 95 % bootstrap intervals.

    \b
    Examples:
      vlqa evaluate clive/labels.csv
      vlqa evaluate labels.csv --images photos/ --model liqe --weights LIQE.pt --json
      vlqa evaluate labels.csv --features store/
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa import FewShotPredictor, Manifest, load
    from vlqa import evaluate as compare
    from vlqa.apps.features import features_of
    from vlqa.apps.progress import counted
    from vlqa.fewshot.rescore import check_scores_from_features
    from vlqa.fewshot.store import FeatureStore

    manifest = Manifest.read(labels, images=images)
    if fold is not None:
        if manifest.fold is None:
            raise ConfigError(f"--fold {fold}: {labels} has no column fold")
        manifest = manifest.where(fold=fold)
    own = {} if adapter is None else {"adapter": adapter}
    predictor = load(
        model, weights=weights, prompts=prompts, device=device, precision=precision.value, batch_size=batch_size, **own
    )
    if features is None and not isinstance(predictor, FewShotPredictor):
        with counted("scoring", total=len(manifest)) as count:
            result = compare(predictor, manifest, progress=count)
    else:
        check_scores_from_features(predictor)
        rows = features_of(predictor, manifest.find_pictures(), None if features is None else FeatureStore(features))
        result = compare(predictor, manifest, features=rows)
        if isinstance(predictor, FewShotPredictor):
            seen = int(predictor.fitted_.strangers.acquainted(rows).sum())
            told = f"{predictor.name} was fitted on {seen} of these {len(manifest)} pictures"
            if seen:
                typer.echo(f"warning: {told}, so that this says little of new ones; test it on others", err=True)
    if as_json:
        typer.echo(json.dumps({"model": predictor.name, "digest": predictor.digest[:16], **result.as_dict()}))
    else:
        _print(result, predictor.name)
    if result.dropped:
        raise typer.Exit(SOME_FAILED)


def _print(result: Evaluation, model: str) -> None:
    from rich.console import Console
    from rich.table import Table

    dropped = f"; {result.dropped} failed and are left out" if result.dropped else ""
    table = Table(title=f"{model}: {result.n} images{dropped}", box=None, title_justify="left")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, title in _NAMES.items():
        value, low, high = getattr(result, name)
        table.add_row(title, f"{value:.3f}", f"{low:.3f} … {high:.3f}")
    Console().print(table)
