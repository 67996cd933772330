"""What a fetch may take, and a socket that keeps to it."""

from __future__ import annotations

import io
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from vlqa.errors import ImageDecodeError

_ROOM_S = 20.0  # of one shard after another, the last picture of one is held until the first of the next is there


@dataclass(frozen=True)
class Limits:
    """What a fetch may take.

    Attributes:
        most_bytes: of the picture.
        answer_s: to connect, and between two pieces of an answer.
        total_s: from the beginning to the last byte, redirects included; the system's look-up of names is not.
        redirects: followed, to http and https only.
        private: whether this machine and private networks may be asked; a service that fetches what strangers name
            must refuse. Then no proxy is asked either, as it could be sent there.
    """

    most_bytes: int
    answer_s: float = 10.0
    total_s: float = 30.0
    redirects: int = 5
    private: bool = True


class Allowance:
    """Bytes that several downloads may keep at a time.

    Args:
        most_bytes: of all together.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._kept = 0
        self._changed = threading.Condition()  # may be entered twice: what is collected meanwhile gives back

    def take(self, count: int) -> None:
        """Keep so many more, as soon as others have given back enough.

        Raises:
            ImageDecodeError: they do not.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._kept + count <= self.most_bytes, _ROOM_S):
                raise ImageDecodeError(
                    f"is more than the {self.most_bytes} bytes that all downloads may keep; fetch it yourself"
                )
            self._kept += count

    def give_back(self, count: int) -> None:
        """So many are kept no longer."""
        with self._changed:
            self._kept -= count
            self._changed.notify_all()


def left(limits: Limits, deadline: float) -> float:
    """Seconds that the next step may take.

    Raises:
        TimeoutError: none.
    """
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return min(limits.answer_s, remaining)


class TimedSocket:
    """What http.client needs of a socket; it keeps the deadline however slowly an answer drips.

    Args:
        connected: to a server or its proxy.
        limits: of each step.
        deadline: of all, in seconds of `time.monotonic`.
    """

    def __init__(self, connected: socket.socket, limits: Limits, deadline: float) -> None:
        self.connected, self.limits, self.deadline = connected, limits, deadline

    def sendall(self, data: Any) -> None:
        """See `socket.socket`."""
        self.connected.settimeout(left(self.limits, self.deadline))
        self.connected.sendall(data)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """See `socket.socket`; for reading."""
        return io.BufferedReader(_Answer(self))

    def close(self) -> None:
        """Nothing: http.client lets go of a connection as soon as the head of its last answer is there."""


class _Answer(io.RawIOBase):
    def __init__(self, of: TimedSocket) -> None:
        self.of = of

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.of.connected.settimeout(left(self.of.limits, self.of.deadline))
        return self.of.connected.recv_into(buffer)
