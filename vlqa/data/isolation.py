"""Decoding in child processes: a picture that crashes its decoder, or never ends, costs itself and nothing else.

Pixels come back in shared memory. PIL images and arrays are pixels already and stay in this process. JPEGs of 0.8
megapixels take 1.09 times as long to decode (benchmarks/isolation.py); a process starts in 0.15 s or more.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from vlqa.data.complaints import call, one_line, refusal
from vlqa.data.decoder_process import DecoderProcess
from vlqa.data.images import MAX_PIXELS, Enough, Enter, decode, source_name
from vlqa.errors import ConfigError, ImageDecodeError, VLQAError
from vlqa.types import Pixels, Source

if TYPE_CHECKING:
    from vlqa.types import ImageLike

TIMEOUT_S = 30.0
"""A picture may take so long to be read and decoded; a JPEG of 12 megapixels takes 0.06 s."""


class IsolatedDecoder:
    """Decodes as `decode` does, with the same pixels and the same errors, in processes of its own.

    Any number of threads may call it; each call in progress has a process, started when first needed and kept for the
    next picture. A process that crashes or overruns its time is killed and replaced.

    Args:
        max_pixels: as of `decode`; a process may take 32 bytes of memory a pixel beside the 512 MiB it always may.
        timeout_s: longest time a picture may take.

    Raises:
        ConfigError: not on a Unix system.
    """

    function: ClassVar[str] = "vlqa.data.images.decode"

    def __init__(self, max_pixels: int = MAX_PIXELS, timeout_s: float = TIMEOUT_S) -> None:
        if os.name != "posix" or not sys.executable:
            raise ConfigError("isolate needs a Python interpreter on Linux or macOS; leave it out")
        self.max_pixels = max_pixels
        self.timeout_s = timeout_s
        self._children: set[DecoderProcess] = set()
        self._idle: list[DecoderProcess] = []
        self._lock = threading.Lock()
        self._closed = False

    def __call__(self, image: ImageLike, enough: Enough | None = None, enter: Enter | None = None) -> Pixels:
        """The pixels of one picture, as `decode` gives them.

        Args:
            image: as of `decode`.
            enough: as of `decode`; called in this process.
            enter: as of `decode`; called in this process, for large pictures, without their format.

        Raises:
            ImageDecodeError: what `decode` raises; or the decoder crashed, or took too long, in one line.
            VLQAError: no process can be started.
        """
        if not isinstance(image, Source | str | os.PathLike | bytes | bytearray | memoryview):
            return decode(image, max_pixels=self.max_pixels, enter=enter)
        request = _Request(image, _packed(image), enough, enter)
        child = self._take()
        if child is not None:
            with contextlib.suppress(_CrashError):  # of an earlier picture's doing, perhaps: one more try in a new one
                return self._decode(child, request)
        try:
            return self._decode(self._start(), request)
        except _CrashError as crash:
            raise ImageDecodeError(one_line(f"{call(image)}: {crash}")) from None

    def close(self) -> None:
        """End all processes; pictures that threads still wait for fail at once."""
        with self._lock:
            self._closed = True
            children, idle, self._idle = list(self._children), self._idle, []
        for child in children:
            child.process.kill()
        for child in idle:
            self._end(child)

    def _take(self) -> DecoderProcess | None:
        """A process that waits for work, before others one whose last picture nobody holds."""
        with self._lock:
            child = max(self._idle, key=lambda idle: idle.lends, default=None)
            if child is not None:
                self._idle.remove(child)
            return child

    def _start(self) -> DecoderProcess:
        with self._lock:
            if self._closed:
                raise VLQAError("the decoder is closed")
            try:
                child = DecoderProcess(self.function, self.max_pixels, self.timeout_s)
            except OSError as error:
                raise VLQAError(f"no process can be started to decode in ({error}); use fewer workers") from error
            self._children.add(child)
        try:
            child.greet()
        except BaseException:
            self._end(child)
            raise
        return child

    def _decode(self, child: DecoderProcess, request: _Request) -> Pixels:
        try:
            pixels = child.decode(request.data, None if request.enough is None else request.tell, request.let_in)
        except ImageDecodeError:
            self._release(child)
            raise
        except TimeoutError:
            self._end(child)
            raise self._overrun(request.image) from None
        except (EOFError, OSError) as error:
            status = self._end(child, kill=False)
            if status == -signal.SIGALRM:  # its own clock, where this process is held up
                raise self._overrun(request.image) from None
            raise _CrashError(_describe_end(status)) from error
        except BaseException:  # Ctrl-C: its answer would be taken for the next picture's
            self._end(child)
            raise
        self._release(child)
        return pixels

    def _release(self, child: DecoderProcess) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(child)
                for idle in self._idle:  # by now, the pictures of others may be gone
                    idle.clear()
                return
        self._end(child)

    def _overrun(self, image: ImageLike) -> ImageDecodeError:
        why = f"took longer than {self.timeout_s:g} s to decode; export it again, or raise --decode-timeout"
        return ImageDecodeError(one_line(f"{call(image)}: {why} (load(…, decode_timeout=…))"))

    def _end(self, child: DecoderProcess, *, kill: bool = True) -> int:
        status = child.end(kill=kill)
        with self._lock:
            self._children.discard(child)
        return status


class _CrashError(Exception):
    """The process ended before it answered; the message says how."""


@dataclass(frozen=True)
class _Request:
    image: ImageLike
    data: bytes
    enough: Enough | None
    enter: Enter | None

    def tell(self, height: int, width: int) -> tuple[int, int]:
        """What is enough of a picture of this size."""
        assert self.enough is not None
        try:
            return self.enough(height, width)
        except Exception as error:
            raise refusal(self.image, error) from error

    def let_in(self, width: int, height: int, kind: str | None) -> None:
        """Wait until there is room for it."""
        try:
            if self.enter is not None:
                self.enter(width, height, kind)
        except Exception as error:
            raise refusal(self.image, error) from error


def _packed(image: Source | str | os.PathLike[str] | bytes | bytearray | memoryview) -> bytes:
    name = source_name(image)  # type: ignore[arg-type]
    try:
        given = image.read() if isinstance(image, Source) else image if name is None else name
        if isinstance(given, str) and given and not given.startswith(os.sep):
            given = f"{Path.cwd()}{os.sep}{given}"  # this process may have gone to another folder since the child began
        return pickle.dumps((name, bytes(given) if isinstance(given, memoryview) else given))
    except Exception as error:
        raise refusal(image, error) from error


def _describe_end(status: int) -> str:
    if status == -signal.SIGKILL:
        return "the system ended its decoder, most likely for lack of memory; scale it down"
    how = f"status {status}"
    if status < 0:
        with contextlib.suppress(ValueError):
            how = signal.Signals(-status).name
    return f"the decoder crashed on it ({how}); export it again with another program, or leave it out"
