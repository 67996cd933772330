"""The parent's side of one process that decodes: how it starts, is asked, and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from vlqa.data.complaints import one_line
from vlqa.data.decoder_child import ASKS, ENTERS, REPLY, REQUEST, SIZE, receive
from vlqa.data.images import Enough, Enter
from vlqa.data.pixel_memory import PixelMemory, nameless_file
from vlqa.errors import ImageDecodeError, VLQAError
from vlqa.types import Pixels

_START = "import sys; sys.path[:] = sys.argv[6:]; from vlqa.data.decoder_child import main; main(*sys.argv[1:6])"
_START_S = 120.0  # 0.15 s where nothing else runs
_REAP_S = 5.0
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # nothing here multiplies matrices


class DecoderProcess:
    """One process, which runs `decoder_child.main`, the socket to it and the memory that pixels come in.

    A picture is lent to the caller in the memory that it was decoded into; until it is gone, the next ones come through
    a second memory and are copied out of it. At 1024×768 each copy that is saved is a tenth of the time of decoding.

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
                files = [undo.enter_context(nameless_file()).fileno() for _ in range(2)]
                self.lending, self.copying = map(PixelMemory, files)
                memories = ",".join(map(str, files))
                arguments = map(str, [theirs.fileno(), memories, function, max_pixels, timeout_s, *sys.path])
                # No fork of this process with its threads, and no second run of the caller's main module, as
                # multiprocessing makes it; in a group of its own, no Ctrl-C reaches it.
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _START, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), *files],
                    env=os.environ | _ONE_THREAD,
                    process_group=0,
                )
            self._close = undo.pop_all().close

    def greet(self) -> None:
        """Wait until it is ready."""
        try:
            self._reply(time.monotonic() + _START_S)
        except (ImageDecodeError, EOFError, OSError) as error:
            why = one_line(str(error)) or type(error).__name__
            raise VLQAError(f"the process to decode in does not start ({why}); leave isolate out") from error

    @property
    def lends(self) -> bool:
        """Whether the next picture would be lent, not copied."""
        return not self.lending.lent

    def decode(self, request: bytes, enough: Enough | None = None, enter: Enter | None = None) -> Pixels:
        """The pixels of one picture; the time that `enough` and `enter` take does not count.

        Raises:
            ImageDecodeError: what `decode` raises, or `enough`, or `enter`.
            TimeoutError: it takes too long.
            EOFError: the process ended; some systems say OSError.
        """
        deadline = time.monotonic() + self.timeout_s
        self.channel.settimeout(self.timeout_s)
        lends = self.lends
        self.clear()
        self.channel.sendall(REQUEST.pack(len(request), 0 if lends else 1, enough is not None) + request)
        height, width, question = self._reply(deadline)
        while question:
            least, left = (height, width), deadline - time.monotonic()
            try:
                if question == ENTERS and enter is not None:
                    enter(width, height, None)
                elif question == ASKS and enough is not None:
                    least = enough(height, width)
            except ImageDecodeError:
                self.channel.sendall(SIZE.pack(0, 0))
                with contextlib.suppress(ImageDecodeError):
                    self._reply(time.monotonic() + left)  # so that it is ready for the next picture
                raise
            deadline = time.monotonic() + left
            self.channel.sendall(SIZE.pack(*least))
            height, width, question = self._reply(deadline)
        return self.lending.lend(height, width) if lends else self.copying.picture(height, width).copy()

    def clear(self) -> None:
        """Give back most of the memory of large pictures that nobody holds; only while it waits for work."""
        self.lending.clear()
        self.copying.clear()

    def end(self, *, kill: bool) -> int:
        """Close, end and reap; the exit status, negative for a signal."""
        self.lending.forget()
        self.copying.forget()  # now: an error's traceback may keep this object for long
        self._close()
        if not kill:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(_REAP_S)
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the system, on a disk that is gone
            return self.process.wait(_REAP_S)
        return -signal.SIGKILL

    def _reply(self, deadline: float) -> tuple[int, int, int]:
        """Height and width, and what it asks of them: `ASKS`, `ENTERS` or nothing."""
        self.channel.settimeout(max(0.001, deadline - time.monotonic()))
        height, width, length = REPLY.unpack(receive(self.channel, REPLY.size))
        if length and length not in (ASKS, ENTERS):
            raise ImageDecodeError(receive(self.channel, length).decode())
        return height, width, length
