"""Counters on standard error, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from vlqa.profiling import Profile


@contextlib.contextmanager
def counted(what: str) -> Iterator[Callable[[int], None]]:
    """A function to call after each image with the number that failed so far; shown on a terminal only."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:.0f} images, {task.fields[failed]} failed, {task.fields[rate]}/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(what, total=None, failed=0, rate="…")

        def count(failed: int) -> None:
            elapsed = progress.tasks[0].elapsed or 0.0
            rate = f"{(progress.tasks[0].completed + 1) / elapsed:.1f}" if elapsed else "…"
            progress.update(task, advance=1, failed=failed, rate=rate)

        yield count


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
