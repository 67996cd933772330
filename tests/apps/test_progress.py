from __future__ import annotations

import io
import sys
import threading
import time
from pathlib import Path

import pytest

from vlqa.apps import progress
from vlqa.apps.progress import Tally, counted


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def told(tally: Tally, count: int, seconds: float, *, failed: int = 0) -> str:
    """What is shown after some pictures that took some time, looked at twice a second."""
    clock = tally.clock
    assert isinstance(clock, Clock)
    begin, new = clock.now, 0
    for half in range(1, int(2 * seconds) + 1):
        clock.now = begin + half / 2
        while new < count * half // int(2 * seconds):
            tally(failed)
            new += 1
        shown = str(tally)
    return shown


def test_what_passes_is_counted() -> None:
    tally = Tally(2, clock=Clock())
    passing = tally.passing(["a", "b"])
    assert next(passing) == "a" and tally.new == 0
    assert list(passing) == ["b"] and tally.new == 2


def test_rate_failures_and_time_left() -> None:
    tally = Tally(1000, clock=Clock())
    assert str(tally) == "0 of 1000 images, 0 failed, …"
    assert told(tally, 100, 10, failed=3) == "100 of 1000 images, 3 failed, 10.0/s, 0:01:30 left"
    assert told(tally, 840, 84) == "940 of 1000 images, 0 failed, 10.0/s, 0:00:06 left"
    assert told(tally, 60, 6) == "1000 of 1000 images, 0 failed, 10.0/s"


def test_without_a_total_there_is_the_rate_alone() -> None:
    tally = Tally(clock=Clock())
    assert told(tally, 100, 10) == "100 images, 0 failed, 10.0/s"
    tally.total = 90  # a folder that grew since it was counted
    assert str(tally) == "100 images, 0 failed, 10.0/s"


def test_what_was_there_is_done_and_no_measure_of_the_rate() -> None:
    tally = Tally(1_000_000, 900_000, Clock())
    assert isinstance(tally.clock, Clock)
    pictures = tally.begun(iter("abc"))
    tally.clock.now += 30  # to pass over what has a record
    assert next(pictures) == "a"
    assert told(tally, 8, 1) == "900008 of 1000000 images, 0 failed, 8.0/s"  # a first batch tells little
    assert told(tally, 72, 9) == "900080 of 1000000 images, 0 failed, 8.0/s, 3:28:10 left"
    tally(0, known=True)
    assert str(tally) == "900081 of 1000000 images, 0 failed, 8.0/s, 3:28:10 left"
    assert list(pictures) == ["b", "c"]


def test_the_rate_is_that_of_the_last_minute() -> None:
    tally = Tally(clock=Clock())
    assert told(tally, 6000, 600).endswith("10.0/s")
    assert told(tally, 120, 120).endswith(" 1.0/s")
    assert told(tally, 0, 120).endswith(" 7.3/s")  # of the whole run: there is no other


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def counting_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vlqa-count"]


def test_pictures_are_counted_beside_a_run_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        (tmp_path / f"{number}.png").touch()
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with counted("scoring", inputs=[str(tmp_path)], known=50) as tally:
        for thread in counting_threads():
            thread.join(10)
        assert tally.total == 200
        tally(1)
    assert "51 of 200 images, 1 failed" in terminal.getvalue()


def test_a_count_ends_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(inputs: object):
        while True:
            time.sleep(0.001)
            yield 1

    monkeypatch.setattr(progress, "counts", endless)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with counted("scoring", inputs=[str(tmp_path)]) as tally:
        (thread,) = counting_threads()
        assert thread.daemon
    thread.join(10)
    assert not thread.is_alive() and tally.total is None


def test_elsewhere_nothing_is_shown_or_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with counted("scoring", inputs=[str(tmp_path)]) as tally:
        assert not counting_threads()
        tally(0)
    assert capsys.readouterr().err == ""


def test_what_cannot_be_counted_has_no_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with counted("scoring", inputs=["a.png", "-"]) as tally:
        for thread in counting_threads():
            thread.join(10)
        assert tally.total is None
