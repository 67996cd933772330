"""`vlqa score`: one record an image."""

from __future__ import annotations

import contextlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlqa.apps.cli.inputs import BatchSize, Paths
from vlqa.errors import ConfigError, VLQAError
from vlqa.types import Assessment, Explanation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlqa.apps.journal import Journal
    from vlqa.apps.records import Output

SOME_FAILED = 1

Isolate = Annotated[
    bool,
    typer.Option(
        "--isolate", help="Decode in child processes: a picture that crashes or hangs its decoder costs only itself."
    ),
]
DecodeTimeout = Annotated[
    float | None, typer.Option("--decode-timeout", help="Seconds that an isolated picture may take.", show_default="30")
]


class Format(StrEnum):
    """How records are written."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Precision(StrEnum):
    """Of the image tower."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


def score(
    paths: Paths,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of `vlqa models`, or a saved model's folder.")
    ] = "mini",
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="Published file or saved folder.")] = None,
    prompts: Annotated[str | None, typer.Option("--prompts", "-p", help="Prompt file or bundled name.")] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="One of the model's LoRA adapters, or a folder in peft's format.")
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="Default: by --output's suffix, else a table on a terminal, JSONL in a pipe or with --explain.",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File instead of standard output.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[Precision, typer.Option("--precision", help="Of the image tower.")] = Precision.FP32,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features", help="Folder of `vlqa embed`: what is in it is not looked at again, the rest added."
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference", help="Undamaged picture, or folder of pictures of the same names, to compare with."
        ),
    ] = None,
    maps: Annotated[Path | None, typer.Option("--map", help="Folder for a PNG a picture: where it looks good.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell each sentence's probability and both views' shares as well.")
    ] = False,
    attributes: Annotated[
        str | None, typer.Option("--attributes", help="Prompt file or bundled name to answer besides; explains.")
    ] = None,
    pristine: Annotated[
        Path | None, typer.Option("--pristine", help="Statistics of `vlqa pristine`, for models that score by them.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run into --output, killed or finished: what has a record is not scored again unless it "
            "changed; what failed in a finished one is. Records of pictures that are not named any more stay.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: score pictures that failed again.")
    ] = False,
    batch_size: BatchSize = None,
    fast_decode: Annotated[
        bool, typer.Option("--fast-decode", help="Decode large JPEGs at a part of their size: scores move a little.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            help="Decoding threads; large pictures wait for each other.",
            show_default="usable cores, 8 at most",
        ),
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Say at the end where the time went.")] = False,
    max_image_pixels: Annotated[
        int, typer.Option("--max-image-pixels", min=1, help="Larger pictures are refused before they are decoded.")
    ] = 200_000_000,
    isolate: Isolate = False,
    decode_timeout: DecodeTimeout = None,
) -> None:
    """Score pictures: how good they look, and what is in and wrong with them.

    A missing or broken file is a record with `error`. Status 0: all scored, 1: some failed, 2: wrong use.

    \b
    Examples:
      vlqa score photo.jpg
      vlqa score holiday/ --format csv --output scores.csv
      vlqa score "shots/*.jpg" --model liqe --weights LIQE.pt | jq .quality
      find . -name "*.jpg" -print0 | vlqa score - "shards/train-{000..099}.tar" @more.txt
      vlqa score holiday/ --prompts clip_iqa --features store/
      vlqa score archive/ --output scores.parquet --resume
      vlqa score photo.jpg --map maps/
      vlqa score photo.jpg --attributes attributes --format jsonl | jq .attributes
      vlqa score coded/ --model contrique-fr/ --reference originals/
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    explain = explain or attributes is not None
    chosen = _format(format, output, explain)
    from vlqa import PromptSet, load
    from vlqa.apps.maps import MapWriter
    from vlqa.apps.pictures import at_least_one, find_pictures
    from vlqa.apps.progress import counted, print_profile
    from vlqa.apps.records import check_output, open_output
    from vlqa.apps.references import References
    from vlqa.data.complaints import named
    from vlqa.fewshot.rescore import rescore
    from vlqa.fewshot.store import FeatureStore
    from vlqa.profiling import profiled, stage

    if resume and output is None:
        raise ConfigError("--resume goes on with a file; name it with --output")
    if retry_failed and not resume:
        raise ConfigError("--retry-failed is for what an earlier run has left; use it with --resume")
    if explain and reference is not None:
        raise ConfigError("--explain tells nothing of a comparison; leave --reference or --explain out")
    if fast_decode and (features is not None or maps is not None or explain):
        raise ConfigError("--fast-decode looks at less than the picture; leave it or --features, --map, --explain out")
    if features is not None and (reference is not None or maps is not None):
        what = "--reference" if reference is not None else "--map"
        raise ConfigError(f"{what} needs the pictures, not their features; leave {what} or --features out")
    pictures = at_least_one(find_pictures(paths, max_image_pixels))
    references = None if reference is None else References(reference)
    settings = {
        "precision": precision.value,
        "explain": explain,
        "attributes": None if attributes is None else PromptSet.of(attributes).digest,
        "reference": None if reference is None else str(reference),
        "map": None if maps is None else str(maps.absolute()),
        "max_image_pixels": max_image_pixels,
        "fast_decode": fast_decode,
    }
    if output is not None:
        check_output(output, chosen.value, settings, resume=resume)  # before the model is loaded
    given = {"pristine": pristine, "adapter": adapter, "decode_timeout": decode_timeout}
    own = {name: value for name, value in given.items() if value is not None}
    predictor = load(
        model,
        weights=weights,
        prompts=prompts,
        device=device,
        precision=precision.value,
        batch_size=batch_size,
        workers=workers,
        fast_decode=fast_decode,
        max_image_pixels=max_image_pixels,
        isolate=isolate,
        **own,
    )
    draw = None if maps is None else MapWriter(maps, predictor)
    store = None if features is None else FeatureStore(features)
    kind = Explanation if explain else Assessment
    settings["model"] = predictor.digest
    beside = references.of if references else None
    how: Any = {"settings": settings, "resume": resume, "retry_failed": retry_failed, "beside": beside}
    failed = 0
    with (
        _interruption_told(output),
        profiled() if profile else contextlib.nullcontext() as spent,
        open_output(chosen.value, output, predictor.scale, kind, **how) as out,
        counted("scoring", inputs=paths, known=out.resumed, shown=_has_room(chosen, output)) as count,
    ):
        unscored = count.begun(out.unscored(pictures if draw is None else draw.naming(pictures)))
        if draw is not None:
            unscored = draw.noting(unscored)
        if references is not None:
            records = references.compared(predictor, unscored)
        elif store is not None:
            records = rescore(store, predictor, unscored, explain=explain, attributes=attributes)
        else:
            records = predictor.assess_stream(unscored, explain=explain or draw is not None, attributes=attributes)
        for record in records:
            failed += record.error is not None
            if draw is not None:
                try:
                    draw.write(record)
                except VLQAError as error:
                    typer.echo(f"warning: no map: {named(record.path, error)}", err=True)
            with stage("write"):
                out.write(record)  # after its map: a picture with a record is not looked at again by --resume
            _echo_error(record, chosen, output)
            count(failed)
    if spent is not None:
        print_profile(spent)
    if draw is not None:
        typer.echo(f"{draw.drawn} maps drawn in {maps}", err=True)
    if resume:
        _tell_resumed(out, output)
    if out.failed:
        raise typer.Exit(SOME_FAILED)


def _has_room(format: Format, output: Path | None) -> bool:
    """Whether a line of progress does not mix with records."""
    return output is not None or format is Format.TABLE or not sys.stdout.isatty()


@contextlib.contextmanager
def _interruption_told(output: Path | None) -> Iterator[None]:
    """Tell of an interrupted run where its records are."""
    from vlqa.apps.records import journal_of

    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if output is not None and journal_of(output).exists():
            typer.echo(f"interrupted; what was scored is in {journal_of(output)}: go on with --resume", err=True)
        raise


def _tell_resumed(out: Output | Journal, output: Path | None) -> None:
    from vlqa.data.complaints import one_line

    typer.echo(f"{out.resumed} records were there already", err=True)
    if out.unnamed:
        typer.echo(f"{out.unnamed} of them are of pictures that are not named now; they stay", err=True)
    if out.finished is not None:
        done = "was complete" if out.was_complete else "was gone on with"
        told = f"{one_line(str(output))} {done}, by names, times of change and model"
        typer.echo(f"{told}; options such as --precision it does not hold", err=True)


def _format(format: Format | None, output: Path | None, explain: bool) -> Format:
    if output is not None and output.is_dir():
        raise ConfigError(f"--output {output} is a directory; name a file")
    if format is None and output is not None:
        suffixes = {f".{choice.value}": choice for choice in Format if choice is not Format.TABLE} | {
            ".json": Format.JSONL
        }
        format = suffixes.get(output.suffix.lower())
        if format is None:
            raise ConfigError(f"--output {output}: unknown suffix; use .jsonl, .csv or .parquet, or pass --format")
    if format is None:
        format = Format.TABLE if sys.stdout.isatty() and not explain else Format.JSONL  # a table has no room for it
    if format is Format.TABLE and explain:
        raise ConfigError("a table has no room for --explain and --attributes; use --format jsonl, csv or parquet")
    if format is Format.PARQUET and output is None:
        raise ConfigError("--format parquet needs --output FILE: it is no text for a terminal or a pipe")
    return format


def _echo_error(record: Assessment, format: Format, output: Path | None) -> None:
    from vlqa.data.complaints import named

    if record.error is not None and (output is not None or format is not Format.TABLE):
        typer.echo(f"failed: {record.error if record.path is None else named(record.path, record.error)}", err=True)
