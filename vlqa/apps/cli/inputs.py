"""What several commands take: pictures, and how many at once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Paths: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        help="Pictures, folders (with all below them), globs, tar archives (shard-{000..099}.tar), Parquet files with "
        "a column image, one picture in either (shard.tar/1.jpg), http(s) addresses of all these; @FILE, or - for "
        "standard input, with one of these a line.",
        metavar="PATH...",
    ),
]

BatchSize: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Pictures of 224×224 an encoder call.",
        show_default="what an eighth of the free memory holds, 32 at most, 256 on a GPU",
    ),
]
