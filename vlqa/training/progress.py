"""Progress of a run on standard error."""

from __future__ import annotations

import contextlib
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress(contextlib.AbstractContextManager["Progress"]):
    """A bar with the loss, its rate and the time left; nothing where it is not shown.

    Args:
        name: what is trained.
        start: steps already done.
        last: step at which the run ends.
        shown: whether to draw at all.
    """

    def __init__(self, name: str, start: int, last: int, *, shown: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]}"),
        )
        self._bar = Bar(*columns, console=Console(stderr=True), disable=not shown)
        self._task = self._bar.add_task(name, total=last, completed=start, loss="…")
        self._loss: float | None = None

    def update(self, step: int, loss: float) -> None:
        """Show a finished step; the loss is smoothed over about 50 steps."""
        self._loss = loss if self._loss is None else 0.98 * self._loss + 0.02 * loss
        self._bar.update(self._task, completed=step, loss=f"{self._loss:.3f}")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.stop()
