"""Noise: white, in colour components, impulse, multiplicative, and denoised (types 11 to 15).

Variances are on the [0, 1] scale of pixel values.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from vlqa.data.degradations.scaling import UnitPixels, to_pixels, to_unit
from vlqa.types import Pixels

_RGB_FROM_YCBCR = np.array(
    [[1.164, 0.0, 1.596], [1.164, -0.392, -0.813], [1.164, 2.017, 0.0]], dtype=np.float32
)  # ITU-R BT.601, studio range: 219 steps of Y and 224 of Cb, Cr

_WINDOW_PX = 9
_SMOOTHING = 200.0
_SMOOTHING_POWER = 1.5  # more than in proportion: people call level 5 (1.47) worse than its noise left in (2.30)


def white_noise(image: Pixels, variance: float, generator: np.random.Generator) -> Pixels:
    """Add independent Gaussian noise to R, G and B."""
    return to_pixels(to_unit(image) + _gaussian(image.shape, variance, generator))


def white_noise_color_component(image: Pixels, variance: float, generator: np.random.Generator) -> Pixels:
    """Add independent Gaussian noise to Y, Cb and Cr; the way back to RGB amplifies it, mostly in colour."""
    noise = _gaussian(image.shape, variance, generator)
    return to_pixels(to_unit(image) + cv2.transform(noise, _RGB_FROM_YCBCR))


def impulse_noise(image: Pixels, density: float, generator: np.random.Generator) -> Pixels:
    """Set a share `density` of all channel values to 0 or 255 (salt and pepper, each channel for itself)."""
    result = image.copy()
    count = generator.binomial(image.size, density)
    places = generator.integers(image.size, size=count)
    result.reshape(-1)[places] = generator.integers(2, size=count, dtype=np.uint8) * np.uint8(255)
    return result


def multiplicative_noise(image: Pixels, variance: float, generator: np.random.Generator) -> Pixels:
    """Multiply each channel value by 1 + Gaussian noise (speckle)."""
    return to_pixels(to_unit(image) * (1 + _gaussian(image.shape, variance, generator)))


def denoise(image: Pixels, variance: float, generator: np.random.Generator) -> Pixels:
    """Add white noise and take it out again with an edge-keeping filter, which also takes out fine texture."""
    noisy = to_unit(image) + _gaussian(image.shape, variance, generator)
    np.clip(noisy, 0, 1, out=noisy)
    return to_pixels(_guided_filter(noisy, _SMOOTHING * variance**_SMOOTHING_POWER))


def _guided_filter(noisy: UnitPixels, regularization: float) -> UnitPixels:
    """Self-guided filter (He et al., 2013) of each channel: local linear fit, shrunk where variance is low."""
    mean = _box(noisy)
    # max(…, 0) against rounding: the difference of two close numbers in float32
    variance: UnitPixels = np.maximum(_box(noisy * noisy) - mean * mean, np.float32(0))
    slope: UnitPixels = variance / (variance + np.float32(regularization))
    offset: UnitPixels = mean - slope * mean
    return _box(slope) * noisy + _box(offset)


def _box(planes: UnitPixels) -> UnitPixels:
    return cv2.blur(planes, (_WINDOW_PX, _WINDOW_PX), borderType=cv2.BORDER_REFLECT)


def _gaussian(shape: tuple[int, ...], variance: float, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    return generator.standard_normal(shape, dtype=np.float32) * np.float32(math.sqrt(variance))
