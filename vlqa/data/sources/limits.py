"""What a fetch may take, and a socket that keeps to it."""

from __future__ import annotations

import io
import socket
import time
from dataclasses import dataclass
from typing import Any


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
