"""Memory that a process shares with the one that decodes for it: pixels go through it without a copy."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import weakref
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from vlqa.types import Pixels

_KEPT_BYTES = 1 << 26
"""Of a picture that nobody holds any more: a new page takes longer to make than to decode into."""


class PixelMemory:
    """Memory that two processes share, as large as the largest picture that went through it.

    Args:
        descriptor: of a file without a name.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None
        self._lent: weakref.ref[npt.NDArray[np.uint8]] | None = None

    @property
    def lent(self) -> bool:
        """Whether anyone holds the picture that was lent last, or a part of it."""
        return self._lent is not None and self._lent() is not None

    def room(self, size: int) -> npt.NDArray[np.uint8]:
        """Its first bytes, grown where they are too few.

        Raises:
            MemoryError: the system has not so many.
        """
        try:
            if self._map is None or len(self._map) < size:
                if os.fstat(self.descriptor).st_size < size:
                    os.ftruncate(self.descriptor, size)
                self._map = mmap.mmap(self.descriptor, size)
        except (OSError, OverflowError) as error:
            raise MemoryError from error
        return np.frombuffer(self._map, np.uint8, size)

    def picture(self, height: int, width: int) -> Pixels:
        """Its first bytes as one picture."""
        return self.room(height * width * 3).reshape(height, width, 3)

    def lend(self, height: int, width: int) -> Pixels:
        """As `picture`; it is `lent` until the last array that shares its bytes is gone."""
        owner = self.room(height * width * 3)  # the base of every array that is made of it
        self._lent = weakref.ref(owner)
        return owner.reshape(height, width, 3)

    def clear(self) -> None:
        """Give back most of what a large picture took, unless it is lent; the process that decodes must be idle."""
        held = os.fstat(self.descriptor)  # also of a picture that the other process alone has seen
        if self.lent or min(held.st_size, 512 * held.st_blocks) <= _KEPT_BYTES or not hasattr(mmap, "MADV_REMOVE"):
            return
        with contextlib.suppress(OSError, MemoryError):
            self.room(held.st_size)
            assert self._map is not None
            self._map.madvise(mmap.MADV_REMOVE, _KEPT_BYTES)

    def forget(self) -> None:
        """Let go of the memory; who holds a picture in it keeps that."""
        self._map = None


def nameless_file() -> BinaryIO:
    """An empty file in memory, or on the disk where the system has none; no process can cut it short."""
    if not hasattr(os, "memfd_create"):
        return tempfile.TemporaryFile()
    import fcntl  # which Windows has not

    file = os.fdopen(os.memfd_create("vlqa-pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b")
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)  # to read behind a new end would end this process
    return file
