"""The child process of `vlqa.data.isolation`: decodes the pictures it is sent, one at a time, until its parent is gone.

It imports what decoding needs and no torch. Nothing outlives it: it writes no file, and the memory through which pixels
go has no name.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import mmap
import pickle
import signal
import socket
import struct
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from vlqa.data.complaints import refusal
from vlqa.data.pixel_memory import PixelMemory
from vlqa.errors import ImageDecodeError
from vlqa.types import Pixels, Source

REQUEST = struct.Struct("<QBB")
"""Bytes of a request, which follow: a pickled pair of the name of its `Source`, or None, and the path or bytes; the
number of the memory that its pixels go to; and 1 where the size that is enough is to be asked for."""

REPLY = struct.Struct("<QQQ")
"""Height and width, 0 where there is an error, and the bytes of its text, which follow; or `ASKS` or `ENTERS`."""

ASKS = 2**64 - 1
"""In place of the bytes of a text: of a picture of this size, how much is enough?"""

ENTERS = 2**64 - 2
"""In place of the bytes of a text: is there room in memory for a picture of this size? The answer may take its time."""

SIZE = struct.Struct("<QQ")
"""The answer: height and width, of `ENTERS` any; 0 and 0 where the picture is no longer wanted."""

_SMALL_PIXELS = 4_000_000  # below, nobody is asked for room

_BYTES_PER_PIXEL = (
    32  # of address space: nearly twice what decoding fills at most, see `vlqa.data.room`; beside the file
)
_BYTES_BESIDES = 512 << 20  # metadata and the tiles of colour conversion
_GRACE_S = 1  # the parent's own timeout comes first
_PR_SET_DUMPABLE = 4


def main(socket_number: str, memories: str, function: str, max_pixels: str, timeout_s: str) -> None:
    """Serve requests on a socket until its other end closes.

    Args:
        socket_number: file descriptor of the socket.
        memories: file descriptors of the memories that pixels go to, joined by commas.
        function: dotted name of what decodes, `decode` of `vlqa.data.images` but for tests.
        max_pixels: handed to it; also sets how much memory this process may take.
        timeout_s: seconds after which the process ends itself, in case its parent is no longer there to do it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    shared = [PixelMemory(int(number)) for number in memories.split(",")]
    with socket.socket(fileno=int(socket_number)) as channel:
        try:
            module, _, name = function.rpartition(".")
            decode = partial(getattr(importlib.import_module(module), name), max_pixels=int(max_pixels))
            _confine(int(max_pixels))
        except Exception as error:
            return channel.sendall(_refused(f"{type(error).__name__}: {error}"))
        channel.sendall(REPLY.pack(0, 0, 0))  # nothing is wrong: ready
        with contextlib.suppress(EOFError, OSError):  # the parent is gone
            while True:
                length, number, asks = REQUEST.unpack(receive(channel, REQUEST.size))
                request = receive(channel, length)
                signal.setitimer(signal.ITIMER_REAL, float(timeout_s) + _GRACE_S)
                enough = partial(_ask, channel, ASKS) if asks else None
                reader = partial(decode, enough=enough, enter=partial(_enter, channel))
                channel.sendall(_answer(request, reader, shared[number]))
                signal.setitimer(signal.ITIMER_REAL, 0)


def receive(channel: socket.socket, length: int) -> bytes:
    """So many bytes of a socket.

    Raises:
        EOFError: its other end closes before.
    """
    data = bytearray()
    while len(data) < length:
        part = channel.recv(min(length - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def _enter(channel: socket.socket, width: int, height: int, kind: str | None) -> None:
    if width * height >= _SMALL_PIXELS:
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)  # to wait for room is not to be slow
        _ask(channel, ENTERS, height, width)
        signal.setitimer(signal.ITIMER_REAL, left)


def _ask(channel: socket.socket, question: int, height: int, width: int) -> tuple[int, int]:
    channel.sendall(REPLY.pack(height, width, question))
    answer: tuple[int, int] = SIZE.unpack(receive(channel, SIZE.size))
    if answer == (0, 0):
        raise ImageDecodeError("is no longer wanted")
    return answer


def _answer(request: bytes, decode: Callable[..., Pixels], memory: PixelMemory) -> bytes:
    name, given = pickle.loads(request)
    image = given if name is None else Source(name, lambda: given)
    try:
        pixels = decode(image, memory=memory.room)
        place = memory.picture(*pixels.shape[:2])
        if place.ctypes.data != pixels.ctypes.data:
            np.copyto(place, pixels)
    except ImageDecodeError as error:
        return _refused(str(error))
    except Exception as error:
        return _refused(str(refusal(image, error)))
    return REPLY.pack(*pixels.shape[:2], 0)


def _refused(reason: str) -> bytes:
    text = reason.encode(errors="backslashreplace")
    return REPLY.pack(0, 0, len(text)) + text


def _confine(max_pixels: int) -> None:
    """Limit the memory to what a picture of so many pixels can need; be the first to go where the machine has none."""
    import resource  # which Windows has not: there, this module is imported for its protocol only

    held = 1 << 32  # where the system does not tell
    with contextlib.suppress(OSError, ValueError):
        held = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        Path("/proc/self/oom_score_adj").write_text("1000")
    for kind, limit in (
        (resource.RLIMIT_AS, held + _BYTES_BESIDES + _BYTES_PER_PIXEL * max_pixels),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        with contextlib.suppress(OSError, ValueError, OverflowError):  # macOS knows limits that it does not take
            resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    with contextlib.suppress(OSError, AttributeError):  # a core pattern that is a pipe asks for no limit
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
