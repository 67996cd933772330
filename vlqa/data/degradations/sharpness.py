"""Sharpness and contrast: high sharpen, contrast change (types 24 and 25)."""

from __future__ import annotations

import math

import cv2
import numpy as np

from vlqa.data.degradations.blur import gaussian_filter
from vlqa.data.degradations.scaling import UnitPixels, to_pixels, to_unit
from vlqa.types import Pixels

_DETAIL_SIGMA_PX = 2.0
_SLOPE_RATE = 2.0


def high_sharpen(image: Pixels, amount: float) -> Pixels:
    """Add `amount` times the fine detail of luminance (unsharp mask): halos and crisp noise."""
    luminance = to_unit(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    detail = luminance - gaussian_filter(luminance, _DETAIL_SIGMA_PX)
    return to_pixels(to_unit(image) + np.float32(amount) * detail[..., None])


def contrast_change(image: Pixels, amount: float) -> Pixels:
    """Steepen (above 0) or flatten (below 0) the tone curve around the mean; black and white stay.

    Two parabolas meet at the mean with slope exp(2·amount): people judge contrast by ratios, and find −0.6 as bad
    as +0.3 (KADID-10k's mean opinions 3.32 and 3.42). A cubic through black, mean and white would do for pictures of
    middle grey, but turns oranges red in dark ones.
    """
    mean = np.float32(np.clip(image.mean() / 255, 0.02, 0.98))
    slope = np.float32(math.exp(_SLOPE_RATE * amount))
    x = np.arange(256, dtype=np.float32) / np.float32(255)
    room = np.where(x < mean, -mean, 1 - mean)  # signed distance from the mean to the end of the curve
    share = (x - mean) / room
    curve: UnitPixels = (mean + room * (slope * share + (1 - slope) * share**2)).astype(np.float32)
    return to_pixels(curve)[image]
