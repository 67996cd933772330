"""Pictures of a file that can only be read from its beginning, taken by several threads in about their order."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from vlqa.errors import ImageDecodeError

Piece: TypeAlias = tuple[int, int, Callable[[], "bytes | ImageDecodeError"]]
"""Key of a picture, rising from one to the next; its bytes; and what reads it while it is its turn."""

_SHELF_BYTES = 1 << 28  # of pictures that were passed while another thread asked for a later one
_SHELVED_BYTES = 1 << 25  # a larger picture is read again rather than kept


class Reel:
    """Plays a file forward to the picture that is asked for; what it passes waits on a shelf of bounded size.

    Nothing is ever lost: a picture that is not on the shelf is found by playing from the beginning again.

    Args:
        play: the pictures of the file from its beginning.
        describe: what is wrong with the file, from what `play` or a reading raised.
        last: key of the last picture, once it is known: then the file is closed with it.
    """

    def __init__(
        self, play: Callable[[], Generator[Piece]], describe: Callable[[Exception], str], last: int | None = None
    ) -> None:
        self.last = last
        self._play = play
        self._describe = describe
        self._lock = threading.Lock()
        self._tape: Generator[Piece] | None = None
        self._at = -1
        self._shelf: OrderedDict[int, bytes | ImageDecodeError] = OrderedDict()
        self._shelved = 0
        self._damage: tuple[int, str] | None = None  # the last key before it, and what it is

    def __reduce__(self) -> tuple[Any, ...]:
        return Reel, (self._play, self._describe, self.last)

    def take(self, key: int) -> bytes:
        """Bytes of a picture.

        Raises:
            ImageDecodeError: it has none, or the file is damaged before it, or not the same any more.
            MemoryError: there is no room for it.
        """
        with self._lock:
            data = self._unshelve(key)
            if data is None:
                data = self._find(key)
            if self._at == self.last:
                self._stop()
        if isinstance(data, ImageDecodeError):
            raise data
        return data

    def _find(self, key: int) -> bytes | ImageDecodeError:
        if self._damage is not None and key > self._damage[0]:
            raise ImageDecodeError(self._damage[1])
        if self._tape is None or key <= self._at:
            self._stop()
            self._tape, self._at = self._play(), -1
        try:
            for at, size, read in self._tape:
                if at == key:
                    data = read()
                    self._at = at
                    return data
                if size <= _SHELVED_BYTES:
                    self._shelve(at, read())
                self._at = at
        except MemoryError:
            self._stop()
            raise
        except Exception as error:
            self._stop()
            self._damage = self._at, self._describe(error)
            raise ImageDecodeError(self._damage[1]) from error
        self._stop()
        raise ImageDecodeError("is not where it was; run again")

    def _stop(self) -> None:
        if self._tape is not None:
            self._tape.close()
            self._tape = None

    def _shelve(self, key: int, data: bytes | ImageDecodeError) -> None:
        self._unshelve(key)
        self._shelf[key] = data
        self._shelved += _size(data)
        while self._shelved > _SHELF_BYTES:
            self._unshelve(next(iter(self._shelf)))

    def _unshelve(self, key: int) -> bytes | ImageDecodeError | None:
        data = self._shelf.pop(key, None)
        self._shelved -= _size(data)
        return data


def _size(data: bytes | ImageDecodeError | None) -> int:
    return len(data) if isinstance(data, bytes) else 0
