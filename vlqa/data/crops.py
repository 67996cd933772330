"""What all training data share: photographs drawn at random, crops, and damage as dense as on a whole picture."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vlqa.data.degradations import LEVELS, TYPES, degrade_by
from vlqa.data.images import decode
from vlqa.errors import ImageDecodeError, ManifestError
from vlqa.types import Pixels

_COUNTED = (20, 23)  # parameters that count patches on a whole picture, which KADID-10k's 512×384 is
_KADID_AREA_PX = 512 * 384


class PhotoReader:
    """Draws pictures at random; one that cannot be read is named once, by one worker for all, and another drawn.

    Args:
        paths: to draw from.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self._broken = torch.zeros(len(self.paths), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]

    def draw(self, rng: np.random.Generator) -> tuple[int, Pixels]:
        """A row of the list and the decoded picture.

        Raises:
            ManifestError: a hundred in a row could not be read.
        """
        return self.read(int(rng.integers(len(self.paths))), rng)

    def read(self, row: int, rng: np.random.Generator) -> tuple[int, Pixels]:
        """A row's picture; another row and its picture where that cannot be read.

        Raises:
            ManifestError: a hundred in a row could not be read.
        """
        for _ in range(100):
            try:
                return row, decode(self.paths[row])
            except ImageDecodeError as error:
                if not self._broken[row]:
                    self._broken[row] = True
                    warnings.warn(f"left out of training: {error}", stacklevel=4)
            row = int(rng.integers(len(self.paths)))
        raise ManifestError("100 pictures in a row could not be read; see the warnings above")


@functools.lru_cache(maxsize=64)
def order_of_round(seed: int, stream: int, number: int, count: int) -> npt.NDArray[np.int64]:
    """The order in which round `number` goes through `count` things, each once; another one for each stream."""
    order = np.random.default_rng([seed, stream, number]).permutation(count)
    order.setflags(write=False)
    return order


def random_crop(image: Pixels, size: int, rng: np.random.Generator, *, whole: bool = False) -> Pixels:
    """A size×size crop at a random scale and place, mirrored half of the time.

    The picture is first reduced so that the crop shows between a part and nearly all of its shorter side; it is
    enlarged only where it is smaller than the crop. `whole` always shows all of the shorter side.
    """
    shorter = min(image.shape[:2])
    target = size if whole else max(size, round(shorter * rng.uniform(min(1.0, size / shorter), 1.0)))
    if target != shorter:
        factor = target / shorter
        width, height = (max(size, round(side * factor)) for side in (image.shape[1], image.shape[0]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    top, left = (int(rng.integers(0, side - size + 1)) for side in image.shape[:2])
    crop = image[top : top + size, left : left + size]
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def degrade_crop(image: Pixels, number: int, level: float, rng: np.random.Generator) -> Pixels:
    """Damage a crop as densely as the whole picture of which it could be a part.

    Args:
        image: at least 16 px on each side; it is not changed.
        number: type, 1 to 25.
        level: 1 to 5; between levels the parameter is interpolated.
        rng: source of randomness.
    """
    parameter = float(np.interp(level, np.arange(1, LEVELS + 1), TYPES[number - 1].levels))
    if number in _COUNTED:  # but always to be seen
        expected = parameter * image.shape[0] * image.shape[1] / _KADID_AREA_PX
        parameter = max(1, math.floor(expected + rng.random()))
    return degrade_by(image, number, parameter, rng)


def as_tensor(image: Pixels) -> Tensor:
    """H×W×3 uint8 array to (3, h, w) uint8 tensor."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
