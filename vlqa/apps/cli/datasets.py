"""`vlqa datasets`: public sets of rated pictures, what of them is on disk, and their labels as a label file."""

from __future__ import annotations

import enum
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vlqa.data.catalog import PublicSet

SOME_MISSING = 1

app = typer.Typer(no_args_is_help=True, help="List public sets of rated pictures, check them on disk, export labels.")


class Format(enum.StrEnum):
    """How `vlqa datasets list` writes."""

    TABLE = "table"
    JSON = "json"


_Name = Annotated[str, typer.Argument(help="A name of `vlqa datasets list`.", metavar="NAME", show_default=False)]
_Root = Annotated[
    Path, typer.Argument(help="The set's folder, or the one it was unpacked in.", metavar="ROOT", show_default=False)
]


@app.command("list")
def list_sets(
    format: Annotated[
        Format | None, typer.Option("--format", "-f", help="Table on a terminal, JSON when piped, unless said here.")
    ] = None,
) -> None:
    """List the sets: what each is, its scale, licence and home page; in JSON also what to cite.

    \b
    Examples:
      vlqa datasets list
      vlqa datasets list --format json | jq -r '.[] | .name + ": " + .citation'
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa.data.catalog import SETS

    if format is Format.JSON or (format is None and not sys.stdout.isatty()):
        typer.echo(json.dumps([_record(name, row) for name, row in SETS.items()], ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for title in ("name", "what", "pictures", "scale", "licence", "home"):
        table.add_column(
            title, no_wrap=title == "name", overflow="fold", justify="right" if title == "pictures" else "left"
        )
    for name, row in SETS.items():
        scale = "{:g}–{:g}".format(*row.scale)
        cells = (name, f"{row.title}: {row.what}", str(row.count), scale, row.licence, row.home)
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)


@app.command()
def check(name: _Name, root: _Root) -> None:
    """Print the pictures and references of a set that are not on disk, one path a line.

    Exit status: 0 all there; 1 some missing, or rows missing in the label file; 2 no such set, or no label file of it
    there.

    \b
    Examples:
      vlqa datasets check kadid10k data/kadid10k
      vlqa datasets check koniq10k-512 data/koniq10k > missing.txt
    """  # noqa: D301
    from vlqa.data.catalog import find, missing_files, read_dataset

    row = find(name)
    manifest = read_dataset(name, root)
    missing = missing_files(manifest)
    for path in missing:
        typer.echo(str(path))
    low, high = manifest.mos.min(), manifest.mos.max()
    found = f"{len(missing)} files missing" if missing else "every file there"
    typer.echo(f"{row.title}: {len(manifest)} rated pictures, mos {low:g} to {high:g}, {found}", err=True)
    short = len(manifest) < row.count
    if short:
        typer.echo(
            f"{manifest.source}: expected {row.count} rated pictures, found {len(manifest)}; "
            f"download the labels again from {row.home}",
            err=True,
        )
    if missing or short:
        raise typer.Exit(SOME_MISSING)


@app.command()
def export(
    name: _Name,
    root: _Root,
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV to write.", show_default=False)],
) -> None:
    """Write a set's labels as the label file that `vlqa evaluate`, `fit` and `train` read, higher is better.

    \b
    Examples:
      vlqa datasets export csiq data/CSIQ --output csiq.csv
      vlqa evaluate csiq.csv --images data/CSIQ
    """  # noqa: D301
    from vlqa.data.catalog import read_dataset

    manifest = read_dataset(name, root)
    manifest.to_csv(output)
    typer.echo(f"{output}: {len(manifest)} rows; read it with --images {manifest.images}", err=True)


def _record(name: str, row: PublicSet) -> dict[str, Any]:
    record: dict[str, Any] = {"name": name, "title": row.title, "what": row.what, "pictures": row.count}
    record |= {"scale": list(row.scale), "scores": row.scores, "split": row.split, "citation": row.citation}
    return record | {"licence": row.licence, "home": row.home, "labels": list(row.labels)}
