"""Records of assessments as a table, JSON lines, CSV or Parquet, written as they come."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vlqa.apps.journal import Journal, check_journal, stamp_of
from vlqa.artifacts import atomic_write, check_writable
from vlqa.errors import ConfigError
from vlqa.types import Assessment, Patch

if TYPE_CHECKING:
    from vlqa.data.sources.find import Picture

_PARQUET_ROWS = 4096  # rows a group

Write = Callable[[Mapping[str, Any]], None]


class Output:
    """Where records go.

    Attributes:
        resumed: records that were there: none.
        unnamed: of these, without a picture that is named now: none.
        failed: records with an error.
    """

    resumed = unnamed = 0

    def __init__(self, write: Write) -> None:
        self.failed = 0
        self._write = write

    def unscored(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """The pictures that have no record yet."""
        return iter(pictures)

    def write(self, record: Assessment) -> None:
        """Add the record of the next of them."""
        self.failed += record.error is not None
        self._write(record.as_dict())


@contextlib.contextmanager
def open_output(
    format: str,
    output: Path | None,
    scale: tuple[float, float],
    record: type[Assessment] = Assessment,
    *,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    retry_failed: bool = False,
    stamp: Callable[[Picture], str | None] = stamp_of,
) -> Iterator[Output | Journal]:
    """Where the records of a run go.

    What a file shall hold is collected in a `Journal`, `<output>.partial`, and written when all records are there;
    after a broken run the journal stays, and `resume` goes on with it. A pipe or a device is written directly.

    Args:
        format: "table", "jsonl", "csv" or "parquet".
        output: file, or None for standard output.
        scale: of the predictor, for the heading of a table.
        record: what is written, an `Assessment` or an `Explanation`, whose fields are the columns.
        settings: what decides a record besides the picture; see `Journal`.
        resume: go on with a broken run.
        retry_failed: see `Journal`.
        stamp: see `Journal`.

    Raises:
        ConfigError: the file cannot be written, or there is a journal that cannot be gone on with.
    """
    fields = [field.name for field in dataclasses.fields(record)]
    if output is None:
        with _writer(format, sys.stdout, scale, fields) as write:
            yield Output(write)
        return
    try:
        if _is_device(output):
            with output.open("wb") as device, _writer(format, device, scale, fields) as write:
                yield Output(write)
            return
        target = output.resolve()  # through links, which stay
        target.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(journal_of(target), settings or {}, resume=resume, retry_failed=retry_failed, stamp=stamp)
    except OSError as error:
        raise _unwritable(output, error) from None
    try:
        yield journal
        with atomic_write(target) as file, _writer(format, file, scale, fields) as write:
            for row in journal.rows():
                write(row)
    except BaseException:
        journal.close(keep=True)
        raise
    journal.close(keep=False)


def check_output(output: Path, settings: Mapping[str, Any], *, resume: bool = False) -> None:
    """Raise what `open_output` would, as far as it can be told before a model is loaded."""
    try:
        if not _is_device(output):
            check_writable(output.resolve().parent)
            check_journal(journal_of(output), settings, resume=resume)
    except OSError as error:
        raise _unwritable(output, error) from None


def journal_of(output: Path) -> Path:
    """Where the records of a file are until all are there."""
    target = output.resolve()
    return target.with_name(f"{target.name}.partial")


def _is_device(output: Path) -> bool:
    """Asked as it is named: a pipe behind /dev/stdout has no other name."""
    return output.exists() and not output.is_file()


def _unwritable(output: Path, error: OSError) -> ConfigError:
    return ConfigError(f"--output {output}: cannot be written ({error.strerror}); name another place")


@contextlib.contextmanager
def _writer(format: str, file: IO[Any], scale: tuple[float, float], fields: Sequence[str]) -> Iterator[Write]:
    """A function that writes one record as a row, to a binary file or a stream of text."""
    if format == "parquet":
        with _parquet(file, fields) as write:
            yield write
        return
    given = hasattr(file, "encoding")
    text: Any = file if given else io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
    writers = {"table": lambda: _table(text, scale), "csv": lambda: _csv(text, fields)}
    try:
        with writers.get(format, lambda: _json_lines(text, fields))() as write:
            yield write
    finally:
        text.flush()
        if not given:
            text.detach()  # the file is closed by who opened it


@contextlib.contextmanager
def _json_lines(file: IO[str], fields: Sequence[str]) -> Iterator[Write]:
    def write(record: Mapping[str, Any]) -> None:
        # names that are no UTF-8 hold lone surrogates, which the stream writes as the JSON escape \udcXX
        file.write(json.dumps({name: record[name] for name in fields}, ensure_ascii=False, allow_nan=False) + "\n")
        file.flush()

    yield write


@contextlib.contextmanager
def _csv(file: IO[str], fields: Sequence[str]) -> Iterator[Write]:
    writer = csv.DictWriter(file, fields, lineterminator="\n")
    writer.writeheader()

    def write(record: Mapping[str, Any]) -> None:
        row = {name: record[name] for name in fields}
        writer.writerow(
            {
                name: json.dumps(value) if isinstance(value, dict | tuple | list) else value
                for name, value in row.items()
            }
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

        def write(record: Mapping[str, Any]) -> None:
            row = {name: record[name] for name in fields}
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

    def write(record: Mapping[str, Any]) -> None:
        path = Text(record["path"] or "")
        if record["error"] is not None:
            table.add_row(path, "", "", Text(record["error"], style="red", overflow="fold"), "")
            return
        table.add_row(
            path,
            _bar(record["quality"] or 0.0),
            f"{record['raw']:.2f}",
            _most_probable(record["scene"], record["scene_probabilities"]),
            _most_probable(record["distortion"], record["distortion_probabilities"]),
        )

    try:
        yield write
    finally:  # what was scored before an interruption is shown
        Console(file=file).print(table)


def _bar(quality: float) -> str:
    return "█" * round(quality * 10) + "░" * (10 - round(quality * 10)) + f" {quality:.2f}"


def _most_probable(label: str | None, probabilities: dict[str, float] | None) -> str:
    if label is None or probabilities is None:
        return label or ""
    return f"{label.replace('_', ' ')} {probabilities[label]:.0%}"
