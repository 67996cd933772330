"""36 natural scene statistics of a picture, the features of BRISQUE: the baseline without any learned encoder.

A. Mittal, A. K. Moorthy, A. C. Bovik, "No-Reference Image Quality Assessment in the Spatial Domain", IEEE TIP 21(12),
2012. Luminance is normalised by its own neighbourhood (MSCN coefficients); of a photograph without damage these follow
a Gaussian closely, and damage changes the shape. At each of two scales, the picture and its half:

- shape and variance of a generalised Gaussian fitted to the coefficients: 2 numbers;
- shape, mean, and variances left and right of zero of an asymmetric generalised Gaussian fitted to the products of
  neighbours along four directions: 16 numbers.

Own code from the equations of the paper; its support vector machine, learned on LIVE, is not part of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import gamma

from vlqa.data.images import decode
from vlqa.types import Pixels

WIDTH = 36
Plane = npt.NDArray[np.float64]

_RADIUS, _SIGMA = 3, 7 / 6
_SHAPES = np.arange(0.2, 10.001, 0.001)
# (E|x|)² / E[x²] of a generalised Gaussian, rising with its shape
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def embed(pictures: Iterable[Path]) -> npt.NDArray[np.float64]:
    """(n, 36), a row a picture."""
    return np.array([features(decode(picture)) for picture in pictures]).reshape(-1, WIDTH)


def features(pixels: Pixels) -> npt.NDArray[np.float64]:
    """The 36 numbers of a picture (h, w, 3)."""
    grey = pixels.astype(np.float64) @ [0.299, 0.587, 0.114]
    half = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.concatenate([of_scale(grey), of_scale(half)])


def of_scale(grey: Plane) -> npt.NDArray[np.float64]:
    """18 numbers of luminance 0–255."""
    normalised = mscn(grey)
    numbers = [*generalised_gaussian(normalised)]
    for down, right in _NEIGHBOURS:
        numbers += asymmetric_gaussian(normalised * np.roll(normalised, (-down, -right), axis=(0, 1)))
    return np.array(numbers)


def mscn(grey: Plane) -> Plane:
    """Each value less the local mean, over the local deviation + 1 (windows 7×7, σ = 7/6)."""
    side = 2 * _RADIUS + 1
    mean = cv2.GaussianBlur(grey, (side, side), _SIGMA, borderType=cv2.BORDER_REPLICATE)
    square = cv2.GaussianBlur(grey * grey, (side, side), _SIGMA, borderType=cv2.BORDER_REPLICATE)
    return (grey - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)


def generalised_gaussian(values: Plane) -> tuple[float, float]:
    """Shape and variance of the generalised Gaussian with the same E|x| and E[x²]."""
    variance = float(np.mean(values**2))
    return _shape(float(np.mean(np.abs(values))) ** 2, variance), variance


def asymmetric_gaussian(values: Plane) -> tuple[float, float, float, float]:
    """Shape, mean, left and right variance of an asymmetric generalised Gaussian, by its moments.

    N. Lasmar, Y. Stitou, Y. Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", ICIP 2009.
    """
    left, right = _mean_square(values[values < 0]), _mean_square(values[values > 0])
    spread = float(np.sqrt(left) / np.sqrt(right)) if right > 0 else 1.0
    ratio = float(np.mean(np.abs(values))) ** 2 / (float(np.mean(values**2)) or 1.0)
    ratio *= (spread**3 + 1) * (spread + 1) / (spread**2 + 1) ** 2
    shape = _shape(ratio, 1.0)
    mean = (np.sqrt(right) - np.sqrt(left)) * gamma(2 / shape) / np.sqrt(gamma(1 / shape) * gamma(3 / shape))
    return shape, float(mean), left, right


def _shape(squared_mean: float, variance: float) -> float:
    """The shape whose ratio is nearest; a plane without any structure counts as Gaussian."""
    if variance < 1e-12:
        return 2.0
    place = int(np.clip(np.searchsorted(_RATIOS, squared_mean / variance), 0, len(_SHAPES) - 1))
    return float(_SHAPES[place])


def _mean_square(values: Plane) -> float:
    return float(np.mean(values**2)) if values.size else 0.0
