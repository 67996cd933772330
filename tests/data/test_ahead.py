from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from vlqa.data.sources.ahead import read_ahead
from vlqa.errors import ImageDecodeError
from vlqa.types import Source


def test_sources_are_read_together_and_come_in_order() -> None:
    together = threading.Barrier(4, timeout=10)  # breaks unless four read at once

    def read(number: int) -> bytes:
        together.wait()
        return bytes([number])

    given = ["a.png", *(Source(str(number), lambda number=number: read(number)) for number in range(8)), b"pixels"]
    found = list(read_ahead(given))
    assert (found[0], found[-1]) == ("a.png", b"pixels")
    assert [source.read() for source in found[1:-1]] == [bytes([number]) for number in range(8)]
    assert [source.name for source in found[1:-1]] == [str(number) for number in range(8)]


def test_only_some_are_read_ahead_and_failures_wait_for_their_turn() -> None:
    taken: list[int] = []

    def endless() -> Iterator[Source]:
        for number in itertools.count():
            taken.append(number)
            yield Source(str(number), fail, "stamp")

    def fail() -> bytes:
        raise ImageDecodeError("is gone")

    found = read_ahead(endless())
    source = next(found)
    assert isinstance(source, Source) and source.stamp == "stamp" and len(taken) < 20
    with pytest.raises(ImageDecodeError, match="is gone"):
        source.read()
    found.close()
