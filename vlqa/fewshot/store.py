"""Features of pictures, encoded once and kept in a folder: new sentences and new heads then touch no pixels.

A row is kept under the SHA-256 of the picture's file and under the digest of all that decides features (weights,
adapter, view), so that one store holds several models, and a picture is known wherever it lies. Rows are written in
shards of 256 pictures, each whole or not at all: a run that is killed keeps what it had finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vlqa import artifacts
from vlqa.data.complaints import named
from vlqa.data.images import MAX_PIXELS, decode, source_name
from vlqa.data.sources.ahead import read_ahead
from vlqa.errors import CheckpointError, ConfigError, ImageWarning, VLQAError
from vlqa.fewshot.shards import FeatureTable, FileTable
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.given import as_iterable
from vlqa.types import Source

if TYPE_CHECKING:
    from vlqa.types import ImageLike, Images

_MARK, _KIND, _FORMAT = "store.json", "vlqa features", 1
_SHARD = 256  # pictures encoded between two writes: what a kill costs at most
_BLOCK = 4096  # pictures looked up at once
_HELD_BYTES = 2**28  # of pictures given as bytes or pixels that wait for the encoder
_SETTLED_NS = 2 * 10**9  # a file changed this recently may change again within the resolution of its clock


@dataclass(frozen=True)
class StoredRow:
    """A picture and its features, or why it has none.

    Attributes:
        path: of the picture, None for one given as bytes or pixels.
        features: (d,) float32.
        error: why there are none.
        new: whether it was encoded now.
    """

    path: str | None
    features: npt.NDArray[np.float32] | None
    error: VLQAError | None
    new: bool


@dataclass
class _Picture:
    """A picture on its way: `image` only while it must be encoded, `key` what it is known by within a block."""

    path: str | None
    image: ImageLike | None
    digest: bytes | None
    stamp: tuple[int, int] | None = None
    held: int = 0  # bytes of memory, while it waits

    @property
    def key(self) -> bytes | int:
        return id(self) if self.digest is None else self.digest


class FeatureStore:
    """Features of pictures in a folder, of any number of models.

    Args:
        folder: of the store; made when the first features are added.

    Raises:
        ConfigError: a file, or a folder that holds something else.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._check()
        self._files = FileTable(self.folder / "files")
        self._tables: dict[str, FeatureTable] = {}

    def __len__(self) -> int:
        """Number of pictures of which it has features, of whatever model."""
        known: set[bytes] = set()
        for folder in sorted((self.folder / "encoders").glob("*/")):
            known |= self._table(folder.name).images
        return len(known)

    def features(
        self, predictor: ImagePredictor, images: Images, progress: Callable[[int, bool], None] | None = None
    ) -> npt.NDArray[np.float32]:
        """What `predictor.embed` gives, from the store where it has it; what is missing is encoded and added.

        Args:
            predictor: whose features.
            images: as for `predict`; a file is known by its path, size and time of change, all else by its bytes.
            progress: called after each image with the number that failed so far, and whether it was known.

        Returns:
            (n, d) float32; a row of NaN, with an `ImageWarning`, for an image that fails.

        Raises:
            VLQAError: every image fails.
            ConfigError: the store is damaged.
        """
        rows, failures = [], []
        for found in self.stream(predictor, images, progress):
            if found.error is not None:
                failures.append(found.error)
                told = _one_line(found.error) if found.path is None else named(found.path, found.error)
                warnings.warn(f"no features: {told}", ImageWarning, stacklevel=2)
            rows.append(np.full(predictor.width, np.nan, np.float32) if found.features is None else found.features)
        if failures and len(failures) == len(rows):
            raise (
                failures[0]
                if len(rows) == 1
                else VLQAError(f"all {len(rows)} images fail; the first: {_one_line(failures[0])}")
            )
        return np.stack(rows) if rows else np.zeros((0, predictor.width), np.float32)

    def lookup(self, predictor: ImagePredictor, images: Images) -> npt.NDArray[np.float32]:
        """As `features`, but nothing is encoded: a row of NaN for an image that the store does not have."""
        digests = [self._identify(image).digest for image in read_ahead(as_iterable(images))]
        return self._rows(self._sources(predictor), digests)

    def stream(
        self, predictor: ImagePredictor, images: Images, progress: Callable[[int, bool], None] | None = None
    ) -> Iterator[StoredRow]:
        """As `features`, one row at a time, in order; images may be a generator, read some thousands ahead."""
        if predictor.reading.get("fast_decode"):
            raise ConfigError("a store keeps features of whole pictures; leave fast_decode out")
        sources = self._sources(predictor)
        failed, waiting, held = 0, set[bytes | int](), 0
        block: list[_Picture] = []

        def count(error: VLQAError | None, known: bool = False) -> None:
            nonlocal failed
            failed += error is not None
            if progress is not None:
                progress(failed, known)

        for image in read_ahead(as_iterable(images)):
            picture = self._identify(image, predictor.reading.get("max_image_pixels", MAX_PIXELS))
            block.append(picture)
            if picture.key in waiting or all(picture.digest in source for source in sources):
                picture.image = None
                count(None, known=True)
            else:
                waiting.add(picture.key)
                held += picture.held
            if len(waiting) == _SHARD or len(block) == _BLOCK or held > _HELD_BYTES:
                yield from self._finished(predictor, sources, block, count)
                block, held = [], 0
                waiting.clear()
        yield from self._finished(predictor, sources, block, count)

    def _finished(
        self,
        predictor: ImagePredictor,
        sources: Sequence[FeatureTable],
        block: Sequence[_Picture],
        count: Callable[[VLQAError | None], None],
    ) -> Iterator[StoredRow]:
        """The rows of a block, whose missing pictures are encoded and stored first."""
        missing = [picture for picture in block if picture.image is not None]
        rows: dict[bytes | int, npt.NDArray[np.float32]] = {}
        errors: dict[bytes | int, VLQAError] = {}
        try:
            for picture, found in zip(missing, predictor.embed_stream(_images(missing)), strict=True):
                if isinstance(found, VLQAError):
                    errors[picture.key] = found
                elif isinstance(picture.image, str | os.PathLike) and picture.stamp != _stamp(picture.path or ""):
                    errors[picture.key] = VLQAError(f"{picture.path}: changed while it was read; run again")
                else:
                    rows[picture.key] = found
                count(errors.get(picture.key))
        finally:  # also when the caller presses Ctrl-C
            self._add(sources, {key: row for key, row in rows.items() if isinstance(key, bytes)})
            self._remember(picture for picture in block if picture.key not in errors)
        stored = self._rows(sources, [None if picture.key in rows else picture.digest for picture in block])
        for picture, row in zip(block, stored, strict=True):
            error = errors.get(picture.key)
            known = None if error is not None else rows.get(picture.key, row)
            yield StoredRow(picture.path, known, error, new=picture.image is not None and error is None)

    def _identify(self, image: ImageLike, max_pixels: int = MAX_PIXELS) -> _Picture:
        if isinstance(image, Source):
            return _identify_source(image)
        path = source_name(image)
        if path is not None:
            stamp = _stamp(path)
            digest = None if stamp is None else self._files.digest(str(Path(path).absolute()), *stamp)
            with contextlib.suppress(OSError):  # unreadable: the encoder's error says why
                digest = _digest_of_file(path) if digest is None and stamp is not None else digest
            return _Picture(path, image, digest, stamp)
        if isinstance(image, bytes | bytearray | memoryview):
            return _Picture(None, image, hashlib.sha256(image).digest(), held=len(image))
        try:
            pixels = decode(image, max_pixels=max_pixels)
        except VLQAError:
            return _Picture(None, image, None)
        of_pixels = hashlib.sha256(f"pixels|{pixels.shape}|".encode())
        of_pixels.update(np.ascontiguousarray(pixels).data)
        return _Picture(None, pixels, of_pixels.digest(), held=pixels.nbytes)

    def _rows(self, sources: Sequence[FeatureTable], digests: Sequence[bytes | None]) -> npt.NDArray[np.float32]:
        return np.concatenate([source.rows(digests) for source in sources], axis=1)

    def _add(self, sources: Sequence[FeatureTable], rows: dict[bytes, npt.NDArray[np.float32]]) -> None:
        if rows:
            self._mark()
        ends = np.cumsum([source.width for source in sources])
        for source, end in zip(sources, ends.tolist(), strict=True):
            new = [image for image in rows if image not in source]
            if new:
                source.append(new, np.stack([rows[image][end - source.width : end] for image in new]))

    def _remember(self, pictures: Iterable[_Picture]) -> None:
        entries = {}
        for picture in pictures:
            if picture.path is None or picture.digest is None or picture.stamp is None:
                continue
            path = str(Path(picture.path).absolute())
            settled = time.time_ns() - picture.stamp[1] > _SETTLED_NS
            if settled and self._files.digest(path, *picture.stamp) is None:
                entries[path] = (path, *picture.stamp, picture.digest)
        if entries:
            self._mark()
        self._files.append(list(entries.values()))

    def _sources(self, predictor: ImagePredictor) -> list[FeatureTable]:
        return [self._table(source.features_digest, source.width) for source in predictor.feature_sources]

    def _table(self, digest: str, width: int = 0) -> FeatureTable:
        if digest not in self._tables or self._tables[digest].width != width > 0:
            self._tables[digest] = FeatureTable(self.folder / "encoders" / digest, width)
        return self._tables[digest]

    def _check(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"{self.folder} is a file; a feature store is a folder")
        # Listed before the mark is looked for: another process may begin the store now, and it writes the mark first.
        new = not self.folder.exists() or all(path.name.startswith(".") for path in self.folder.iterdir())
        if (self.folder / _MARK).is_file():
            with contextlib.suppress(CheckpointError):
                mark = artifacts.read_json(self.folder / _MARK)
                if mark.get("kind") == _KIND and mark.get("format") != _FORMAT:
                    found = mark.get("format")
                    raise ConfigError(f"{self.folder}: format {found!r}, expected {_FORMAT}; another vlqa wrote it")
                if mark.get("kind") == _KIND:
                    return
        elif new:
            return
        raise ConfigError(f"{self.folder} holds no feature store; name a new folder, or one that vlqa embed wrote")

    def _mark(self) -> None:
        if not (self.folder / _MARK).is_file():
            artifacts.write_json(self.folder / _MARK, {"kind": _KIND, "format": _FORMAT})


def _images(pictures: Iterable[_Picture]) -> Iterator[Any]:
    return (picture.image for picture in pictures)


def _stamp(path: str) -> tuple[int, int] | None:
    """Size and time of change of a regular file."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _digest_of_file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _identify_source(source: Source) -> _Picture:
    try:
        data = source.read()
        digest = _digest_of_file(data) if isinstance(data, str) else hashlib.sha256(data).digest()
    except Exception:  # the encoder's error says why
        return _Picture(source.name, source, None)
    return _Picture(source.name, source, digest, held=0 if isinstance(data, str) else len(data))


def _one_line(error: VLQAError) -> str:
    return " ".join(str(error).split())
