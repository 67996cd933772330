"""An archive or a table on the web, read while it comes as one that lies here."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
import weakref
from http.client import HTTPResponse
from typing import Any, BinaryIO, NoReturn, cast

from vlqa.data.complaints import describe_error
from vlqa.data.sources.limits import Allowance, Limits
from vlqa.data.sources.web import pieces
from vlqa.errors import ImageDecodeError, VLQAError


class Download:
    """A file on the web, fetched once it is opened, as fast as it comes, into a file without a name.

    Readers wait for what they read and not for the rest, so that a server waits for no encoder. The file is in the
    folder of the variable TMPDIR and goes with the last who reads it.

    Args:
        address: of scheme http or https.
        limits: of the fetch.
        allowance: of the disk, for as long as anyone may read it; shared with other downloads.
    """

    def __init__(self, address: str, limits: Limits, allowance: Allowance | None = None) -> None:
        self.address = address
        self.limits = limits
        self.allowance = Allowance(limits.most_bytes) if allowance is None else allowance
        self.identity = ""
        self._received: _Received | None = None
        self._lock = threading.Lock()

    def open(self) -> BinaryIO:
        """See `Content`; waits until the server answers."""
        with self._lock:
            if self._received is None:
                self._received = self._begin()
        self.identity = self._received.begun()
        return cast(BinaryIO, io.BufferedReader(_Reader(self, self._received)))

    def _begin(self) -> _Received:
        received = _Received(self.allowance)
        work = threading.Thread(
            target=_fetch, args=(received, self.address, self.limits), name="vlqa-fetch", daemon=True
        )
        try:
            work.start()
        except RuntimeError as error:
            raise ImageDecodeError(f"cannot be fetched ({error}); run fewer programs at once") from None
        weakref.finalize(self, _Received.stop, received)
        return received

    def __reduce__(self) -> NoReturn:
        raise VLQAError(f"{self.address}: is being fetched into this process alone; download it, and name the file")


class _Received:
    """What is there of a download."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.kept = self.length = 0
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open until nobody reads it any more
        self.changed = threading.Condition()
        self.identity: str | None = None
        self.done = False
        self.failure: str | None = None
        self.stopped = False

    def __del__(self) -> None:
        self.allowance.give_back(self.kept)
        self.file.close()

    def head(self, response: HTTPResponse) -> None:
        with self.changed:
            self.identity = f"{response.length} {response.getheader('Last-Modified')}"
            self.changed.notify_all()

    def add(self, piece: bytes) -> None:
        self.allowance.take(len(piece))  # which may wait, while others read what is there
        self.kept += len(piece)
        rest = memoryview(piece)
        with self.changed:
            try:
                self.file.seek(self.length)
                while rest:
                    rest = rest[self.file.write(rest) :]
            except OSError as error:
                raise ImageDecodeError(
                    f"cannot be kept in {tempfile.gettempdir()} ({error.strerror}); name a folder with room by TMPDIR"
                ) from None
            self.length += len(piece)
            self.changed.notify_all()

    def end(self, failure: str | None) -> None:
        with self.changed:
            self.done, self.failure = True, failure
            self.changed.notify_all()

    def stop(self) -> None:
        self.stopped = True

    def begun(self) -> str:
        with self.changed:
            self.changed.wait_for(lambda: self.identity is not None or self.done)
            if self.identity is None:
                raise ImageDecodeError(self.failure or "was not fetched; run again")
            return self.identity

    def read(self, at: int, room: memoryview) -> int:
        """What there is from a place on, but nothing only at the end; its length."""
        most = max(0, self.there(at + 1) - at)
        with self.changed:
            self.file.seek(at)
            return self.file.readinto(room[:most])

    def there(self, least: int | None) -> int:
        """How many bytes there are, once there are so many or no more to come; all for None."""
        with self.changed:
            self.changed.wait_for(lambda: self.done or (least is not None and self.length >= least))
            if self.failure is not None and (least is None or self.length < least):
                raise ImageDecodeError(self.failure)
            return self.length


def _fetch(received: _Received, address: str, limits: Limits) -> None:
    failure = None
    try:
        with contextlib.closing(pieces(address, limits, received.head)) as found:
            for piece in found:
                if received.stopped:
                    return
                received.add(piece)
    except Exception as error:
        failure = describe_error(error)
    finally:
        received.end(failure)


class _Reader(io.RawIOBase):
    """Reads a download from its beginning on, or anywhere."""

    def __init__(self, of: Download, received: _Received) -> None:
        self.of = of  # which stops when nobody holds it
        self.received = received
        self.at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.at}.get(whence)
        self.at = offset + (self.received.there(None) if start is None else start)
        return self.at

    def readinto(self, buffer: Any) -> int:
        length = self.received.read(self.at, memoryview(buffer).cast("B"))
        self.at += length
        return length
