"""Sharpness and contrast: high sharpen, contrast change (types 24 and 25)."""

from __future__ import annotations

import math

import cv2
import numpy as np

from vlqa.data.degradations.blur import gaussian_filter
from vlqa.data.degradations.scaling import to_pixels, to_unit
from vlqa.types import Pixels

_DETAIL_SIGMA_PX = 2.0
_SLOPE_RATE = 4 / 3  # for small amounts, the curve through (¼, ¼ − a/4) and (¾, ¾ + a/4)


def high_sharpen(image: Pixels, amount: float) -> Pixels:
    """Add `amount` times the fine detail of luminance (unsharp mask): halos and crisp noise."""
    luminance = to_unit(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    detail = luminance - gaussian_filter(luminance, _DETAIL_SIGMA_PX)
    return to_pixels(to_unit(image) + np.float32(amount) * detail[..., None])


def contrast_change(image: Pixels, amount: float) -> Pixels:
    """Steepen (above 0) or flatten (below 0) the tone curve around the mean; black and white stay.

    The curve is x + c·x(1 − x)(x − mean) with c such that the slope at the mean is exp(4/3·amount): people
    judge contrast by ratios, and find −0.6 as bad as +0.3 (KADID-10k's mean opinions 3.32 and 3.42).
    """
    pivot = float(np.clip(image.mean() / 255, 0.25, 0.75))  # the curve folds for pivots near black or white
    x = np.arange(256, dtype=np.float32) / np.float32(255)
    gain = math.expm1(_SLOPE_RATE * amount) / (pivot * (1 - pivot))
    return to_pixels(x + np.float32(gain) * x * (1 - x) * (x - np.float32(pivot)))[image]
