"""Colour damage: diffusion, shift, palette, saturation (types 4 to 8)."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from vlqa.data.degradations.blur import gaussian_filter
from vlqa.data.degradations.scaling import to_pixels, to_unit
from vlqa.types import Pixels

_EDGE_CONTRAST = 0.06  # luminance step per pixel at which an edge counts as one

_PALETTE_SAMPLES = 4096


def color_diffusion(image: Pixels, amount: float) -> Pixels:
    """Let colours run: blur a and b of CIELAB with σ = 1.5·amount + 2 pixels and multiply them by `amount`."""
    lab = to_lab(image)
    lab[..., 1:] = gaussian_filter(np.ascontiguousarray(lab[..., 1:]), 1.5 * amount + 2.0) * np.float32(amount)
    return from_lab(lab)


def color_shift(image: Pixels, distance_px: float, generator: np.random.Generator) -> Pixels:
    """Move the green channel `distance_px` in a random direction wherever there are edges."""
    height, width = image.shape[:2]
    angle = generator.uniform(0, 2 * math.pi)
    move = np.array([[1, 0, distance_px * math.cos(angle)], [0, 1, distance_px * math.sin(angle)]])
    green = to_unit(np.ascontiguousarray(image[..., 1]))
    moved = cv2.warpAffine(green, move, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = _edge_map(image, reach_px=distance_px)
    result = image.copy()
    result[..., 1] = to_pixels(green + weight * (moved - green))
    return result


def _edge_map(image: Pixels, reach_px: float) -> npt.NDArray[np.float32]:
    """Weight in [0, 1] of each pixel: 1 within about `reach_px` of an edge, 0 in flat regions."""
    luminance = to_unit(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    slope = cv2.magnitude(
        cv2.Sobel(luminance, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(luminance, cv2.CV_32F, 0, 1, scale=1 / 8)
    )
    strength = np.minimum(slope * np.float32(1 / _EDGE_CONTRAST), 1)
    side = 2 * math.ceil(reach_px / 2) + 1
    spread = cv2.dilate(strength, np.ones((side, side), np.uint8))  # the ghost must be seen beside its edge
    return cv2.blur(spread, (side, side), borderType=cv2.BORDER_REFLECT)


def color_quantization(image: Pixels, colors: float) -> Pixels:
    """Reduce to a palette of `colors` fitted to the picture, with error-diffusion dithering."""
    stride = max(1, math.isqrt(image.shape[0] * image.shape[1] // _PALETTE_SAMPLES))
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette(image[::stride, ::stride].reshape(-1, 3), round(colors)).tobytes())
    dithered = Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    return np.array(dithered.convert("RGB"))


def _palette(samples: Pixels, colors: int) -> Pixels:
    """At most `colors` colours by minimum variance: split the cluster of largest error at its mean, and again.

    Median cut (Pillow's) takes 75 ms on 256×256 pixels and splits by population: the few saturated pixels of a
    photograph turn grey. A cluster is split across its principal axis.
    """
    clusters = [_Cluster(samples.astype(np.float32))]
    while len(clusters) < colors:
        worst = max(clusters, key=lambda cluster: cluster.error)
        if worst.error <= 0:
            break  # every cluster is a single colour: the picture has fewer than were asked for
        clusters.remove(worst)
        clusters += worst.halves()
    return np.rint([cluster.mean for cluster in clusters]).astype(np.uint8)


class _Cluster:
    """Samples (n, 3), their mean, and the squared error along their principal axis."""

    def __init__(self, samples: npt.NDArray[np.float32]) -> None:
        self.samples = samples
        self.mean = samples.mean(axis=0)
        centred = samples - self.mean
        errors, axes = np.linalg.eigh(centred.T @ centred)
        self._along = centred @ axes[:, -1]
        self.error = float(errors[-1]) if (self._along > 0).any() and (self._along <= 0).any() else 0.0

    def halves(self) -> tuple[_Cluster, _Cluster]:
        above = self._along > 0
        return _Cluster(self.samples[above]), _Cluster(self.samples[~above])


def saturation_hsv(image: Pixels, factor: float) -> Pixels:
    """Multiply the saturation of HSV by `factor`; below 0 hues turn into their complements.

    With hue and value kept, each channel c of HSV is V − S·V·g(hue), so that scaling S is scaling V − c: no
    conversion is needed, and the formula goes on naturally below 0.
    """
    unit = to_unit(image)
    value = np.maximum(np.maximum(unit[..., :1], unit[..., 1:2]), unit[..., 2:])  # 8× faster than max(axis=2)
    return to_pixels(value - np.float32(factor) * (value - unit))


def saturation_lab(image: Pixels, factor: float) -> Pixels:
    """Multiply a and b of CIELAB by `factor`."""
    lab = to_lab(image)
    lab[..., 1:] *= np.float32(factor)
    return from_lab(lab)


def to_lab(image: Pixels) -> npt.NDArray[np.float32]:
    """SRGB pixels as CIELAB (D65): L in [0, 100], a and b unbounded."""
    return cv2.cvtColor(to_unit(image), cv2.COLOR_RGB2Lab)


def from_lab(lab: npt.NDArray[Any]) -> Pixels:
    """CIELAB (D65) as sRGB pixels; colours outside the gamut are clipped by channel."""
    return to_pixels(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB))
