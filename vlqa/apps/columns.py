"""The columns of records: what each holds, in a CSV file, in Parquet, in memory."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from vlqa.types import Assessment, Patch


class Kind(Enum):
    """What the values of a column are, besides None."""

    NAME = auto()  # text, never None
    TEXT = auto()
    NUMBER = auto()
    FLAG = auto()
    PROBABILITIES = auto()  # of each of several words
    INTERVAL = auto()
    PATCHES = auto()


_KINDS = {
    **dict.fromkeys(("path", "model", "digest"), Kind.NAME),
    **dict.fromkeys(("scene", "distortion", "error"), Kind.TEXT),
    **dict.fromkeys(("quality", "raw", "high", "low"), Kind.NUMBER),
    **dict.fromkeys(("quality_probabilities", "scene_probabilities", "distortion_probabilities"), Kind.PROBABILITIES),
    **dict.fromkeys(("joint_probabilities", "attributes", "shares"), Kind.PROBABILITIES),
    "out_of_distribution": Kind.FLAG,
    "interval": Kind.INTERVAL,
    "patches": Kind.PATCHES,
}
_PATCH = frozenset(field.name for field in dataclasses.fields(Patch))


def columns_of(record: type[Assessment]) -> dict[str, Kind]:
    """Names and kinds of the columns of a kind of record, in their order."""
    return {field.name: _KINDS[field.name] for field in dataclasses.fields(record)}


def as_record(row: Any, columns: Mapping[str, Kind]) -> dict[str, Any] | None:
    """The columns of a row that was read, in their order; None where it is no record of these."""
    if not isinstance(row, dict) or not all(name in row and _fits(row[name], kind) for name, kind in columns.items()):
        return None
    return {name: row[name] for name in columns}


def as_csv(value: Any) -> Any:
    """A value in a field of a CSV file; `from_csv` reads it."""
    return json.dumps(value) if isinstance(value, dict | tuple | list) else value


def from_csv(field: str, kind: Kind | None) -> Any:
    """The value of a field of a CSV file; of a column that records do not have its text.

    Raises:
        ValueError, KeyError: it holds none of this kind.
    """
    if kind is None or kind is Kind.NAME:
        return field
    if not field:
        return None
    if kind is Kind.TEXT:
        return field
    if kind is Kind.NUMBER:
        return float(field)
    return {"True": True, "False": False}[field] if kind is Kind.FLAG else json.loads(field)


def as_parquet(value: Any) -> Any:
    """A value as Parquet has it: text in UTF-8, which file names need not be, and maps as pairs."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return list(value.items()) if isinstance(value, dict) else value


def from_parquet(value: Any, kind: Kind | None) -> Any:
    """What `as_parquet` was given."""
    return dict(value) if kind is Kind.PROBABILITIES and value is not None else value


def parquet_schema(columns: Mapping[str, Kind]) -> Any:
    """The `pyarrow.Schema` of records."""
    import pyarrow as pa

    types = {
        Kind.NAME: pa.string(),
        Kind.TEXT: pa.string(),
        Kind.NUMBER: pa.float64(),
        Kind.FLAG: pa.bool_(),
        Kind.PROBABILITIES: pa.map_(pa.string(), pa.float64()),
        Kind.INTERVAL: pa.list_(pa.float64(), 2),
        Kind.PATCHES: pa.list_(pa.struct({field.name: pa.float64() for field in dataclasses.fields(Patch)})),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def _fits(value: Any, kind: Kind) -> bool:
    if value is None:
        return kind is not Kind.NAME
    if kind in (Kind.NAME, Kind.TEXT):
        return isinstance(value, str)
    if kind is Kind.NUMBER:
        return _is_number(value)
    if kind is Kind.FLAG:
        return isinstance(value, bool)
    if kind is Kind.PROBABILITIES:
        return isinstance(value, dict) and all(isinstance(name, str) for name in value) and _are_numbers(value.values())
    if kind is Kind.INTERVAL:
        return isinstance(value, list | tuple) and len(value) == 2 and _are_numbers(value)
    patches = isinstance(value, list | tuple) and all(
        isinstance(each, dict) and each.keys() == _PATCH for each in value
    )
    return patches and all(_are_numbers(each.values()) for each in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _are_numbers(values: Any) -> bool:
    return all(_is_number(value) for value in values)
