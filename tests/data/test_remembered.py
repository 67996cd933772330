from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.recipe import losses, recipe
from vlqa.data.remembered import Remembered
from vlqa.errors import ConfigError
from vlqa.training.loop import train


class Counted:
    """Numbers as pictures, and how often each was made."""

    def __init__(self) -> None:
        self.made: list[tuple[int, int]] = []

    def sample(self, number: int, size: int) -> dict[str, Tensor]:
        self.made.append((number, size))
        image = torch.arange(3 * size * size, dtype=torch.uint8).reshape(3, size, size) + number
        return {"image": image, "mos": torch.tensor(float(number))}


def remembered(folder: Path, source: Counted, **options: object) -> Remembered:
    given = {"count": 6, "sizes": [4, 8], "seed": 1, "group": 2} | options
    return Remembered(source, folder, **given)  # type: ignore[arg-type]


def test_each_sample_is_made_once_and_comes_again_in_another_order(tmp_path: Path) -> None:
    source = Counted()
    kept = remembered(tmp_path, source)
    source.made.clear()
    rounds = [[float(kept.sample(number, 8)["mos"]) for number in range(start, start + 6)] for start in (0, 6, 12)]
    assert len(source.made) == 6 and all(sorted(numbers) == list(range(6)) for numbers in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    for numbers in rounds:
        assert all(second == first + 1 for first, second in zip(numbers[::2], numbers[1::2], strict=True))


def test_what_is_given_does_not_depend_on_when_it_was_made(tmp_path: Path) -> None:
    first = remembered(tmp_path / "a", Counted())
    forwards = [first.sample(number, 4) for number in range(20)]
    source = Counted()
    second = remembered(tmp_path / "a", source)
    other = remembered(tmp_path / "b", Counted())
    for number in reversed(range(20)):
        for again in (second.sample(number, 4), other.sample(number, 4)):
            assert torch.equal(again["image"], forwards[number]["image"]) and again["mos"] == forwards[number]["mos"]
    assert not source.made
    images = {forwards[number]["image"].numpy().tobytes() for number in range(20)}
    assert 6 < len(images) <= 12  # mirrored or not
    never = remembered(tmp_path / "a", Counted(), mirrored=False)
    assert len({never.sample(number, 4)["image"].numpy().tobytes() for number in range(20)}) == 6


def test_keeps_what_a_teacher_sees(tmp_path: Path) -> None:
    kept = remembered(tmp_path, Counted(), further=lambda image: {"taught": image.float().mean((1, 2))})
    sample = kept.sample(0, 4)
    assert sample["taught"].dtype == torch.float16
    torch.testing.assert_close(sample["taught"].float(), sample["image"].float().mean((1, 2)), rtol=1e-3, atol=0.1)


def test_an_identity_is_that_of_the_pixels(tmp_path: Path) -> None:
    sources = [remembered(tmp_path / name, Counted()) for name in "ab"]
    pixels: dict[int, bytes] = {}
    for source in sources:
        for number in range(40):
            for size in (4, 8):
                sample = source.sample(number, size)
                key = sample["image"].numpy().tobytes()
                assert pixels.setdefault(int(sample["identity"]), key) == key
    assert len(set(pixels.values())) == len(pixels)


def test_groups_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="6 samples are no multiple of the 4"):
        remembered(tmp_path, Counted(), group=4)


def test_a_run_on_remembered_samples_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    document = recipe(tmp_path)
    document["data"]["remember"] = {"folder": str(tmp_path / "kept"), "renderings": 8, "others": 6}
    document["data"] |= {"unlabelled": document["data"]["photos"], "unlabelled_per_batch": 2}
    train(document | {"output": str(tmp_path / "whole")}, quiet=True)
    train(document, quiet=True, limit_steps=3)
    train(document, quiet=True, resume=True)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert np.isfinite([row["loss"] for row in losses(tmp_path / "run")]).all()
