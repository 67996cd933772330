"""The unfinished output of a run: a line a picture, from which a killed run goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlqa.apps.columns import Kind, as_record
from vlqa.apps.finished import Finished
from vlqa.apps.lock import lock
from vlqa.apps.marks import Marks, Names
from vlqa.apps.pictures import name_of
from vlqa.errors import ConfigError
from vlqa.types import Assessment, Source

if TYPE_CHECKING:
    from typing import BinaryIO

    from vlqa.data.sources.find import Picture

_VERSION = 1
_STAMP, _HEADER, _BEGUN, _AFTER = "stamp", "journal", "begun", "after"
_HEAD = f'{{"{_HEADER}": '.encode()
_AGAIN, _FINISHED, _UNKNOWN = "again", "finished", "unknown"  # marks that are no stamps
_MISSING = "missing"


class Journal:
    """Records as lines of JSON, each with the stamp of its picture, below a line that says what decides them.

    A line is written whole and at once, so that whatever kills the run costs the records of pictures on their way, and
    at most half a line, which the next run cuts off; a line that makes no sense counts for nothing. A picture whose
    name and stamp are there is not scored again; one that changed, or whose stamp nobody knows and that failed, is, and
    its new record replaces the old one. Records of pictures that are not named any more stay unless they failed.

    A journal may go on with an output that is finished, whose records stay where they are. They have no stamps: one
    stands unless it failed, or the file of its picture is newer than the output. So that no change is missed that fell
    into a run, or was of a picture that it did not name, `time_ns` tells how old the output shall seem.

    Args:
        file: of the journal.
        settings: what decides a record besides the picture, JSON-able; must be those of the run that is gone on with.
        columns: of the records.
        resume: go on with a journal that is there.
        retry_failed: score pictures that failed again, though they have not changed.
        beside: the file that decides the record of a picture besides the picture itself.
        finished: the output, if it is there and `resume`.

    Attributes:
        finished: the output that this goes on with, None where it goes on with none.
        begun_ns: when the first run into this journal began.
        resumed: records that were there and may stand.
        failed: records with an error that `rows` gave.
        unnamed: records that `rows` gave of pictures that `unscored` was not given.
        was_complete: whether `adds_nothing` was so.

    Raises:
        ConfigError: an unfinished run is there and `resume` is False, it was begun with other settings or another
            output, another process writes it, it is no journal, or the output cannot be gone on with.
    """

    def __init__(
        self,
        file: Path,
        settings: Mapping[str, Any],
        columns: Mapping[str, Kind],
        *,
        resume: bool = False,
        retry_failed: bool = False,
        beside: Callable[[Picture], Path] | None = None,
        finished: Finished | None = None,
    ) -> None:
        self.file = file
        self.finished = finished
        self._columns = columns
        self._retry_failed = retry_failed
        self._beside = beside
        self.resumed = self.failed = self.unnamed = 0
        self.was_complete = False
        self._earlier = Marks()  # of records that no picture has claimed
        self._outdated = Names()  # given now, whose unclaimed records are of what they were before
        self._given: deque[str | None] = deque()
        self._lines = self._earlier_lines = self._noted = 0
        self._open: BinaryIO = file.open("r+b" if file.exists() else "x+b")
        try:
            lock(self._open, file)
            if finished is not None:
                finished.look()
            begun = _begun(self._open, file, settings, resume)
            if begun and finished is not None and finished.time_ns in (begun.get(_BEGUN), _next_ns(begun.get(_AFTER))):
                begun = None  # that output is the end of this journal, which a kill has left behind
            if begun:
                self._go_on_after(begun.get(_AFTER))
        except BaseException:
            self._open.close()
            raise
        try:
            if begun:
                self.begun_ns = int(begun.get(_BEGUN, 0))
                self._cut_torn_line()
            else:  # nothing is there, or what a run left that was killed before its first picture
                self.begun_ns = time.time_ns()
                after = finished and finished.state
                self._open.seek(0)
                self._open.truncate()
                self._append({_HEADER: _VERSION, _BEGUN: self.begun_ns, _AFTER: after, **settings})
            self._note_earlier()
        except BaseException:
            self.close(keep=True)
            raise

    def unscored(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """Those that need a record; `write` expects the records of just these, in this order."""
        for picture in pictures:
            stamp = self._stamp(picture)
            if not self._is_done(picture, stamp):
                self._given.append(stamp)
                yield picture

    def write(self, record: Assessment) -> None:
        """Add the record of the next picture.

        Raises:
            ConfigError: the disk is full, or broken.
        """
        self._append({**record.as_dict(), _STAMP: self._given.popleft()})
        self._lines += 1

    @property
    def time_ns(self) -> int:
        """Of the finished output, once `rows` has given all: what is newer may have changed since it was scored."""
        if self.finished is not None and self.unnamed:
            return _next_ns(self.finished.state)  # nobody has looked whether what they are of has changed
        return self.begun_ns

    def adds_nothing(self) -> bool:
        """Whether a finished output holds what `rows` would give, and nothing else."""
        if self.finished is not None and not self._lines:
            self.was_complete = sum(1 for _ in self.rows()) == self._noted
        return self.was_complete

    def rows(self) -> Iterator[dict[str, Any]]:
        """All records that stand, in the order in which they were written; `unscored` has given all pictures."""
        self.failed = self.unnamed = 0
        unclaimed = self._earlier.copy()
        for row, stamp, number in self._written():
            if number < self._earlier_lines and unclaimed.take(row["path"], self._mark(stamp, row["error"])):
                if row["error"] is not None or row["path"] in self._outdated:
                    continue
                self.unnamed += 1
            self.failed += row["error"] is not None
            yield row

    def close(self, *, keep: bool) -> None:
        """End; remove the file unless it is kept and holds records."""
        if not keep or not self._lines:
            self.file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # of what is left to write where a disk is full
            self._open.close()

    def _stamp(self, picture: Picture) -> str | None:
        """Changes where the picture does, or what decides its record besides; None where that is not known."""
        own = _stamp_of(picture)
        if own is None or self._beside is None:
            return own
        return f"{own} against {_stamp_of(str(self._beside(picture)))}"

    def _is_done(self, picture: Picture, stamp: str | None) -> bool:
        name = name_of(picture)
        # of a picture that is named twice each record counts once
        done = self._earlier.take(name, self._mark(stamp, None))
        if not done and self.finished is not None and not self.finished.is_older_than(name):
            done = self._earlier.take(name, _FINISHED)
        self._outdated.put(name, name in self._earlier)
        return done

    def _go_on_after(self, state: object) -> None:
        """Check that the output is the one that the journal was begun after, if it was begun after one."""
        if state is None:
            self.finished = None  # to be replaced
        elif self.finished is None or self.finished.state != state:
            raise ConfigError(
                f"{self.file} goes on with an output that has changed since or is gone; put that back, or delete "
                f"{self.file.name} to go on with what the output holds"
            )

    def _cut_torn_line(self) -> None:
        """Cut off what was being written when the run was killed, and count the lines before it."""
        end = self._open.tell()
        for line in self._open:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            self._lines += 1
        self._open.truncate(end)
        self._earlier_lines = self._lines

    def _note_earlier(self) -> None:
        for row, stamp, _ in self._written():
            self._noted += 1
            mark = self._mark(stamp, row["error"])
            self._earlier.add(row["path"], mark)
            self.resumed += mark != _AGAIN
        self._open.seek(0, os.SEEK_END)

    def _written(self) -> Iterator[tuple[dict[str, Any], str | None, int]]:
        """Each record that makes sense, its stamp, and the number of its line: −1 in the finished output."""
        for row in self.finished.rows() if self.finished else ():
            yield row, None if row["error"] is not None else _FINISHED, -1
        self._open.seek(0)
        self._open.readline()
        for number, line in enumerate(self._open):
            row = _parsed(line)
            stamp = row.pop(_STAMP, None)
            record = as_record(row, self._columns)
            if record is not None and (stamp is None or isinstance(stamp, str)):
                yield record, stamp, number

    def _mark(self, stamp: str | None, error: str | None) -> str:
        """By which a record is found again: its stamp; none where it is to be tried once more."""
        if error is not None and (stamp is None or self._retry_failed):
            return _AGAIN
        return stamp if stamp == _FINISHED else _UNKNOWN if stamp is None else f"={stamp}"

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self._open.write(json.dumps(line, allow_nan=False).encode() + b"\n")  # ASCII: names may be no UTF-8
            self._open.flush()
        except OSError as error:
            raise ConfigError(
                f"{self.file}: cannot be written ({error.strerror}); what was scored is kept: make room, then go on "
                "with --resume"
            ) from None


def check_journal(file: Path, settings: Mapping[str, Any], *, resume: bool = False) -> None:
    """Raise what a `Journal` would, as far as the settings known so far tell, and change nothing."""
    if file.exists():
        with file.open("r+b") as opened:  # over NFS only who may write may lock
            lock(opened, file)
            _begun(opened, file, settings, resume)


def _begun(opened: BinaryIO, file: Path, settings: Mapping[str, Any], resume: bool) -> dict[str, Any] | None:
    """The first line of a file that holds records that can be gone on with; it is read up to these."""
    header = opened.readline()
    begun = _parsed(header)
    if (header.endswith(b"\n") and _HEADER not in begun) or not header.startswith(_HEAD[: len(header)]):
        raise ConfigError(f"{file} is in the way and no unfinished run of this vlqa; delete it")
    at = opened.tell()
    if not header.endswith(b"\n") or not opened.readline().endswith(b"\n"):  # all that a kill has left
        return None
    opened.seek(at)
    if not resume:
        raise ConfigError(f"{file} holds an unfinished run; go on with it by --resume, or delete it")
    if begun[_HEADER] != _VERSION:
        raise ConfigError(f"{file} is of another version of vlqa; finish it with that, or delete it")
    for name, value in settings.items():
        if begun.get(name) != value:
            raise ConfigError(
                f"{file} was begun with another {name} ({_short(begun.get(name))}, now {_short(value)}); "
                "finish it with that, or delete it"
            )
    return begun


def _stamp_of(picture: Picture) -> str | None:
    """Size and time of change of a file, the stamp of a `Source`; what a missing file has is known too: nothing."""
    if isinstance(picture, Source):
        return picture.stamp
    try:
        status = os.stat(picture)  # noqa: PTH116 - for millions of names
    except (OSError, ValueError):
        return _MISSING
    return f"{status.st_size} {status.st_mtime_ns}"


def _next_ns(state: str | None) -> int:
    """The time after that of a finished output, which tells the output that follows from it."""
    return 0 if state is None else int(state.split()[1]) + 1


def _parsed(line: bytes) -> dict[str, Any]:
    """The object in a line, an empty one where it makes no sense."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:16]}…"
