"""The unfinished output of a run: a line a picture, from which a killed run goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlqa.apps.pictures import name_of
from vlqa.errors import ConfigError
from vlqa.types import Assessment, Source

if TYPE_CHECKING:
    from typing import BinaryIO

    from vlqa.data.sources.find import Picture

_VERSION = 1
_STAMP, _HEADER = "stamp", "journal"
_AGAIN = "again"  # a stamp that no picture has
_DIGEST_BYTES = 12


class Journal:
    """Records as lines of JSON, each with the stamp of its picture, below a line that says what decides them.

    A line is written whole and at once, so that whatever kills the run costs the records of pictures on their way, and
    at most half a line, which the next run cuts off. A picture whose name and stamp are there is not scored again; one
    that changed, or whose stamp nobody knows and that failed, is, and its new record replaces the old one. At the end
    records stand of the pictures that were named in the last run, as if it had been the only one.

    Args:
        file: of the journal.
        settings: what decides a record besides the picture, JSON-able; must be those of the run that is gone on with.
        resume: go on with a journal that is there.
        retry_failed: score pictures that failed again, though they have not changed.
        stamp: of a picture: what tells whether it has changed.

    Attributes:
        resumed: records that were there and may stand.
        failed: records with an error that `rows` gave.

    Raises:
        ConfigError: an unfinished run is there and `resume` is False, it was begun with other settings, another
            process writes it, or it is no journal.
    """

    def __init__(
        self,
        file: Path,
        settings: Mapping[str, Any],
        *,
        resume: bool = False,
        retry_failed: bool = False,
        stamp: Callable[[Picture], str | None] | None = None,
    ) -> None:
        self.file = file
        self._retry_failed = retry_failed
        self._stamp = stamp or stamp_of
        self.resumed = self.failed = 0
        self._earlier: dict[bytes, bytes] = {}  # digest of a name → marks of its records that no picture has claimed
        self._outdated: set[bytes] = set()  # names given now, whose unclaimed records are of what they were before
        self._given: deque[str | None] = deque()
        self._settings = {_HEADER: _VERSION, **settings}
        self._lines = self._earlier_lines = 0
        self._open: BinaryIO = file.open("r+b" if file.exists() else "x+b")
        try:
            _lock(self._open, file)
            begun = _begun(self._open, file, self._settings, resume)
            if begun:
                self._read()
            else:  # nothing is there, or what a run left that was killed before its first picture
                self._open.seek(0)
                self._open.truncate()
                self._append(self._settings)
        except BaseException:
            self._open.close()
            raise

    def unscored(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """Those that need a record; `write` expects the records of just these, in this order."""
        for picture in pictures:
            name, stamp = name_of(picture), self._stamp(picture)
            if not self._is_done(name, stamp):
                self._given.append(stamp)
                yield picture

    def write(self, record: Assessment) -> None:
        """Add the record of the next picture."""
        self._append({**record.as_dict(), _STAMP: self._given.popleft()})
        self._lines += 1

    def rows(self) -> Iterator[dict[str, Any]]:
        """All records that stand, in the order in which they were written; `unscored` has given all pictures."""
        self._open.seek(0)
        self._open.readline()
        self.failed = 0
        unclaimed = dict(self._earlier)
        for number, line in enumerate(self._open):
            row = json.loads(line)
            stamp = row.pop(_STAMP)
            if number < self._earlier_lines:
                mark = self._mark(stamp, row["error"])
                if _take(unclaimed, _digest(row["path"]), mark):
                    continue
            self.failed += row["error"] is not None
            yield row

    @property
    def unnamed(self) -> int:
        """Earlier records whose pictures `unscored` was not given: `rows` leaves them out."""
        marks = sum(len(marks) for name, marks in self._earlier.items() if name not in self._outdated)
        return marks // _DIGEST_BYTES

    def close(self, *, keep: bool) -> None:
        """End; remove the file unless it is kept and holds records."""
        if not keep or not self._lines:
            self.file.unlink(missing_ok=True)
        self._open.close()

    def _is_done(self, name: str, stamp: str | None) -> bool:
        key = _digest(name)
        done = _take(self._earlier, key, _digest(stamp))  # of a picture that is named twice each record counts once
        (self._outdated.add if key in self._earlier else self._outdated.discard)(key)
        return done

    def _read(self) -> None:
        end = self._open.tell()
        for line in self._open:
            try:
                row = json.loads(line)
                name, stamp, error = row["path"], row[_STAMP], row["error"]
            except (ValueError, KeyError, TypeError):
                break  # the line that was being written when the run was killed
            if not line.endswith(b"\n"):
                break
            end += len(line)
            self._lines += 1
            self.resumed += error is None or not self._retry_failed
            key = _digest(name)
            self._earlier[key] = self._earlier.get(key, b"") + self._mark(stamp, error)
        self._open.seek(end)
        self._open.truncate()
        self._earlier_lines = self._lines

    def _mark(self, stamp: str | None, error: str | None) -> bytes:
        """By which a record is found again: the digest of its stamp; of none where it is to be tried once more."""
        passing = stamp is None or self._retry_failed
        return _digest(_AGAIN if passing and error is not None else stamp)

    def _append(self, line: Mapping[str, Any]) -> None:
        self._open.write(json.dumps(line, allow_nan=False).encode() + b"\n")  # ASCII: names may be no UTF-8
        self._open.flush()


def check_journal(file: Path, settings: Mapping[str, Any], *, resume: bool = False) -> None:
    """Raise what a `Journal` would, as far as the settings known so far tell, and change nothing."""
    if file.exists():
        with file.open("r+b") as opened:  # over NFS only who may write may lock
            _lock(opened, file)
            _begun(opened, file, settings, resume)


def _begun(opened: BinaryIO, file: Path, settings: Mapping[str, Any], resume: bool) -> bool:
    """Whether a file holds records that can be gone on with; it is read up to the first of them."""
    header = opened.readline()
    if not header:
        return False
    try:
        begun = json.loads(header)
        version = begun[_HEADER]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{file} is in the way and no unfinished run of this vlqa; delete it") from None
    if opened.tell() == file.stat().st_size:
        return False
    if not resume:
        raise ConfigError(f"{file} holds an unfinished run; go on with it by --resume, or delete it")
    if version != _VERSION:
        raise ConfigError(f"{file} is of another version of vlqa; finish it with that, or delete it")
    for name, value in settings.items():
        if begun.get(name) != value:
            raise ConfigError(
                f"{file} was begun with another {name} ({_short(begun.get(name))}, now {_short(value)}); "
                "finish it with that, or delete it"
            )
    return True


def stamp_of(picture: Picture) -> str | None:
    """Size and time of change of a file, the stamp of a `Source`; what a missing file has is known too: nothing."""
    if isinstance(picture, Source):
        return picture.stamp
    try:
        status = os.stat(picture)  # noqa: PTH116 - for millions of names
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _digest(text: str | None) -> bytes:
    return hashlib.blake2b(
        ("" if text is None else f"={text}").encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES
    ).digest()


def _take(marks: dict[bytes, bytes], name: bytes, mark: bytes) -> bool:
    """Remove one mark from those of a name; whether it was there."""
    there = marks.get(name, b"")
    for at in range(0, len(there), _DIGEST_BYTES):
        if there[at : at + _DIGEST_BYTES] == mark:
            marks[name] = there[:at] + there[at + _DIGEST_BYTES :]
            if not marks[name]:
                del marks[name]
            return True
    return False


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:16]}…"


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep a second run from writing the same journal; where the system has no such locks, nothing does."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{path} is being written by another run; wait for it, or name another --output"
            ) from None
