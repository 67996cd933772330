"""Opening of files that strangers name: regular ones only, and still those that were found."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from vlqa.errors import ImageDecodeError

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str) -> BinaryIO:
    """Open a regular file; never waits for a writer of a pipe, nor wakes a device.

    Raises:
        ImageDecodeError: it is none, or has no path.
        OSError: it is missing or may not be read.
    """
    if not path:
        raise ImageDecodeError("the path is empty; give the path of a picture")
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
    except ValueError:  # a NUL character, or a surrogate that stands for no byte
        raise ImageDecodeError("is not a path the system can express; rename the file") from None
    if kind == stat.S_IFDIR:
        raise ImageDecodeError("is a folder; give the pictures in it (`vlqa score` takes folders as well)")
    if kind != stat.S_IFREG:
        raise ImageDecodeError(f"is {_SPECIAL.get(kind, 'a special file')}, not a file; save the picture to a file")
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags), "rb")


def identity(file: BinaryIO) -> str:
    """Size and time of change of an open file: another after a change."""
    status = os.fstat(file.fileno())
    return f"{status.st_size} {status.st_mtime_ns}"


def open_unchanged(path: str, known: str) -> BinaryIO:
    """Open a regular file whose `identity` was known before.

    Raises:
        ImageDecodeError: it is another one now, or as `open_regular`.
    """
    file = open_regular(path)
    if identity(file) != known:
        file.close()
        raise ImageDecodeError(f"{path} changed while it was read; run again")
    return file
