"""Tables that only grow: Parquet files in a folder, each written whole, under names in the order of their time."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vlqa.artifacts import atomic_write
from vlqa.errors import ConfigError

_RECENT = 8  # shards whose features stay in memory: pictures mostly come in the order in which they were stored


class FeatureTable:
    """Features of one encoder, by the digest of the picture.

    Digests are held in memory (0.2 kB a picture), features are read when they are asked for.

    Args:
        folder: of the shards; need not exist.
        width: of a row.

    Raises:
        ConfigError: a file that is damaged or no such table.
    """

    def __init__(self, folder: Path, width: int) -> None:
        self.folder = folder
        self.width = width
        self._places: dict[bytes, tuple[Path, int]] = {}
        self._recent: dict[Path, npt.NDArray[np.float32]] = {}
        for path in shards(folder):
            self._note(path, read(path, "image")["image"].to_pylist())

    def __contains__(self, image: bytes | None) -> bool:
        return image in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def images(self) -> set[bytes]:
        """Digests of the pictures."""
        return set(self._places)

    def rows(self, images: Sequence[bytes | None]) -> npt.NDArray[np.float32]:
        """(n, width) features in the order of the digests; NaN where there are none."""
        found = np.full((len(images), self.width), np.nan, np.float32)
        wanted: dict[Path, list[tuple[int, int]]] = {}
        for number, image in enumerate(images):
            if image is not None and image in self._places:
                path, row = self._places[image]
                wanted.setdefault(path, []).append((number, row))
        for path, places in wanted.items():
            numbers, rows = np.array(places).T
            found[numbers] = self._features(path)[rows]
        return found

    def append(self, images: Sequence[bytes], features: npt.NDArray[np.float32]) -> None:
        """Add pictures as one shard."""
        import pyarrow as pa

        values = pa.array(np.ascontiguousarray(features, np.float32).ravel())
        table = pa.table(
            {
                "image": pa.array(list(images), pa.binary(32)),
                "features": pa.FixedSizeListArray.from_arrays(values, self.width),
            }
        )
        self._note(write(self.folder, table), images)

    def _note(self, path: Path, images: Sequence[bytes]) -> None:
        self._places.update((image, (path, row)) for row, image in enumerate(images))

    def _features(self, path: Path) -> npt.NDArray[np.float32]:
        if path not in self._recent:
            column = read(path, "features")["features"].combine_chunks()
            if getattr(column.type, "list_size", None) != self.width:
                raise _damaged(path, f"rows of {column.type}, expected {self.width} numbers")
            if column.null_count:
                raise _damaged(path, f"{column.null_count} rows without features")
            while len(self._recent) >= _RECENT:
                self._recent.pop(next(iter(self._recent)))
            self._recent[path] = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, self.width)
        return self._recent[path]


class FileTable:
    """Which picture lay at a path, known again by size and time of change, so that no file is read twice.

    Args:
        folder: of the shards; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[bytes, tuple[int, int, bytes]] = {}
        for path in shards(folder):
            columns = [column.to_pylist() for column in read(path, "path", "size", "changed_ns", "image").columns]
            self._known.update((entry[0], (entry[1], entry[2], entry[3])) for entry in zip(*columns, strict=True))

    def digest(self, path: str, size: int, changed_ns: int) -> bytes | None:
        """Of the picture that had this size and time of change at an absolute path; None where it is not known."""
        entry = self._known.get(os.fsencode(path))
        return entry[2] if entry is not None and entry[:2] == (size, changed_ns) else None

    def append(self, entries: Sequence[tuple[str, int, int, bytes]]) -> None:
        """Add (absolute path, size, time of change in ns, digest) of files as one shard."""
        import pyarrow as pa

        if not entries:
            return
        paths, sizes, times, images = zip(*((os.fsencode(entry[0]), *entry[1:]) for entry in entries), strict=True)
        columns = {
            "path": pa.array(paths, pa.binary()),
            "size": pa.array(sizes, pa.int64()),
            "changed_ns": pa.array(times, pa.int64()),
            "image": pa.array(images, pa.binary(32)),
        }
        write(self.folder, pa.table(columns))
        self._known.update((path, rest) for path, *rest in zip(paths, sizes, times, images, strict=True))  # type: ignore[misc]


def shards(folder: Path) -> list[Path]:
    """Finished shards, the oldest first."""
    return sorted(folder.glob("*.parquet"))


def write(folder: Path, table: Any) -> Path:
    """Write a table as a shard of its own, whole or not at all, and give its path."""
    import pyarrow.parquet as pq

    path = folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}.parquet"  # two writers never share a name
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="none", use_dictionary=False, write_page_checksum=True)
    return path


def read(path: Path, *columns: str) -> Any:
    """Columns of a shard.

    Raises:
        ConfigError: damaged, or another kind of table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=list(columns), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    if missing := set(columns) - set(table.column_names):
        raise _damaged(path, f"no column {missing.pop()!r}")
    return table


def _damaged(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"{path}: damaged ({reason}); delete it, and what it held is made again")
