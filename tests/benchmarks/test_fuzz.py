from __future__ import annotations

import fuzz
import numpy as np
import pytest
from mutations import damaged, good_files, parts_of

from tests import crashing
from vlqa.data.images import decode
from vlqa.data.isolation import IsolatedDecoder
from vlqa.errors import ImageDecodeError


def test_good_files_are_good_and_made_of_parts() -> None:
    for data in good_files().values():
        decode(data)
        parts = parts_of(data)
        assert b"".join(parts) == data and (len(parts) >= 3 or data.startswith(b"BM"))


def test_a_file_follows_from_its_number() -> None:
    files = list(good_files().values())
    made = [damaged(files, np.random.default_rng([0, number])) for number in [*range(50), *range(50)]]
    assert made[:50] == made[50:] and len(set(made)) > 45


@pytest.mark.parametrize("isolate", [False, True])
def test_some_files_each_give_pixels_or_a_line(isolate: bool) -> None:
    _run(range(150), isolate)


@pytest.mark.slow
@pytest.mark.parametrize("isolate", [False, True])
def test_many_files_each_give_pixels_or_a_line(isolate: bool) -> None:
    _run(range(1000, 1600), isolate)


def _run(numbers: range, isolate: bool) -> None:
    found = [outcome for _, outcome in fuzz.fuzz(numbers, 0, 20, isolate)]
    assert [outcome for outcome in found if outcome.what not in ("pixels", "refused")] == []
    assert {outcome.what for outcome in found} == {"pixels", "refused"}
    assert fuzz.growth([outcome.memory_mib for outcome in found]) < fuzz.GROWTH_MIB


@pytest.mark.parametrize("isolate", [False, True])
def test_a_crash_and_a_hang_are_told_and_the_run_goes_on(isolate: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IsolatedDecoder, "function", "tests.crashing.decode")
    run = fuzz.isolated(0.5) if isolate else fuzz.in_one_process(0.5, crashing.decode)
    next(run)
    good = good_files()["png"]
    told = [run.send(data).what for data in (good, b"segfault", good, b"hang", b"killed", b"text", good)]
    run.close()
    assert told == ["pixels", "crash", "pixels", "hang", "crash", "refused", "pixels"]


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (KeyError("that"), "exception"),
        (ImageDecodeError("image given as bytes: two\nlines"), "message"),
        (ImageDecodeError("nameless"), "message"),
        (np.zeros((3, 3), np.uint8), "exception"),
        (np.zeros((3, 3, 3), np.float32), "exception"),
        (np.zeros((3, 3, 3), np.uint8), "pixels"),
    ],
)
def test_anything_else_than_pixels_or_a_line_is_told(answer: object, what: str) -> None:
    def decoder(data: bytes) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert fuzz.judged(decoder, b"")[0] == what


def test_growth_is_seen_and_loading_is_not() -> None:
    assert fuzz.growth([30.0] * 20 + [50.0] * 100) == 0
    assert fuzz.growth([number / 10 for number in range(400)]) == pytest.approx(20)
