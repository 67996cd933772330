"""What CLIP backbones are tuned on without labels: whole squares, and crops under rising damage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vlqa.data.crops import as_tensor, degrade_crop
from vlqa.data.degradations import LEVELS, TYPES
from vlqa.data.pretext.datasets import PretextSet
from vlqa.data.pretext.views import at_least, overlapping_corners, reduced_to
from vlqa.types import Pixels

_SIGNED = (18, 25)  # types whose level 3 is the original: damage grows towards both ends


class CentreSquares(PretextSet):
    """The centre of a photograph whose shorter side is brought to `size` (GRepQ's high level, arXiv 2312.04838)."""

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`image` (3, size, size)."""
        _, photo = self.reader.draw(rng)
        photo = reduced_to(at_least(photo, self.size), self.size)
        top, left = ((side - self.size) // 2 for side in photo.shape[:2])
        return {"image": as_tensor(photo[top : top + self.size, left : left + self.size])}


class RisingDamage(PretextSet):
    """Two overlapping crops of a photograph under one damage at rising levels (QualiCLIP, arXiv 2403.11176).

    Args:
        photos: paths.
        seed: with its number it decides everything about a sample.
        size: side of a crop, px.
        levels: how many, the first the mildest.
    """

    def __init__(self, photos: Sequence[Path], *, seed: int, size: int, levels: int = LEVELS) -> None:
        super().__init__(photos, seed=seed, size=size)
        self.levels = levels

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`image` (2, levels, 3, size, size)."""
        _, photo = self.reader.draw(rng)
        photo = at_least(photo, self.size)
        number = int(rng.integers(1, len(TYPES) + 1))
        mildest, worst = (LEVELS // 2 + 1, int(rng.choice([1, LEVELS]))) if number in _SIGNED else (1, LEVELS)
        strengths = np.linspace(mildest, worst, self.levels).tolist()
        corners = overlapping_corners(photo.shape[0], photo.shape[1], self.size, rng, (0.3, 0.7))
        crops = [photo[y : y + self.size, x : x + self.size] for y, x in corners]

        def damaged(crop: Pixels, level: float) -> Tensor:  # by the same draw at every place and level
            return as_tensor(degrade_crop(crop, number, level, np.random.default_rng([self.seed, 11, index])))

        return {"image": torch.stack([torch.stack([damaged(crop, level) for level in strengths]) for crop in crops])}
