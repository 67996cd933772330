"""`vlqa prompts rank | search | sensitivity`: what sentences are worth, by people's opinions of pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from vlqa.apps.cli.inputs import BatchSize
from vlqa.apps.cli.score import SOME_FAILED, Precision
from vlqa.apps.prompt_tables import print_ranking, print_search, print_sensitivity
from vlqa.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from vlqa.apps.plots import PlotFile
    from vlqa.data.manifest import Manifest
    from vlqa.fewshot.prompt_lab import PromptRanking, SearchResult, Sensitivity
    from vlqa.predictors.prompted import PromptPredictor

Labels = Annotated[Path, typer.Option("--labels", "-l", help="CSV or Parquet: path or image, and mos.")]
Images = Annotated[
    Path | None, typer.Option("--images", "-i", help="Folder the paths start from; default: the file's.")
]
Model = Annotated[str, typer.Option("--model", "-m", help="A name of `vlqa models`, or a saved model's folder.")]
Weights = Annotated[Path | None, typer.Option("--weights", "-w", help="Published file or saved folder.")]
Adapter = Annotated[
    str | None, typer.Option("--adapter", help="One of the model's LoRA adapters, or a folder in peft's format.")
]
Features = Annotated[
    Path | None,
    typer.Option("--features", help="Folder of `vlqa embed`: what is in it is not looked at again, the rest added."),
]
Plot = Annotated[Path | None, typer.Option("--plot", help="PNG, PDF or SVG of the result.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn at random.")]
Resamples = Annotated[int, typer.Option("--resamples", min=10, help="Bootstrap resamples of the pictures.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Places = Annotated[Precision, typer.Option("--precision", help="Of the image tower.")]

_WORDS = "YAML of three lists: positive words, negative words, and templates such as 'a {word} photo'."
_AGAINST = "What others are tested against: first, the name of a pair, or best, which luck helped to choose."


def rank(
    prompts: Annotated[str, typer.Argument(help="Prompt file or bundled name.", metavar="FILE", show_default=False)],
    labels: Labels,
    images: Images = None,
    model: Model = "mini",
    weights: Weights = None,
    adapter: Adapter = None,
    features: Features = None,
    against: Annotated[str, typer.Option("--against", help=_AGAINST)] = "best",
    plot: Plot = None,
    as_json: AsJson = False,
    seed: Seed = 0,
    resamples: Resamples = 1000,
    device: Device = "auto",
    precision: Places = Precision.FP32,
    batch_size: BatchSize = None,
) -> None:
    """Rank the pairs of a prompt file, and their mean, by agreement with opinions.

    SRCC and PLCC with 95 % bootstrap intervals; p-values, by Holm's correction, tell which pairs differ from the best.

    \b
    Examples:
      vlqa prompts rank attributes --labels clive/labels.csv
      vlqa prompts rank mine.yaml --labels labels.csv --features store/ --against first --plot ranks.png
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa import PromptSet
    from vlqa.fewshot.prompt_lab import rank_prompts

    chosen = PromptSet.load(prompts)
    bench = _bench(labels, images, features, plot, model, weights, adapter, device, precision, batch_size)
    result = rank_prompts(
        bench.view, bench.features, bench.manifest.mos, chosen, against=against, seed=seed, resamples=resamples
    )
    _write(result, as_json, print_ranking)
    if bench.plot:
        bench.plot.write(result.plot, rows=min(30, len(result.rows)))
    _leave(result.dropped)


def search(
    words: Annotated[Path, typer.Argument(help=_WORDS, metavar="WORDS", show_default=False)],
    labels: Labels,
    output: Annotated[Path, typer.Option("--output", "-o", help="Prompt file for the winner.")],
    images: Images = None,
    model: Model = "mini",
    weights: Weights = None,
    adapter: Adapter = None,
    features: Features = None,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Candidates that go from train to dev.")] = 20,
    most_pairs: Annotated[int, typer.Option("--most-pairs", min=1, help="Largest number of pairs in a mean.")] = 5,
    plot: Plot = None,
    as_json: AsJson = False,
    seed: Seed = 0,
    resamples: Resamples = 1000,
    device: Device = "auto",
    precision: Places = Precision.FP32,
    batch_size: BatchSize = None,
) -> None:
    """Search word lists for the pairs that agree best with opinions, and tell what they are worth on unseen pictures.

    Candidates are ranked on half of the pictures (train), the best again on a quarter (dev), and the winner is judged
    on the last quarter (test). A column `group` of the labels keeps versions of one photograph together.

    \b
    Examples:
      vlqa prompts search words.yaml --labels clive/labels.csv --output found.yaml
      vlqa prompts search words.yaml --labels labels.csv --features store/ --output found.yaml --plot search.png
    """  # noqa: D301
    from vlqa.fewshot.prompt_lab import WordLists, search_prompts

    if output.is_dir() or output.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"--output {output}: name a .yaml file for the winner")
    lists = WordLists.of(words)
    bench = _bench(labels, images, features, plot, model, weights, adapter, device, precision, batch_size)
    result = search_prompts(
        bench.view,
        bench.features,
        bench.manifest.mos,
        lists,
        groups=bench.manifest.group,
        keep=keep,
        most_pairs=most_pairs,
        seed=seed,
        resamples=resamples,
    )
    result.prompts.to_file(output)
    _write(result, as_json, print_search)
    typer.echo(f"{output}: {result.winner.label}", err=True)
    if bench.plot:
        bench.plot.write(result.plot, rows=14)
    _leave(result.dropped)


def sensitivity(
    words: Annotated[Path, typer.Argument(help=_WORDS, metavar="WORDS", show_default=False)],
    labels: Labels,
    images: Images = None,
    model: Model = "mini",
    weights: Weights = None,
    adapter: Adapter = None,
    features: Features = None,
    temperature: Annotated[
        list[float] | None, typer.Option("--temperature", help="May be repeated; ¼ to 4 times the model's otherwise.")
    ] = None,
    plot: Plot = None,
    as_json: AsJson = False,
    seed: Seed = 0,
    resamples: Resamples = 200,
    device: Device = "auto",
    precision: Places = Precision.FP32,
    batch_size: BatchSize = None,
) -> None:
    """How much agreement with opinions depends on words, templates and temperature: shares of its variance.

    \b
    Examples:
      vlqa prompts sensitivity words.yaml --labels clive/labels.csv --features store/
      vlqa prompts sensitivity words.yaml --labels labels.csv --temperature 0.01 --temperature 0.1 --plot shares.png
    """  # noqa: D301
    from vlqa.fewshot.prompt_lab import WordLists, prompt_sensitivity

    lists = WordLists.of(words)
    bench = _bench(labels, images, features, plot, model, weights, adapter, device, precision, batch_size)
    result = prompt_sensitivity(
        bench.view,
        bench.features,
        bench.manifest.mos,
        lists,
        temperatures=temperature or None,
        seed=seed,
        resamples=resamples,
    )
    _write(result, as_json, print_sensitivity)
    if bench.plot:
        bench.plot.write(result.plot, rows=12)
    _leave(result.dropped)


class _Bench(NamedTuple):
    """What all three need: a model, features of rated pictures, and where a plot goes."""

    view: PromptPredictor
    features: npt.NDArray[np.float32]
    manifest: Manifest
    plot: PlotFile | None


def _bench(
    labels: Path,
    images: Path | None,
    features: Path | None,
    plot: Path | None,
    model: str,
    weights: Path | None,
    adapter: str | None,
    device: str,
    precision: Precision,
    batch_size: int | None,
) -> _Bench:
    from vlqa import Manifest, load
    from vlqa.apps.features import features_of
    from vlqa.apps.plots import PlotFile
    from vlqa.fewshot.store import FeatureStore
    from vlqa.predictors.ensemble import vision_language_view

    drawn = None if plot is None else PlotFile(plot)
    store = None if features is None else FeatureStore(features)
    manifest = Manifest.read(labels, images=images)
    own = {} if adapter is None else {"adapter": adapter}
    predictor = load(model, weights=weights, device=device, precision=precision.value, batch_size=batch_size, **own)
    view = vision_language_view(predictor)  # the other view of two reads no sentences
    if view is None:
        raise ConfigError(f"{predictor.name} compares pictures with no sentences: it has no text tower")
    return _Bench(view, features_of(view, manifest.find_pictures(), store), manifest, drawn)


def _write(result: PromptRanking | SearchResult | Sensitivity, as_json: bool, table: Callable[[Any], None]) -> None:
    if as_json:
        typer.echo(json.dumps(result.as_dict(), ensure_ascii=False, allow_nan=False))
    else:
        table(result)


def _leave(dropped: int) -> None:
    if dropped:
        raise typer.Exit(SOME_FAILED)
