"""Brightness: brighten, darken, mean shift (types 16 to 18)."""

from __future__ import annotations

import numpy as np

from vlqa.data.degradations.color import from_lab, to_lab
from vlqa.data.degradations.scaling import to_pixels, to_unit
from vlqa.types import Pixels


def brighten(image: Pixels, amount: float) -> Pixels:
    """Bend the tone curve of CIELAB lightness upwards; 1 sends middle grey to white."""
    return _bend_lightness(image, amount)


def darken(image: Pixels, amount: float) -> Pixels:
    """Bend the tone curve of CIELAB lightness downwards; 1 sends middle grey to black."""
    return _bend_lightness(image, -amount)


def mean_shift(image: Pixels, shift: float) -> Pixels:
    """Add `shift` (on the [0, 1] scale) to every channel."""
    return to_pixels(to_unit(image) + np.float32(shift))


def _bend_lightness(image: Pixels, bend: float) -> Pixels:
    """Parabola through black, white and (½, ½ + bend/2), clipped: beyond ±½ highlights or shadows drown."""
    lab = to_lab(image)
    lightness = lab[..., 0] * np.float32(0.01)
    curve = lightness + np.float32(2 * bend) * lightness * (1 - lightness)
    lab[..., 0] = np.clip(curve, 0, 1) * 100
    return from_lab(lab)
