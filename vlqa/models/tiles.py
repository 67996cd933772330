"""Tiles of a picture that is too large for one forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """One side of a tile: the pixels a net sees, and those of them that count.

    Attributes:
        start: first pixel seen.
        stop: end of the pixels seen.
        first: first pixel that counts.
        last: end of the pixels that count; None at the picture's end.
    """

    start: int
    stop: int
    first: int
    last: int | None

    @property
    def seen(self) -> slice:
        """In the picture."""
        return slice(self.start, self.stop)

    def counted(self, stride: int) -> slice:
        """In the activations of a stage with this stride, which belong to the pixels seen."""
        end = None if self.last is None else (self.last - self.start) // stride
        return slice((self.first - self.start) // stride, end)


def spans(length: int, core: int, halo: int) -> Iterator[Span]:
    """Cut a side into parts that count, each seen with a halo of its neighbours.

    Args:
        length: of the side, px.
        core: px that count in a tile; like `halo` a multiple of the coarsest stride, so that all grids meet.
        halo: px seen besides them on each side.
    """
    for first in range(0, length, core):
        last = first + core
        start, stop = max(0, first - halo), min(length, last + halo)
        yield Span(start, stop, first, None if last >= length else last)
