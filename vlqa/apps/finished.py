"""An output that is there: read again, so that a run goes on with it, and never taken for one where it is none."""

from __future__ import annotations

import csv
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from vlqa.apps.columns import Kind, as_record, columns_of, from_csv, from_parquet
from vlqa.errors import ConfigError
from vlqa.types import Assessment, Explanation

_LONGEST_FIELD = 2**31 - 1  # of a CSV file: all patches of a picture are one
_LONGEST_LINE = 1 << 24
_ROWS = 1024  # of Parquet at once


class Finished:
    """The records of a run that has ended, of which each must be of the same model as those to come.

    Args:
        output: its file.
        format: "jsonl", "csv" or "parquet".
        columns: of the records.
        model: digest of the model.

    Attributes:
        time_ns: when it was written.
        state: changes where the file does.

    Raises:
        ConfigError: it cannot be gone on with.
    """

    def __init__(self, output: Path, format: str, columns: Mapping[str, Kind], model: str) -> None:
        self.output, self.format, self.columns, self.model = output, format, columns, model
        check_is_ours(output, format)
        self.look()

    def look(self) -> None:
        """See what the file is now; once more when no other run can be writing it."""
        status = self.output.stat()
        self.time_ns = status.st_mtime_ns
        self.state = f"{status.st_size} {status.st_mtime_ns}"

    def is_older_than(self, name: str) -> bool:
        """Whether the file of a picture, or its archive, was changed or put there since; not if it is gone."""
        for place in (name, *map(str, PurePath(name).parents)):
            try:
                status = os.stat(place)  # noqa: PTH116 - for millions of names
            except (OSError, ValueError):
                continue
            return stat.S_ISREG(status.st_mode) and max(status.st_mtime_ns, status.st_ctime_ns) > self.time_ns
        return False

    def rows(self) -> Iterator[dict[str, Any]]:
        """The records in their order.

        Raises:
            ConfigError: one is none, has other columns, or is of another model.
        """
        read = {"parquet": self._parquet, "csv": self._csv}.get(self.format, self._json_lines)
        rows = read()
        number = 0
        while True:
            number += 1
            try:
                row = next(rows, None)
            except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError, csv.Error) as error:
                _raise_unread(self.output, error)
                row = {}  # ValueErrors and OSErrors without a number are what pyarrow raises
            if row is None:
                return
            record = as_record(row, self.columns)
            if record is None or len(row) > len(record):  # what else a row holds would be lost
                raise ConfigError(
                    f"{self.output}: record {number} is none of vlqa score with these options, or has other columns; "
                    "name another --output"
                )
            if record["digest"] != self.model[:16]:
                raise ConfigError(
                    f"{self.output} is finished, by another model, or with other prompts (digest {record['digest']}, "
                    f"now {self.model[:16]}); score into another --output, or delete it"
                )
            yield record

    def _parquet(self) -> Iterator[Any]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.output) as file:
            for batch in file.iter_batches(batch_size=_ROWS):
                for row in batch.to_pylist():
                    yield {name: from_parquet(value, self.columns.get(name)) for name, value in row.items()}

    def _csv(self) -> Iterator[Any]:
        csv.field_size_limit(_LONGEST_FIELD)
        with self.output.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield {name: from_csv(value, self.columns.get(name)) for name, value in row.items()}

    def _json_lines(self) -> Iterator[Any]:
        with self.output.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


def check_is_ours(output: Path, format: str) -> None:
    """Raise a ConfigError where a file is there that no `vlqa score` wrote: a picture, a list, another table."""
    if output.is_file() and output.stat().st_size and not _is_ours(output, format):
        raise ConfigError(
            f"--output {output}: is there and holds no {format} of vlqa score; name another, or delete it"
        )


def _is_ours(output: Path, format: str) -> bool:
    try:
        if format == "parquet":
            import pyarrow.parquet as pq

            return _are_ours(pq.read_schema(output).names)
        with output.open(encoding="utf-8", newline="") as file:
            first = file.readline(_LONGEST_LINE)
        if format == "table":
            words = first.split()
            return words[:3] + words[-2:] == ["image", "quality", "score", "scene", "distortion"]
        if format == "csv":
            return _are_ours(next(csv.reader([first])))
        return first.startswith('{"path": ') and _are_ours(json.loads(first))
    except (ValueError, OSError, RecursionError, csv.Error) as error:
        _raise_unread(output, error)
        return False


def _are_ours(names: Iterable[str]) -> bool:
    """Whether columns are those of records, and none that somebody has added."""
    return list(names) in [list(columns_of(record)) for record in (Assessment, Explanation)]


def _raise_unread(output: Path, error: Exception) -> None:
    """Raise a ConfigError where an error is of the disk and not of what is on it."""
    if isinstance(error, OSError) and error.errno is not None:
        raise ConfigError(f"{output}: cannot be read ({error.strerror}); check the path and the disk") from None
