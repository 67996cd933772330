"""The pictures that commands take, in their help."""

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
