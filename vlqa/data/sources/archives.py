"""Pictures in tar archives, WebDataset shards among them: nothing is unpacked to the disk.

Of a plain archive the headers are read, and each picture when its turn comes, at its offset, by any thread. A gzipped
one can only be read from its beginning: it is unpacked once for the headers and once more, in memory, for the pictures.
"""

from __future__ import annotations

import functools
import gzip
import tarfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from vlqa.data.complaints import describe_container
from vlqa.data.formats import has_picture_suffix
from vlqa.data.sources.content import Content, LocalContent
from vlqa.data.sources.failing import failing
from vlqa.data.sources.reel import Piece, Reel
from vlqa.errors import ImageDecodeError
from vlqa.types import Source

SUFFIXES = (".tar", ".tar.gz", ".tgz")
GZIP = b"\x1f\x8b"

_HEADER_BYTES = 1 << 16  # of one member: names and times; more is an attack on our memory
_TAIL_BYTES = 1 << 20  # read behind the end mark of a gzipped archive, where its checksum is


def members(path: str, most_bytes: int, content: Content | None = None) -> Iterator[Source]:
    """The pictures of an archive in its order, lazily: files with a picture's suffix that are not hidden.

    Args:
        path: of a tar archive, gzipped or not; its content decides, not its suffix.
        most_bytes: a larger member is a source that fails.
        content: where it is read from; the file at its path where left out.

    Yields:
        Sources called `<path>/<member>`. A picture that is a link or a device is one that fails; of a damaged archive
        the members before the damage come, then one source of the archive's own name that fails.
    """
    content = LocalContent(path) if content is None else content
    try:
        with content.open() as file:
            yield from _listed(file, path, most_bytes, content)
    except Exception as error:  # tarfile and gzip raise anything on hostile bytes
        yield failing(path, _describe(error))


def _listed(file: BinaryIO, path: str, most_bytes: int, content: Content) -> Iterator[Source]:
    start = file.read(2)
    if not start:
        raise ImageDecodeError("is empty; copy or download it again")
    packed = start == GZIP
    file.seek(0)
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
    reel = Reel(functools.partial(_played, content), _describe)
    last = None
    for entry in _entries(stream):
        if not _is_picture(entry):
            continue
        end = entry.offset_data + entry.size
        name = f"{path}/{entry.name.removeprefix('./')}"
        stamp = f"{entry.offset_data}+{entry.size} of {content.identity}"
        if not _is_plain(entry):
            kind = "a link" if entry.issym() or entry.islnk() else "no plain file"
            yield failing(name, f"is {kind} in the archive; pack the pictures themselves", stamp)
            continue
        if not _holds(stream, end):
            raise EOFError
        if entry.size > most_bytes:
            yield failing(name, f"has {entry.size} bytes, more than the {most_bytes} allowed; unpack it first", stamp)
        elif packed:
            last = entry.offset_data
            yield Source(name, functools.partial(reel.take, last), stamp)
        else:
            yield Source(name, functools.partial(_read_part, content, entry.offset_data, entry.size), stamp)
    reel.last = last
    if packed:
        stream.read(_TAIL_BYTES)


def _played(content: Content) -> Generator[Piece]:
    """The pictures of a gzipped archive."""
    with content.open() as file, gzip.GzipFile(fileobj=file) as stream:
        for entry in _entries(cast(BinaryIO, stream)):
            if _is_picture(entry) and _is_plain(entry):
                yield entry.offset_data, entry.size, functools.partial(stream.read, entry.size)


def _read_part(content: Content, offset: int, size: int) -> bytes:
    with content.open() as file:
        file.seek(offset)
        return file.read(size)


def _entries(stream: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """The headers of an archive.

    Raises:
        ImageDecodeError: it is damaged, or does not end with the mark that all archives end with.
    """
    headers = _Headers(stream)
    archive: Any = tarfile.TarFile(fileobj=cast(Any, headers), encoding="utf-8", errors="surrogateescape")
    reached = 0
    while (entry := archive.next()) is not None:
        if entry.size < 0 or archive.offset <= reached:
            raise ImageDecodeError("is a damaged tar archive (a member of negative size); copy or download it again")
        reached = archive.offset
        archive.members.clear()  # tarfile would keep them all
        headers.left = _HEADER_BYTES
        yield entry
    if len(headers.last) < tarfile.BLOCKSIZE:
        raise EOFError
    if headers.last.strip(b"\0"):
        raise ImageDecodeError("is a damaged tar archive (a header makes no sense); copy or download it again")


class _Headers:
    """What tarfile reads the headers of an archive through: a bounded number of bytes a member, never backwards."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.left = _HEADER_BYTES
        self.last = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.left:
            raise ImageDecodeError("is a damaged tar archive (a header without end); copy or download it again")
        self.left -= size
        self.last = self.stream.read(size)
        return self.last

    def seek(self, position: int) -> int:
        if position < self.stream.tell():
            raise ImageDecodeError("is a damaged tar archive (a member before itself); copy or download it again")
        return self.stream.seek(position)

    def tell(self) -> int:
        return self.stream.tell()


def _holds(stream: BinaryIO, end: int) -> bool:
    """Whether an archive goes on to a place ahead."""
    return end <= stream.tell() or (stream.seek(end - 1) == end - 1 and len(stream.read(1)) == 1)


def _is_plain(entry: tarfile.TarInfo) -> bool:
    return entry.isreg() and not entry.issparse()


def _is_picture(entry: tarfile.TarInfo) -> bool:
    parts = PurePosixPath(entry.name).parts
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return bool(parts) and not entry.isdir() and not hidden and has_picture_suffix(parts[-1])


def _describe(error: Exception) -> str:
    if isinstance(error, EOFError) or "unexpected end of data" in str(error):
        return "is a truncated tar archive; copy or download it again"
    kind = "gzip archive" if isinstance(error, zlib.error | gzip.BadGzipFile) else "tar archive"
    return describe_container(kind, error)
