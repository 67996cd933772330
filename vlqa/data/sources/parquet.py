"""Pictures in the rows of Parquet files, as data sets of the Hugging Face hub have them."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO, NamedTuple

from vlqa.data.complaints import describe_container
from vlqa.data.sources.content import Content, LocalContent
from vlqa.data.sources.failing import failing
from vlqa.data.sources.reel import Piece, Reel
from vlqa.errors import ImageDecodeError
from vlqa.types import Source

SUFFIXES = (".parquet",)

_PICTURES = "image"
_describe = functools.partial(describe_container, "Parquet file")
_NAMES = ("path", "file_name", "__key__", "id")
_ROWS = 4  # read together: little is gained by more, and one of them may be large
_LABELS = 1024
_LONGEST_LABEL = 1024
_BUFFER_BYTES = 1 << 20  # of a column read at once; without a buffer pyarrow reads a whole row group


class _Columns(NamedTuple):
    """Where the pictures are and what they are called, as paths of Parquet columns."""

    pictures: str
    in_struct: bool
    labels: str | None


def rows(path: str, most_bytes: int, content: Content | None = None) -> Iterator[Source]:
    """The pictures of a Parquet file, row by row: names come first, bytes when their turn comes.

    Pictures are in the column `image`, or else the only column, of binary values or of the Hugging Face struct of
    `bytes` and `path`. Names are the struct's `path`, a column `path`, `file_name`, `__key__` or `id`, or the row's
    number.

    Args:
        path: of the file.
        most_bytes: a larger picture is a source that fails.
        content: where it is read from; the file at its path where left out.

    Yields:
        Sources called `<path>/<name>`; of a file that is damaged or has no such column one of its own name that fails.
    """
    content = LocalContent(path) if content is None else content
    try:
        with content.open() as file:
            yield from _listed(file, path, most_bytes, content)
    except Exception as error:  # pyarrow's are of all kinds
        yield failing(path, _describe(error))


def count_rows(path: str) -> int:
    """How many sources `rows` gives, from the foot of the file."""
    import pyarrow.parquet as pq

    try:
        with LocalContent(path).open() as file:
            table = pq.ParquetFile(file)
            _columns(table.schema_arrow)
            return int(table.metadata.num_rows)
    except Exception:  # the file's one source says why
        return 1


def _listed(file: BinaryIO, path: str, most_bytes: int, content: Content) -> Iterator[Source]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    columns = _columns(table.schema_arrow)
    number = 0
    for group in range(table.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        play = functools.partial(_played, content, table.metadata, group, columns, most_bytes)
        reel = Reel(play, _describe, count - 1)
        for row, label in enumerate(_labels(table, group, count, columns.labels)):
            name = f"{path}/{number if label is None else label}"
            yield Source(name, functools.partial(reel.take, row), f"row {number} of {content.identity}")
            number += 1


def _played(content: Content, metadata: Any, group: int, columns: _Columns, most_bytes: int) -> Generator[Piece]:
    """The pictures of one row group."""
    import pyarrow.parquet as pq

    column = f"{columns.pictures}.bytes" if columns.in_struct else columns.pictures
    with content.open() as file:
        table = pq.ParquetFile(file, metadata=metadata, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        row = 0
        for batch in table.iter_batches(_ROWS, row_groups=[group], columns=[column], use_threads=False):
            values = batch.column(0).field("bytes") if columns.in_struct else batch.column(0)
            if hasattr(values, "dictionary_decode"):
                values = values.dictionary_decode()
            for value in values:
                data = value.as_buffer()
                yield row, 0 if data is None else data.size, functools.partial(_bytes, data, most_bytes)
                row += 1


def _bytes(data: Any, most_bytes: int) -> bytes | ImageDecodeError:
    if data is None:
        return ImageDecodeError("has no bytes in its row; write the pictures into the file, not only their paths")
    if data.size > most_bytes:
        return ImageDecodeError(f"has {data.size} bytes, more than the {most_bytes} allowed; save it to a file")
    found: bytes = data.to_pybytes()
    return found


def _columns(schema: Any) -> _Columns:
    """Which columns to read.

    Raises:
        ImageDecodeError: none is known to hold pictures.
    """
    from pyarrow import types

    def holds_pictures(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(
                field.name == "bytes" and not types.is_struct(field.type) and holds_pictures(field.type)
                for field in kind
            )
        kind = _values(kind)
        return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)

    kinds = {field.name: field.type for field in schema}
    candidates = [name for name, kind in kinds.items() if holds_pictures(kind)]
    if _PICTURES in candidates:
        candidates = [_PICTURES]
    if len(candidates) != 1:
        found = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())[:300] or "none"
        raise ImageDecodeError(
            f"has no column of pictures: expected {_PICTURES!r}, or one column, of binary values; found {found}"
        )
    (pictures,) = candidates
    in_struct = types.is_struct(kinds[pictures])
    if in_struct and any(field.name == "path" and _is_label(field.type) for field in kinds[pictures]):
        return _Columns(pictures, True, f"{pictures}.path")
    return _Columns(pictures, in_struct, next((name for name in _NAMES if _is_label(kinds.get(name))), None))


def _is_label(kind: Any) -> bool:
    from pyarrow import types

    kind = _values(kind)
    return kind is not None and (types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind))


def _values(kind: Any) -> Any:
    """The type of what is in a column, which may hold numbers of values in a dictionary in their stead."""
    from pyarrow import types

    return kind.value_type if kind is not None and types.is_dictionary(kind) else kind


def _labels(table: Any, group: int, count: int, column: str | None) -> Iterator[str | None]:
    if column is None:
        for _ in range(count):
            yield None
        return
    for batch in table.iter_batches(_LABELS, row_groups=[group], columns=[column], use_threads=False):
        values = batch.column(0)
        for value in (values.field("path") if column.endswith(".path") else values).to_pylist():
            label = "" if value is None else str(value)
            yield label if 0 < len(label) <= _LONGEST_LABEL else None
