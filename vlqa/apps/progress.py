"""Counters on standard error, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


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
