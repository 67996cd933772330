"""Records of assessments as a table, JSON lines, CSV or Parquet, written as they come."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vlqa.apps.columns import Kind, as_csv, as_parquet, columns_of, parquet_schema
from vlqa.apps.finished import Finished, check_is_ours
from vlqa.apps.journal import Journal, check_journal
from vlqa.artifacts import atomic_write, check_writable
from vlqa.data.complaints import one_line
from vlqa.errors import ConfigError
from vlqa.types import Assessment

if TYPE_CHECKING:
    from vlqa.data.sources.find import Picture

_PARQUET_ROWS = 4096  # rows a group
_LONGEST_NAME = 240  # bytes: the files beside an output have longer ones, and file systems take 255

Write = Callable[[Mapping[str, Any]], None]


class Output:
    """Where records go.

    Attributes:
        failed: records with an error.
        resumed: records that were there: none.
        unnamed: of these, of pictures that are not named now: none.
        finished: an output that was there: none.
    """

    resumed = unnamed = 0
    finished = None

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
    beside: Callable[[Picture], Path] | None = None,
) -> Iterator[Output | Journal]:
    """Where the records of a run go.

    What a file shall hold is collected in a `Journal`, `<output>.partial`, and written when all records are there;
    after a broken run the journal stays, and `resume` goes on with it, or with an output that is finished, which stays
    as it is where nothing is to be added. A pipe or a device is written directly.

    Args:
        format: "table", "jsonl", "csv" or "parquet".
        output: file, or None for standard output.
        scale: of the predictor, for the heading of a table.
        record: what is written, an `Assessment` or an `Explanation`, whose fields are the columns.
        settings: what decides a record besides the picture, as "model", its digest; see `Journal`.
        resume: go on with an earlier run.
        retry_failed: see `Journal`.
        beside: see `Journal`.

    Raises:
        ConfigError: the file cannot be written, or there is a journal or an output that cannot be gone on with.
    """
    settings = settings or {}
    columns = columns_of(record)
    if output is None:
        with _writer(format, sys.stdout, scale, columns) as write:
            yield Output(write)
        return
    try:
        if _is_device(output):
            with output.open("wb") as device, _writer(format, device, scale, columns) as write:
                yield Output(write)
            return
        target = output.resolve()  # through links, which stay
        target.parent.mkdir(parents=True, exist_ok=True)
        finished = None
        if resume and _is_there(target, format):
            finished = Finished(target, format, columns, settings.get("model", ""))
        journal = Journal(
            journal_of(target),
            settings,
            columns,
            resume=resume,
            retry_failed=retry_failed,
            beside=beside,
            finished=finished,
        )
    except (OSError, RuntimeError) as error:  # a RuntimeError is what a loop of links raises
        raise _unwritable(output, error) from None
    try:
        if journal.finished is not None:
            _check_can_be_gone_on_with(target, settings)
        yield journal
        if not journal.adds_nothing():
            _write(target, format, scale, columns, journal)
    except BaseException:
        journal.close(keep=True)
        raise
    journal.close(keep=False)


def check_output(output: Path, format: str, settings: Mapping[str, Any], *, resume: bool = False) -> None:
    """Raise what `open_output` would, as far as it can be told before a model is loaded.

    Raises:
        ConfigError: so does it where a file is there that no `vlqa score` wrote: a picture, a list, another table.
    """
    try:
        if not _is_device(output):
            if len(os.fsencode(output.name)) > _LONGEST_NAME:
                raise ConfigError(f"--output {output}: the name is too long; {_LONGEST_NAME} bytes are the most")
            check_writable(output.resolve().parent)
            check_is_ours(output, format)
            if resume and _is_there(output.resolve(), format) and not journal_of(output).exists():
                _check_can_be_gone_on_with(output.resolve(), settings)
            check_journal(journal_of(output), settings, resume=resume)
    except (OSError, RuntimeError) as error:  # a RuntimeError is what a loop of links raises
        raise _unwritable(output, error) from None


def journal_of(output: Path) -> Path:
    """Where the records of a file are until all are there."""
    target = output.resolve()
    return target.with_name(f"{target.name}.partial")


def _is_there(target: Path, format: str) -> bool:
    """Whether a finished output is there to be gone on with; a journal goes on with a table for people alone.

    Raises:
        ConfigError: it is a table for people, of which nothing can be read.
    """
    there = target.exists() and target.stat().st_size > 0
    if there and format == "table" and not journal_of(target).exists():
        raise ConfigError(f"{target} is finished; a table for people cannot be gone on with, --format jsonl can")
    return there and format != "table"


def _check_can_be_gone_on_with(target: Path, settings: Mapping[str, Any]) -> None:
    """Raise a ConfigError where records depend on what a finished output does not hold, and a journal would."""
    for name in ("attributes", "reference", "map"):
        if settings.get(name) is not None:
            raise ConfigError(
                f"{target} is finished, and does not hold which --{name} it was made with; name another --output"
            )


def _is_device(output: Path) -> bool:
    """Asked as it is named: a pipe behind /dev/stdout has no other name."""
    return output.exists() and not output.is_file()


def _unwritable(output: Path, error: OSError | RuntimeError) -> ConfigError:
    why = getattr(error, "strerror", None) or error
    return ConfigError(f"--output {output}: cannot be written ({why}); name another place")


def _write(
    target: Path, format: str, scale: tuple[float, float], columns: Mapping[str, Kind], journal: Journal
) -> None:
    """Write what a journal holds as a whole file.

    Raises:
        ConfigError: it cannot be written; the journal stays.
    """
    try:
        with atomic_write(target) as file:
            with _writer(format, file, scale, columns) as write:
                for row in journal.rows():
                    write(row)
            file.flush()
            os.utime(file.fileno(), ns=(journal.time_ns, journal.time_ns))
    except OSError as error:
        raise ConfigError(
            f"{target}: cannot be written ({error.strerror or error}); all records are kept in {journal.file}: make "
            "room, then finish with --resume"
        ) from None


@contextlib.contextmanager
def _writer(format: str, file: IO[Any], scale: tuple[float, float], columns: Mapping[str, Kind]) -> Iterator[Write]:
    """A function that writes one record as a row, to a binary file or a stream of text."""
    if format == "parquet":
        with _parquet(file, columns) as write:
            yield write
        return
    given = hasattr(file, "encoding")
    text: Any = file if given else io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
    writers = {"table": lambda: _table(text, scale), "csv": lambda: _csv(text, columns)}
    try:
        with writers.get(format, lambda: _json_lines(text, columns))() as write:
            yield write
    finally:
        text.flush()
        if not given:
            text.detach()  # the file is closed by who opened it


@contextlib.contextmanager
def _json_lines(file: IO[str], columns: Iterable[str]) -> Iterator[Write]:
    def write(record: Mapping[str, Any]) -> None:
        # names that are no UTF-8 hold lone surrogates, which the stream writes as the JSON escape \udcXX
        file.write(json.dumps({name: record[name] for name in columns}, ensure_ascii=False, allow_nan=False) + "\n")
        file.flush()

    yield write


@contextlib.contextmanager
def _csv(file: IO[str], columns: Iterable[str]) -> Iterator[Write]:
    def write_line(fields: Iterable[Any]) -> None:
        line = io.StringIO(newline="")
        csv.writer(line).writerow(fields)  # of its own line ends it quotes each; of "\n" no "\r"
        file.write(line.getvalue().removesuffix("\r\n") + "\n")
        file.flush()

    write_line(columns)
    yield lambda record: write_line(as_csv(record[name]) for name in columns)


@contextlib.contextmanager
def _parquet(file: IO[bytes], columns: Mapping[str, Kind]) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = parquet_schema(columns)
    rows: list[dict[str, Any]] = []
    with pq.ParquetWriter(file, schema) as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            rows.clear()

        def write(record: Mapping[str, Any]) -> None:
            rows.append({name: as_parquet(record[name]) for name in columns})
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
        path = Text(one_line(record["path"] or ""))
        if record["error"] is not None:
            table.add_row(path, "", "", Text(one_line(record["error"]), style="red", overflow="fold"), "")
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
