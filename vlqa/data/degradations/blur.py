"""Blurs: Gaussian, lens, motion (types 1 to 3). Borders are mirrored, so that no dark frame appears."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vlqa.types import Pixels

_EXACT_SIGMA = 6.0
_TRUNCATE = 3.0  # radius of the Gaussian window in standard deviations: 99.7 % of its mass


def gaussian_filter(planes: npt.NDArray[Any], sigma: float) -> npt.NDArray[Any]:
    """Gaussian filter of each plane with mirrored borders.

    Above σ = 6 the planes are first shrunk by area and the result is enlarged again: the high frequencies lost on
    the way are ones that the filter removes anyway, and the cost no longer grows with σ.

    Args:
        planes: uint8 or float32, H×W or H×W×c.
        sigma: standard deviation in pixels, above 0.

    Returns:
        The same shape and dtype.
    """
    height, width = planes.shape[:2]
    step = min(int(sigma / 3.0), min(height, width) // 8) if sigma > _EXACT_SIGMA else 1
    if step < 2:
        size = 2 * math.ceil(_TRUNCATE * sigma) + 1
        return cv2.GaussianBlur(planes, (size, size), sigma, borderType=cv2.BORDER_REFLECT)
    small = cv2.resize(planes, (width // step, height // step), interpolation=cv2.INTER_AREA)
    blurred = gaussian_filter(small, sigma / step)
    return cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC)


def gaussian_blur(image: Pixels, sigma: float) -> Pixels:
    """Blur with a Gaussian of `sigma` pixels."""
    return gaussian_filter(image, sigma)


def lens_blur(image: Pixels, radius: float) -> Pixels:
    """Blur with a disc of `radius` pixels, as a lens out of focus does."""
    return cv2.filter2D(image, -1, _disc(radius), borderType=cv2.BORDER_REFLECT)


def motion_blur(image: Pixels, length: float, generator: np.random.Generator) -> Pixels:
    """Blur along a line of `length` pixels at a random angle."""
    kernel = _line(length, angle=generator.uniform(0, math.pi))
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT)


def _disc(radius: float) -> npt.NDArray[np.float32]:
    """Kernel whose weights are about the share of each pixel that the disc covers."""
    x, y = _grid(radius + 0.5)
    return _normalised(radius + 0.5 - np.hypot(x, y))


def _line(length: float, angle: float) -> npt.NDArray[np.float32]:
    """Kernel of an antialiased segment: weights fall linearly to 0 one pixel away from it."""
    half = max(length - 1.0, 0.0) / 2  # the two end pixels add half a pixel each
    x, y = _grid(half + 1.0)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    return _normalised(1.0 - np.hypot(np.maximum(np.abs(along) - half, 0.0), across))


def _grid(radius: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    reach = math.ceil(radius) - 1  # weights are 0 from `radius` on
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    return steps[None, :], steps[:, None]


def _normalised(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    clipped = np.clip(weights, 0.0, 1.0)
    return (clipped / clipped.sum()).astype(np.float32)
