"""An output that is there: read again, so that a run goes on with it, and never taken for one where it is none."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vlqa.apps.columns import Kind, as_record, from_csv, from_parquet
from vlqa.errors import ConfigError

_LONGEST_FIELD = 2**31 - 1  # of a CSV file: all patches of a picture are one
_SURE = ("path", "quality", "raw", "error")  # columns that records of every version have
_HEAD_BYTES = 1 << 16


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
        if format == "table":
            raise ConfigError(f"{output} is finished; a table for people cannot be gone on with, --format jsonl can")
        status = output.stat()
        self.time_ns = status.st_mtime_ns
        self.state = f"{status.st_size} {status.st_mtime_ns}"

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
            except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError, csv.Error):
                row = {}  # ValueErrors and OSErrors are what pyarrow raises
            if row is None:
                return
            record = as_record(row, self.columns)
            if record is None:
                raise ConfigError(
                    f"{self.output}: record {number} is none of vlqa score with these options; mend or delete it, or "
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
            for batch in file.iter_batches(columns=list(self.columns)):
                for row in batch.to_pylist():
                    yield {name: from_parquet(row[name], kind) for name, kind in self.columns.items()}

    def _csv(self) -> Iterator[Any]:
        csv.field_size_limit(_LONGEST_FIELD)
        with self.output.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield {name: from_csv(row[name], kind) for name, kind in self.columns.items()}

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

            return set(_SURE) <= set(pq.read_schema(output).names)
        with output.open(encoding="utf-8", newline="") as file:
            head = file.read(_HEAD_BYTES)
        first = head.splitlines()[0]
        if format == "table":
            return first.split()[:2] == ["image", "quality"]
        if format == "csv":
            return set(_SURE) <= set(next(csv.reader([first])))
        return first.startswith('{"path": ') and '"quality": ' in head
    except (ValueError, OSError, csv.Error):
        return False
