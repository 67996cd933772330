"""Room in memory for the pictures that several threads decode ahead: large ones wait for each other."""

from __future__ import annotations

import threading

from vlqa.errors import ImageDecodeError
from vlqa.machine import FREE_SHARE, free_memory_bytes, return_freed_memory

BYTES_PER_PIXEL = 10
"""What decoding takes at its peak, per pixel; measured at 200 megapixels: JPEG 3 to 9, PNG, BMP and TIFF 7 to 8, and at
40 megapixels: AVIF 10, WebP 17."""

_BYTES_PER_PIXEL_OF = {"WEBP": 17}

_CERTAIN = 1 << 26  # bytes for which nobody asks how many are free


class Room:
    """Memory that the pictures between a reader and its consumer share; they are numbered in the order of use.

    A picture enters when it fits beside those that are decoded and those that wait, decoded, for their turn. The one
    whose turn it is waits for nothing but decoders at work, so however little room there is, none waits for ever.

    Args:
        limit: bytes; an eighth of the free memory if None.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._turn = 0
        self._decoding: dict[int, int] = {}
        self._decoded: dict[int, int] = {}
        self._closed = False
        self._changed = threading.Condition()

    def enter(self, number: int, width: int, height: int, kind: str | None = None) -> None:
        """Wait until there is room to decode a picture.

        Args:
            number: of the picture, in the order of use.
            width: in px.
            height: in px.
            kind: its format, by Pillow's name.

        Raises:
            ImageDecodeError: it takes more memory than there is, or nobody wants it any more.
        """
        need = _BYTES_PER_PIXEL_OF.get(kind or "", BYTES_PER_PIXEL) * width * height
        with self._changed:
            self._decoding.pop(number, None)  # of a first try, whose decoder crashed
            self._changed.wait_for(lambda: self._closed or self._fits(number, need))
            if self._closed:
                raise ImageDecodeError("was not decoded: the run has ended")
            if need > _CERTAIN and need > (free := _free_bytes(need)):
                raise ImageDecodeError(
                    f"has {width}×{height} pixels, which take {need / 1e9:.1f} GB of memory where {free / 1e9:.1f} are "
                    "free; scale it down, or give it more memory"
                )
            self._decoding[number] = need

    def leave(self, number: int, kept: int) -> None:
        """A picture is decoded, or has failed: so many bytes are kept of it until its turn."""
        with self._changed:
            self._decoding.pop(number, None)
            self._decoded[number] = kept
            self._changed.notify_all()

    def next_turn(self) -> None:
        """The picture whose turn it was is handed on; that of the next has come."""
        with self._changed:
            self._decoded.pop(self._turn, None)
            self._turn += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any longer, nor enter."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, number: int, need: int) -> bool:
        if number == self._turn and not self._decoding:
            return True
        if self._limit is None:
            self._limit = free_memory_bytes() // FREE_SHARE
        return sum(self._decoding.values()) + sum(self._decoded.values()) + need <= self._limit


def _free_bytes(need: int) -> int:
    free = free_memory_bytes()
    if need > free:
        return_freed_memory()  # which counts as taken
        free = free_memory_bytes()
    return free
