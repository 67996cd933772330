"""`vlqa prompts`: look at the sentences images are compared with, check one's own, and find better ones."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlqa.apps.cli.prompt_lab import rank, search, sensitivity
from vlqa.errors import ConfigError

if TYPE_CHECKING:
    from vlqa.prompts import PromptSet

app = typer.Typer(
    no_args_is_help=True, help="Sentences images are compared with: show, check, rank, search, sensitivity."
)


class Format(enum.StrEnum):
    """How `vlqa prompts show` writes."""

    TABLE = "table"
    JSON = "json"


@app.command()
def show(
    name_or_file: Annotated[
        str | None, typer.Argument(help="A bundled name or a YAML file; lists the bundled names when left out.")
    ] = None,
    format: Annotated[
        Format | None, typer.Option("--format", "-f", help="Table on a terminal, JSON when piped, unless said here.")
    ] = None,
) -> None:
    """Show the sentences of a prompt set in the order they are encoded, and what they are called.

    \b
    Examples:
      vlqa prompts show
      vlqa prompts show attributes
      vlqa prompts show mine.yaml --format json
    """  # noqa: D301 (typer keeps the lines after a backspace as they are)
    from vlqa.prompts import PromptSet

    as_table = format is Format.TABLE or (format is None and sys.stdout.isatty())
    if name_or_file is None:
        sets = [PromptSet.load(name) for name in PromptSet.bundled_names()]
        if as_table:
            listed = [(each.name, each.kind, str(len(each.texts)), each.description) for each in sets]
            _table("Bundled prompts", ("name", "kind", "sentences", "what it is"), listed)
        else:
            typer.echo(json.dumps([_record(each) for each in sets], ensure_ascii=False))
        return
    prompts = PromptSet.load(name_or_file)
    if not as_table:
        typer.echo(json.dumps(_record(prompts), ensure_ascii=False))
    elif prompts.kind == "joint":
        axes = [(axis, ", ".join(_worth(prompts, axis, labels))) for axis, labels in prompts.axes]
        _table(_title(prompts), ("part", "words"), [("template", prompts.template), *axes])
    else:
        pairs = [(label, *pair) for label, pair in zip(prompts.pair_labels, prompts.pairs, strict=True)]
        _table(_title(prompts), ("name", "positive", "negative"), pairs)


@app.command()
def check(files: Annotated[list[Path], typer.Argument(help="YAML files.", show_default=False)]) -> None:
    """Check prompt files; a wrong one gets one line with its line number, and exit status 2.

    \b
    Examples:
      vlqa prompts check mine.yaml
      vlqa prompts check prompts/*.yaml
    """  # noqa: D301
    from vlqa.prompts import PromptSet

    wrong = 0
    for file in files:
        try:
            typer.echo(f"{file}: good, {_title(PromptSet.from_file(file))}")
        except ConfigError as error:  # the other files are checked all the same
            typer.echo(str(error), err=True)
            wrong += 1
    if wrong:
        raise typer.Exit(2)


for command in (rank, search, sensitivity):
    app.command()(command)


def _record(prompts: PromptSet) -> dict[str, object]:
    return prompts.as_dict() | {"texts": list(prompts.texts), "digest": prompts.digest}


def _title(prompts: PromptSet) -> str:
    temperature = "" if prompts.temperature is None else f", temperature {prompts.temperature:g}"
    return f"{prompts.name}: {prompts.kind}, {len(prompts.texts)} sentences{temperature}, digest {prompts.digest[:16]}"


def _worth(prompts: PromptSet, axis: str, labels: tuple[str, ...]) -> list[str]:
    """Labels; those of quality with their values."""
    if axis != "quality":
        return list(labels)
    return [f"{label} ({value:g})" for label, value in zip(labels, prompts.values, strict=True)]


def _table(title: str, columns: tuple[str, ...], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: brackets in a sentence are no markup
    Console().print(table)
