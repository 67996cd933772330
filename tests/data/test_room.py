from __future__ import annotations

import io
import itertools
import threading
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import vlqa.data.room
from tests.hostile import encode, sample
from vlqa.data.room import BYTES_PER_PIXEL, Room
from vlqa.errors import ImageDecodeError
from vlqa.pipeline import Route, encode_images
from vlqa.types import Pixels

SIDE = 100
NEED = BYTES_PER_PIXEL * SIDE * SIDE


def square(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((SIDE, SIDE, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def whole(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1)[None]))


def means(patches: Tensor) -> Tensor:
    return patches.float().mean(dim=(2, 3))


class Busy:
    """Counts how many pictures are prepared at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, pixels: Pixels) -> Tensor:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        return whole(pixels)


def free(monkeypatch: pytest.MonkeyPatch, bytes_free: int) -> None:
    monkeypatch.setattr(vlqa.data.room, "free_memory_bytes", lambda: bytes_free)


@pytest.mark.parametrize(("fit", "most"), [(0.1, {1}), (1.5, {1}), (3.5, {2, 3})])
def test_pictures_that_do_not_fit_beside_each_other_wait(
    monkeypatch: pytest.MonkeyPatch, fit: float, most: set[int]
) -> None:
    free(monkeypatch, int(8 * fit * NEED) + NEED)
    busy = Busy()
    found = list(encode_images([square(value) for value in range(12)], [Route(busy, means)], workers=4))
    assert [float(item.features[0][0, 0]) for item in found if item.features is not None] == list(range(12))
    assert busy.most in most


def test_what_waits_decoded_for_its_turn_takes_room_too() -> None:
    room = Room(limit=2 * NEED)
    room.enter(1, SIDE, SIDE)
    room.leave(1, 3 * SIDE * SIDE)
    entered = threading.Event()

    def next_one() -> None:
        room.enter(2, SIDE, 2 * SIDE)
        entered.set()

    thread = threading.Thread(target=next_one, daemon=True)
    thread.start()
    assert not entered.wait(0.05)
    room.enter(0, SIDE, 5 * SIDE)  # its turn: however little room there is
    room.leave(0, 0)
    room.next_turn()
    assert not entered.wait(0.05)
    room.next_turn()
    assert entered.wait(5)
    thread.join()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_memory_cannot_hold_is_refused_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    free(monkeypatch, NEED // 2)
    monkeypatch.setattr(vlqa.data.room, "_CERTAIN", NEED // 2)
    small = encode(sample(8, 8), "PNG")
    found = list(encode_images([small, square(1), small], [Route(whole, means)], workers=workers))
    assert [item.error is None for item in found] == [True, False, True]
    assert "has 100×100 pixels, which take 0.0 GB of memory" in str(found[1].error)
    assert isinstance(found[1].error, ImageDecodeError)


def test_freed_memory_goes_back_to_the_system_before_a_picture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([NEED // 2, 2 * NEED])
    returned: list[int] = []
    monkeypatch.setattr(vlqa.data.room, "free_memory_bytes", lambda: next(answers))
    monkeypatch.setattr(vlqa.data.room, "return_freed_memory", lambda: returned.append(1))
    monkeypatch.setattr(vlqa.data.room, "_CERTAIN", NEED // 2)
    Room(limit=NEED).enter(0, SIDE, SIDE)
    assert returned == [1]


def test_a_format_may_take_more_room_than_others() -> None:
    room = Room(limit=3 * NEED // 2)
    room.enter(1, SIDE, SIDE // 3, "WEBP")
    ended = threading.Thread(
        target=room.enter, args=(2, SIDE, SIDE), daemon=True
    )  # would fit beside a PNG of this size
    ended.start()
    ended.join(0.05)
    assert ended.is_alive()
    room.leave(1, 0)
    ended.join(5)
    assert not ended.is_alive()


def test_an_early_end_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 2 * NEED)
    images: Iterator[bytes] = (square(next(number) % 200) for number in itertools.repeat(itertools.count()))
    stream = encode_images(images, [Route(whole, means)], workers=3, batch_size=1)
    next(stream)
    ended = threading.Thread(target=stream.close, daemon=True)
    ended.start()
    ended.join(10)
    assert not ended.is_alive()
    assert not any(thread.name.startswith("vlqa-decode") for thread in threading.enumerate())


def test_an_error_holds_no_pixels() -> None:
    held: list[weakref.ref[Pixels]] = []

    def prepare(pixels: Pixels) -> Tensor:
        copy = pixels.copy()
        held.append(weakref.ref(copy))
        try:
            raise KeyError("first")
        except KeyError:
            raise ImageDecodeError("too narrow") from None

    (found,) = encode_images([square(1)], [Route(prepare, means)], workers=1)
    assert "too narrow" in str(found.error)
    assert [reference() for reference in held] == [None]
