"""Counters on standard error, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from vlqa.data.sources.count import counts
from vlqa.profiling import Profile

Item = TypeVar("Item")

_REFRESHED = 2  # times a second, so that showing costs a run nothing
_WINDOW_S = 60.0
_SETTLED_S = 5.0  # the first batch tells little of those that follow
_STEPS, _REST = 64, 4  # the count beside a run rests after so many, for so many times what they took of a core


class Tally:
    """How far a run is, counted picture by picture.

    Args:
        total: pictures in all, where that is known; may be set later.
        known: pictures that were done before: they count, but not for the rate.
        clock: in seconds.
    """

    def __init__(self, total: int | None = None, known: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.known, self.clock = total, known, clock
        self.new = self.failed = 0
        self._began = clock()
        self._marks = deque([(self._began, 0)])  # times, and what was new then

    def __call__(self, failed: int, known: bool = False) -> None:
        """Count a picture, with the number that failed so far; `known` is one that nothing had to be done for."""
        if known:
            self.known += 1
        else:
            self.new += 1
        self.failed = failed

    def begun(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; the first begins the time: what passed before, as the search for it, measures nothing."""
        rest = iter(items)
        for item in rest:
            self._began = self.clock()
            self._marks = deque([(self._began, self.new)])
            yield item
            break
        yield from rest

    def passing(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, each counted when the next one is asked for."""
        for item in self.begun(items):
            yield item
            self(self.failed)

    def __str__(self) -> str:
        """As "12 of 900 images, 1 failed, 3.4/s, 0:04:21 left"; what is not known yet is left out."""
        rate, done = self._rate(), self.known + self.new
        known = self.total is not None and self.total >= done
        told = f"{done}{f' of {self.total}' if known else ''} images, {self.failed} failed, "
        told += f"{rate:.1f}/s" if rate else "…"
        left = (self.total or 0) - done
        if rate and left > 0 and self.clock() - self._began >= _SETTLED_S:
            told += f", {timedelta(seconds=round(left / rate))} left"
        return told

    def _rate(self) -> float:
        """New pictures a second: of the last minute, or where it had none, from the beginning."""
        now, new = self.clock(), self.new
        while len(self._marks) > 1 and now - self._marks[1][0] > _WINDOW_S:
            self._marks.popleft()
        self._marks.append((now, new))
        at, before = self._marks[0]
        if new == before:
            at, before = self._began, 0
        return (new - before) / (now - at) if now > at else 0.0


class _Told(ProgressColumn):
    def __init__(self, tally: Tally) -> None:
        super().__init__(Column(no_wrap=True))
        self.tally = tally

    def render(self, task: Task) -> Text:
        return Text(str(self.tally))


@contextlib.contextmanager
def counted(
    what: str, *, inputs: Sequence[str] = (), total: int | None = None, known: int = 0, shown: bool = True
) -> Iterator[Tally]:
    """A tally to call after each image; shown on a terminal only.

    Args:
        what: is done.
        inputs: of a command; their pictures are counted meanwhile, for the time that is left.
        total: number of pictures, where it is known.
        known: see `Tally`.
        shown: False where something else is on the terminal.
    """
    tally, end = Tally(total, known), threading.Event()
    shown = shown and sys.stderr.isatty()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), _Told(tally), TimeElapsedColumn())
    if shown and inputs:
        threading.Thread(target=_count, args=(inputs, tally, end), name="vlqa-count", daemon=True).start()
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, disable=not shown, transient=True, refresh_per_second=_REFRESHED
    ) as progress:
        progress.add_task(what, total=None)
        try:
            yield tally
        finally:
            end.set()


def _count(inputs: Sequence[str], tally: Tally, end: threading.Event) -> None:
    """Tell a tally how many pictures inputs name, unless that is not known before they are read, or the run ends."""
    found, rested = 0, time.thread_time()
    with contextlib.suppress(Exception):  # of what cannot be counted only the rate is shown; the run tells errors
        for step, more in enumerate(counts(inputs), 1):
            found += more
            if step % _STEPS == 0:
                if end.wait(_REST * (time.thread_time() - rested)):
                    return
                rested = time.thread_time()
        tally.total = found


@contextlib.contextmanager
def stepping(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with the steps that are done and the steps in all."""
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.percentage:.0f} %"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, steps: progress.update(task, completed=done, total=steps)


def print_profile(profile: Profile) -> None:
    """Where the time went, on standard error; and what would help."""
    console = Console(stderr=True)
    pictures = max(1, profile.calls["decode"] or profile.calls["score"])
    table = Table("stage", "seconds", "ms a picture", "where", box=None, title_justify="left")
    table.title = f"{pictures} pictures in {profile.wall:.1f} s, {1000 * profile.wall / pictures:.1f} ms each"
    for column in (1, 2):
        table.columns[column].justify = "right"
    for name, where in _WHERE.items():
        if name in profile.seconds:
            spent = profile.seconds[name]
            table.add_row(name, f"{spent:.2f}", f"{1000 * spent / pictures:.2f}", where)
    console.print(table)
    waited, encoded = profile.seconds["wait for pictures"], profile.seconds["encode"]
    if waited > encoded:
        console.print("Decoding is what takes the time: more --workers or --fast-decode would help.")
    elif encoded > profile.wall / 2:
        console.print("The encoder is what takes the time: a GPU, --precision bf16 or a smaller model would help.")


_WHERE = {
    "decode": "decoding threads, together",
    "prepare": "decoding threads, together",
    "wait for pictures": "main thread",
    "encode": "main thread",
    "score": "main thread",
    "write": "main thread",
}
