"""The parent's side of one process that decodes: how it starts, is asked, and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from typing import BinaryIO

from vlqa.data.complaints import one_line
from vlqa.data.decoder_child import LENGTH, REPLY, PixelMemory, receive
from vlqa.errors import ImageDecodeError, VLQAError
from vlqa.types import Pixels

_START = "import sys; sys.path[:] = sys.argv[6:]; from vlqa.data.decoder_child import main; main(*sys.argv[1:6])"
_START_S = 120.0  # 0.15 s where nothing else runs
_REAP_S = 5.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # nothing here multiplies matrices


class DecoderProcess:
    """One process, which runs `decoder_child.main`, the socket to it and the memory that pixels come through.

    Args:
        function: dotted name of what decodes.
        max_pixels: handed to it.
        timeout_s: longest time a picture may take.

    Raises:
        OSError: the system starts no more processes.
    """

    def __init__(self, function: str, max_pixels: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        with contextlib.ExitStack() as undo:
            self.channel, theirs = socket.socketpair()
            undo.enter_context(self.channel)
            with theirs:
                file = undo.enter_context(_nameless_file())
                self.memory = PixelMemory(file.fileno())
                passed = [theirs.fileno(), file.fileno()]
                arguments = map(str, [*passed, function, max_pixels, timeout_s, *sys.path])
                # No fork of this process with its threads, and no second run of the caller's main module, as
                # multiprocessing makes it; in a group of its own, no Ctrl-C reaches it.
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _START, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=passed,
                    env=os.environ | _ONE_THREAD,
                    process_group=0,
                )
            self._close = undo.pop_all().close

    def greet(self) -> None:
        """Wait until it is ready."""
        try:
            self._answer(_START_S)
        except (ImageDecodeError, EOFError, OSError) as error:
            why = one_line(str(error)) or type(error).__name__
            raise VLQAError(f"the process to decode in does not start ({why}); leave isolate out") from error

    def decode(self, request: bytes) -> Pixels:
        """The pixels of one picture.

        Raises:
            ImageDecodeError: what `decode` raises.
            TimeoutError: it takes too long.
            EOFError: the process ended; some systems say OSError.
        """
        self.channel.settimeout(self.timeout_s)
        self.channel.sendall(LENGTH.pack(len(request)) + request)
        return self._answer(self.timeout_s)

    def end(self, *, kill: bool) -> int:
        """Close, end and reap; the exit status, negative for a signal."""
        self.memory.forget()  # now: an error's traceback may keep this object for long
        self._close()
        if not kill:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(_REAP_S)
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the system, on a disk that is gone
            return self.process.wait(_REAP_S)
        return -signal.SIGKILL

    def _answer(self, timeout_s: float) -> Pixels:
        self.channel.settimeout(timeout_s)
        height, width, length = REPLY.unpack(receive(self.channel, REPLY.size))
        if length:
            raise ImageDecodeError(receive(self.channel, length).decode())
        try:
            return self.memory.picture(height, width).copy()
        except OSError as error:
            raise MemoryError from error


def _nameless_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("vlqa-pixels"), "r+b")
    return tempfile.TemporaryFile()
