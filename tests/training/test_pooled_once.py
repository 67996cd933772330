from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vlqa.training.pooled_once import PooledOnce


class Pooled:
    """Mean and largest value; and how many pictures were asked for."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.count += len(images)
        values = images.float().flatten(1)
        return torch.stack([values.mean(dim=1), values.amax(dim=1)], dim=1)


IMAGES = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
IDENTITIES = torch.tensor([5, -7, 5, 2**62, 0, 1])


def images() -> Tensor:
    given = IMAGES.clone()
    given[2] = given[0]  # one identity, one picture
    return given


def test_many_pictures_are_pooled_in_parts() -> None:
    asked: list[int] = []

    def pooled(images: Tensor) -> Tensor:
        asked.append(len(images))
        return Pooled()(images)

    many = torch.randint(0, 256, (37, 3, 2, 2), dtype=torch.uint8)
    torch.testing.assert_close(PooledOnce(pooled, None, 2)(many, torch.arange(37)), Pooled()(many))
    assert sum(asked) == 37 and max(asked) <= 16


def test_a_picture_is_pooled_once() -> None:
    pooled = Pooled()
    once = PooledOnce(pooled, None, 2)
    for rows in (slice(0, 4), slice(None), slice(3, 6)):
        found = once(images()[rows], IDENTITIES[rows])
        torch.testing.assert_close(found, Pooled()(images()[rows]))
    assert pooled.count == 5


def test_a_later_run_of_the_same_trunk_reads_them(tmp_path: Path) -> None:
    PooledOnce(Pooled(), tmp_path, 2)(images()[:4], IDENTITIES[:4])
    (file,) = tmp_path.rglob("*.bin")
    with file.open("r+b") as cut:
        cut.truncate(file.stat().st_size - 3)  # killed within the last record
    pooled = Pooled()
    once = PooledOnce(pooled, tmp_path, 2)
    torch.testing.assert_close(once(images(), IDENTITIES), Pooled()(images()))
    assert pooled.count == 3  # the record that was cut, and two new ones
    again = Pooled()
    torch.testing.assert_close(PooledOnce(again, tmp_path, 2)(images(), IDENTITIES), Pooled()(images()))
    assert again.count == 0
