"""A finished output, and whether it holds the pictures that are named now."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlqa.apps.pictures import brief_digest, name_of
from vlqa.errors import ConfigError

if TYPE_CHECKING:
    from vlqa.data.sources.find import Picture
    from vlqa.predictors.base import ImagePredictor

_LONGEST_FIELD = 2**31 - 1  # of a CSV file: all patches of a picture are one


@dataclass(frozen=True)
class Finished:
    """What a finished output tells of the run that wrote it.

    Attributes:
        output: its file.
        failed: records with an error.
        digests: of the models in its records; none where they are not told.
    """

    output: Path
    failed: int = 0
    digests: frozenset[str] = frozenset()

    def check_model(self, predictor: ImagePredictor) -> None:
        """Raise a ConfigError where another model, or other prompts, made the output."""
        others = self.digests - {predictor.digest[:16]}
        if others:
            raise ConfigError(
                f"{self.output} is finished, by another model, or with other prompts (digest {min(others)}, now "
                f"{predictor.digest[:16]}); score into another --output, or delete it"
            )


def check_holds(
    output: Path,
    format: str,
    pictures: Iterable[Picture],
    *,
    retry_failed: bool = False,
    reference_of: Callable[[Picture], Path] | None = None,
) -> Finished:
    """Raise a ConfigError unless a finished output has what a run over these pictures would write.

    Args:
        output: of an earlier run.
        format: of it, as for `open_output`; of a table for people nothing can be told.
        pictures: that are named now. Each must have a record, and a file must not have changed since the output was
            finished; whether a member of an archive or an address has, is not known.
        retry_failed: an output with records of failures is none that is finished.
        reference_of: what a picture is compared with; must not have changed either.

    Returns:
        What else is known of the output. Of the options of its run nothing is.

    Raises:
        ConfigError: the output lacks pictures, is older than they are, or is none of `vlqa score`.
    """
    if format == "table":
        return Finished(output)
    held, digests, failed = set[bytes](), set[str](), 0
    try:
        for name, digest, error in _records(output, format):
            held.add(_digest(name))
            digests.add(digest)
            failed += error
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error):  # of pyarrow ValueErrors and KeyErrors
        raise ConfigError(f"{output} holds no {format} of vlqa score; name another --output") from None
    if failed and retry_failed:
        raise ConfigError(f"{output} is finished, with {failed} failed; score these into another --output")
    finished = output.stat().st_mtime_ns
    missing = changed = 0
    example = ""
    for picture in pictures:
        name = name_of(picture)
        files = [picture] if isinstance(picture, str) else []
        files += [str(reference_of(picture))] if reference_of else []
        lacks = _digest(name) not in held
        newer = not lacks and any(_is_newer(file, finished) for file in files)
        missing, changed = missing + lacks, changed + newer
        example = example or (name if lacks or newer else "")
    if missing or changed:
        told = [f"{missing} pictures named now are not in it"] if missing else []
        what = "pictures or their references" if reference_of else "pictures"
        told += [f"{changed} {what} have changed since"] if changed else []
        raise ConfigError(
            f"{output} is finished: {' and '.join(told)} (the first: {example}); score them into another --output, "
            "or delete it"
        )
    return Finished(output, failed, frozenset(digests))


def _records(output: Path, format: str) -> Iterator[tuple[str, str, bool]]:
    """Name of each picture, digest of the model that scored it, and whether it failed."""
    if format == "parquet":
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(output).iter_batches(columns=["path", "digest", "error"]):
            for row in batch.to_pylist():
                yield row["path"], row["digest"], row["error"] is not None
        return
    with output.open(encoding="utf-8", newline="") as file:
        if format == "csv":
            csv.field_size_limit(_LONGEST_FIELD)
            for row in csv.DictReader(file):
                yield row["path"], row["digest"], row["error"] != ""
        else:
            for row in map(json.loads, file):
                yield row["path"], row["digest"], row["error"] is not None


def _digest(name: str) -> bytes:
    return brief_digest(name.encode("utf-8", "backslashreplace").decode())  # as CSV and Parquet hold it


def _is_newer(path: str, time_ns: int) -> bool:
    try:
        return Path(path).stat().st_mtime_ns > time_ns
    except (OSError, ValueError):
        return False
