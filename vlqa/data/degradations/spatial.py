"""Spatial damage: jitter, displaced patches, pixelation, grey levels, colour blocks (types 19 to 23)."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from vlqa.types import Pixels

_WARPS = 5
_TILE_PX = 2048
_PATCH_PX = 16
_PATCH_MOVE_PX = 16
_BLOCK_PX = 32


def jitter(image: Pixels, amount_px: float, generator: np.random.Generator) -> Pixels:
    """Scatter pixels: five warps in turn, each moving every pixel by Gaussian noise of `amount_px`."""
    height, width = image.shape[:2]
    for _ in range(_WARPS):
        warped = np.empty_like(image)
        # In tiles, because cv2.remap stops at 32 766 px a side and the moves of a whole large picture are huge.
        for top in range(0, height, _TILE_PX):
            for left in range(0, width, _TILE_PX):
                _scatter_tile(image, warped, top, left, amount_px, generator)
        image = warped
    return image


def _scatter_tile(
    source: Pixels, target: Pixels, top: int, left: int, amount_px: float, generator: np.random.Generator
) -> None:
    """Fill the tile of `target` whose corner is (top, left) with scattered pixels of `source`."""
    tile = target[top : top + _TILE_PX, left : left + _TILE_PX]
    height, width = tile.shape[:2]
    move = generator.standard_normal((2, height, width), dtype=np.float32) * np.float32(amount_px)
    margin = math.ceil(float(np.abs(move).max())) + 1
    above, before = min(margin, top), min(margin, left)
    around = source[top - above : top + height + margin, left - before : left + width + margin]
    y, x = np.indices((height, width), dtype=np.float32)
    tile[:] = cv2.remap(
        np.ascontiguousarray(around),
        x + move[0] + np.float32(before),
        y + move[1] + np.float32(above),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )


def non_eccentricity_patch(image: Pixels, count: float, generator: np.random.Generator) -> Pixels:
    """Overwrite `count` patches of 16×16 with what stands about 16 px beside them in a random direction."""
    height, width = image.shape[:2]
    # A patch leaves room to move: half the side in pictures below 32 px.
    patch_h, patch_w = min(_PATCH_PX, height // 2), min(_PATCH_PX, width // 2)
    result = image.copy()
    for _ in range(round(count)):
        top, left = generator.integers(height - patch_h + 1), generator.integers(width - patch_w + 1)
        angle = generator.uniform(0, 2 * math.pi)
        from_top = _moved(top, _PATCH_MOVE_PX * math.sin(angle), height - patch_h)
        from_left = _moved(left, _PATCH_MOVE_PX * math.cos(angle), width - patch_w)
        source = image[from_top : from_top + patch_h, from_left : from_left + patch_w]
        result[top : top + patch_h, left : left + patch_w] = source
    return result


def _moved(start: int, by: float, last: int) -> int:
    """`start` moved by `by`; a move that would leave 0…last goes the other way, or as far as there is room."""
    target = start + round(by)
    if not 0 <= target <= last:
        target = start - round(by)
    return min(max(target, 0), last)


def pixelate(image: Pixels, amount: float) -> Pixels:
    """Drop rows and columns until a share 0.95 − amount^0.6 is left, and repeat the rest to the old size."""
    height, width = image.shape[:2]
    share = max(0.95 - amount**0.6, 0.0)
    small = (max(1, round(width * share)), max(1, round(height * share)))
    dropped = cv2.resize(image, small, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(dropped, (width, height), interpolation=cv2.INTER_NEAREST)


def quantization(image: Pixels, levels: float) -> Pixels:
    """Leave `levels` values a channel can take, chosen for the least squared error over the picture."""
    histogram = np.bincount(image.reshape(-1), minlength=256).astype(np.float64)
    return _least_squares_levels(histogram, round(levels))[image]


def _least_squares_levels(histogram: npt.NDArray[np.float64], levels: int) -> npt.NDArray[np.uint8]:
    """Table of 256 values → the nearest of the best `levels` ones; exact, by dynamic programming.

    This is Otsu's criterion for many thresholds. Exactness makes the error fall with every further level.
    """
    used = np.flatnonzero(histogram)
    if len(used) <= levels:
        return np.arange(256, dtype=np.uint8)
    weight, first, second = (np.cumsum(np.r_[0.0, histogram[used] * used.astype(np.float64) ** k]) for k in range(3))
    # cost[i, j]: squared error of used[i:j] around their mean, for i < j
    mass = weight[None, :] - weight[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = (second[None, :] - second[:, None]) - (first[None, :] - first[:, None]) ** 2 / mass
    cost[mass <= 0] = np.inf
    best, choices = cost[0], []
    for _ in range(levels - 1):
        total = best[:, None] + cost
        choice = total.argmin(axis=0)
        best = total[choice, np.arange(len(choice))]
        choices.append(choice)
    table = np.arange(256, dtype=np.uint8)
    end = len(used)
    for choice in [*reversed(choices), np.zeros(len(used) + 1, dtype=np.intp)]:
        start = int(choice[end])
        mean = (first[end] - first[start]) / (weight[end] - weight[start])
        table[used[start:end]] = round(mean)
        end = start
    return table


def color_block(image: Pixels, count: float, generator: np.random.Generator) -> Pixels:
    """Cover `count` blocks of 32×32 with random colours."""
    height, width = image.shape[:2]
    block_h, block_w = min(_BLOCK_PX, height), min(_BLOCK_PX, width)
    result = image.copy()
    for _ in range(round(count)):
        top, left = generator.integers(height - block_h + 1), generator.integers(width - block_w + 1)
        result[top : top + block_h, left : left + block_w] = generator.integers(256, size=3, dtype=np.uint8)
    return result
