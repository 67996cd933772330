"""`vlqa embed`: features of pictures, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vlqa.apps.cli.inputs import Paths
from vlqa.apps.cli.score import SOME_FAILED, DecodeTimeout, Isolate, Precision


def embed(
    paths: Paths,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the features: a new one, or one to add to.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of `vlqa models`, or a saved model's folder.")
    ] = "mini",
    weights: Annotated[Path | None, typer.Option("--weights", "-w", help="Published file or saved folder.")] = None,
    adapter: Annotated[
        str | None, typer.Option("--adapter", help="One of the model's LoRA adapters, or a folder in peft's format.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[Precision, typer.Option("--precision", help="Of the image tower.")] = Precision.FP32,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Pictures of 224×224 an encoder call.")] = 32,
    max_image_pixels: Annotated[
        int, typer.Option("--max-image-pixels", min=1, help="Larger pictures are refused before they are decoded.")
    ] = 200_000_000,
    isolate: Isolate = False,
    decode_timeout: DecodeTimeout = None,
) -> None:
    """Encode pictures once and keep their features, for `--features` of other commands.

    A picture whose features are there is not decoded again, wherever it lies; one store serves several models. What a
    broken run had finished stays. Status 0: all there, 1: some failed, 2: wrong use.

    \b
    Examples:
      vlqa embed holiday/ --output store/
      vlqa embed "shots/*.jpg" --model mini-zero --output store/
      vlqa score holiday/ --prompts clip_iqa --features store/
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa import load
    from vlqa.apps.pictures import at_least_one, find_pictures
    from vlqa.apps.progress import counted
    from vlqa.data.complaints import named
    from vlqa.fewshot.store import FeatureStore

    store = FeatureStore(output)
    given = {"adapter": adapter, "decode_timeout": decode_timeout}
    own: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    predictor = load(
        model,
        weights=weights,
        device=device,
        precision=precision.value,
        batch_size=batch_size,
        max_image_pixels=max_image_pixels,
        isolate=isolate,
        **own,
    )
    new = known = failed = 0
    with counted("encoding", inputs=paths) as count:
        for row in store.stream(predictor, at_least_one(find_pictures(paths, max_image_pixels)), count):
            if row.error is not None:
                failed += 1
                typer.echo(f"failed: {named(row.path, row.error)}", err=True)
            elif row.new:
                new += 1
            else:
                known += 1
    typer.echo(f"{output}: {new} new, {known} known, {failed} failed; {predictor.name}", err=True)
    if failed:
        raise typer.Exit(SOME_FAILED)
