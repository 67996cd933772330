"""Records of assessments as a table, JSON lines, CSV or Parquet, written as they come."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from vlqa.errors import ConfigError
from vlqa.types import Assessment, Patch

_PARQUET_ROWS = 4096  # rows a group: what a run that breaks off loses at most

Write = Callable[[Assessment], None]


@contextlib.contextmanager
def open_writer(
    format: str, output: Path | None, scale: tuple[float, float], record: type[Assessment] = Assessment
) -> Iterator[Write]:
    """A function that writes one record.

    A file is written as `<output>.partial` and takes its name when all records are in it; after a broken run what was
    written remains there. A pipe or a device is written directly.

    Args:
        format: "table", "jsonl", "csv" or "parquet".
        output: file, or None for standard output.
        scale: of the predictor, for the heading of a table.
        record: what is written, an `Assessment` or an `Explanation`, whose fields are the columns.

    Raises:
        ConfigError: the file cannot be written.
    """
    if output is None:
        with _writer(format, sys.stdout, scale, record) as write:
            yield write
        return
    try:
        target = output.resolve()  # through links, which stay
        special = target.exists() and not target.is_file()
        partial = target if special else target.with_name(f"{target.name}.partial")
        target.parent.mkdir(parents=True, exist_ok=True)
        file: IO[Any] = (
            partial.open("wb")
            if format == "parquet"
            else partial.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        )
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written ({error.strerror})") from None
    records = 0
    try:
        with file, _writer(format, file, scale, record) as write:

            def counting(record: Assessment) -> None:
                nonlocal records
                write(record)
                records += 1

            yield counting
    except BaseException:
        if not records and not special:
            partial.unlink(missing_ok=True)
        raise
    if not special:
        partial.replace(target)


def _writer(
    format: str, file: IO[Any], scale: tuple[float, float], record: type[Assessment]
) -> contextlib.AbstractContextManager[Write]:
    fields = [field.name for field in dataclasses.fields(record)]
    if format == "table":
        return _table(file, scale)
    if format == "csv":
        return _csv(file, fields)
    return _parquet(file, fields) if format == "parquet" else _json_lines(file, fields)


@contextlib.contextmanager
def _json_lines(file: IO[str], fields: Sequence[str]) -> Iterator[Write]:
    def write(record: Assessment) -> None:
        # names that are no UTF-8 hold lone surrogates, which the stream writes as the JSON escape \udcXX
        file.write(json.dumps(_row(record, fields), ensure_ascii=False, allow_nan=False) + "\n")
        file.flush()

    yield write


@contextlib.contextmanager
def _csv(file: IO[str], fields: Sequence[str]) -> Iterator[Write]:
    writer = csv.DictWriter(file, fields, lineterminator="\n")
    writer.writeheader()

    def write(record: Assessment) -> None:
        row = _row(record, fields)
        writer.writerow(
            {name: json.dumps(value) if isinstance(value, dict | tuple) else value for name, value in row.items()}
        )
        file.flush()

    yield write


@contextlib.contextmanager
def _parquet(file: IO[bytes], fields: Sequence[str]) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    probabilities = pa.map_(pa.string(), pa.float64())
    kinds: dict[str, Any] = dict.fromkeys(fields, pa.string())
    kinds |= dict.fromkeys(("quality", "raw", "high", "low"), pa.float64())
    kinds |= dict.fromkeys((name for name in fields if name.endswith("_probabilities")), probabilities)
    kinds |= dict.fromkeys((name for name in ("attributes", "shares") if name in fields), probabilities)
    if "patches" in fields:
        kinds["patches"] = pa.list_(pa.struct({field.name: pa.float64() for field in dataclasses.fields(Patch)}))
    kinds |= {"interval": pa.list_(pa.float64(), 2), "out_of_distribution": pa.bool_()}
    schema = pa.schema(list(kinds.items()))
    rows: list[dict[str, Any]] = []
    with pq.ParquetWriter(file, schema) as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            rows.clear()

        def write(record: Assessment) -> None:
            row = _row(record, fields)
            for name, value in row.items():
                if isinstance(value, str):  # Parquet strings are UTF-8, file names need not be
                    row[name] = value.encode("utf-8", "backslashreplace").decode()
                elif isinstance(value, dict):
                    row[name] = list(value.items())
            rows.append(row)
            if len(rows) == _PARQUET_ROWS:
                flush()

        yield write
        flush()


@contextlib.contextmanager
def _table(file: IO[str], scale: tuple[float, float]) -> Iterator[Write]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("image", overflow="fold")
    table.add_column("quality", justify="right")
    table.add_column(f"score {scale[0]:g}–{scale[1]:g}", justify="right")
    table.add_column("scene")
    table.add_column("distortion")

    def write(record: Assessment) -> None:
        path = Text(record.path or "")
        if record.error is not None:
            table.add_row(path, "", "", Text(record.error, style="red", overflow="fold"), "")
            return
        table.add_row(
            path,
            _bar(record.quality or 0.0),
            f"{record.raw:.2f}",
            _most_probable(record.scene, record.scene_probabilities),
            _most_probable(record.distortion, record.distortion_probabilities),
        )

    try:
        yield write
    finally:  # what was scored before an interruption is shown
        Console(file=file).print(table)


def _row(record: Assessment, fields: Sequence[str]) -> dict[str, Any]:
    values = record.as_dict()
    return {name: values[name] for name in fields}


def _bar(quality: float) -> str:
    return "█" * round(quality * 10) + "░" * (10 - round(quality * 10)) + f" {quality:.2f}"


def _most_probable(label: str | None, probabilities: dict[str, float] | None) -> str:
    if label is None or probabilities is None:
        return label or ""
    return f"{label.replace('_', ' ')} {probabilities[label]:.0%}"
