"""What is known of a training picture: the labels that losses, captions and attributes are made from.

Every field may be missing (NaN, or −1 for classes), so that a set without scene labels still trains quality.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vlqa.types import Pixels

QUALITIES = ("bad", "poor", "fair", "good", "perfect")
SCENES = ("animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others")
DISTORTIONS = (
    "jpeg2000 compression", "jpeg compression", "noise", "blur", "color", "contrast",
    "overexposure", "underexposure", "spatial", "quantization", "other",
)  # fmt: skip
ATTRIBUTES = (
    "quality", "sharpness", "cleanliness", "compression", "exposure_high", "exposure_low",
    "brightness", "contrast", "colorfulness", "complexity",
)  # fmt: skip
"""Properties a pair of opposite sentences can name; 1 is the positive side of each (sharp, free of noise, bright…)."""

SHARP_UNTIL = (1, 2, 3)
NOISY = (11, 12, 13, 14)
COMPRESSED = (9, 10)
_AMBIGUOUS = {  # types after which nobody can say whether the property still holds
    "sharpness": (4, 5, 9, 10, 15, 19, 21, 24),
    "cleanliness": (6, 9, 10, 15, 19, 24),
    "compression": (6, 15, 19, 21, 22),
    "exposure_high": (18, 24, 25),
    "exposure_low": (18, 24, 25),
}


@dataclass
class Facts:
    """Labels of one picture, or with a leading axis of a batch.

    Attributes:
        set_id: pairs are compared only within a set (int64).
        mos: opinion on the scale 1–5, higher is better; NaN where unknown.
        scenes: (9,) 1 yes, 0 no, −1 unknown.
        distortion: index into DISTORTIONS or −1.
        type: KADID type 0–24 or −1; 25 is an undamaged picture.
        attributes: (10,) in [0, 1], NaN where unknown; order of ATTRIBUTES.
        content: index of the object class or −1.
        severity: 0 mild, 1 moderate, 2 severe, −1 unknown or undamaged.
    """

    set_id: int = 0
    mos: float = float("nan")
    scenes: npt.NDArray[np.int64] = field(default_factory=lambda: np.full(len(SCENES), -1))
    distortion: int = -1
    type: int = -1
    attributes: npt.NDArray[np.float32] = field(default_factory=lambda: np.full(len(ATTRIBUTES), np.nan, np.float32))
    content: int = -1
    severity: int = -1

    def tensors(self) -> dict[str, Tensor]:
        """Field name to tensor, ready for the default collation of a DataLoader."""
        return {f.name: torch.as_tensor(getattr(self, f.name)) for f in fields(self)}


def opinion_attribute(mos: float) -> float:
    """Opinion on 1–5 as a degree in [0, 1]."""
    return float(np.clip((mos - 1) / 4, 0, 1))


def damage_attributes(degraded_type: int | None, severity_free: float) -> dict[str, float]:
    """Degree of each damage attribute after one KADID type, or for an undamaged picture (`None`).

    Args:
        degraded_type: KADID number 1–25.
        severity_free: 1 where the damage cannot be seen, 0 at its worst.
    """
    degrees = dict.fromkeys(_AMBIGUOUS, 1.0)
    if degraded_type is None:
        return degrees
    for name, types in _AMBIGUOUS.items():
        if degraded_type in types:
            degrees[name] = float("nan")
    affected = {
        "sharpness": SHARP_UNTIL, "cleanliness": NOISY, "compression": COMPRESSED,
        "exposure_high": (16,), "exposure_low": (17,),
    }  # fmt: skip
    for name, types in affected.items():
        if degraded_type in types:
            degrees[name] = severity_free
    return degrees


def measured_attributes(image: Pixels) -> dict[str, float]:
    """Brightness, contrast, colourfulness and complexity as degrees in [0, 1], measured on the pixels.

    Each is a logistic of a plain statistic, centred on the median of ordinary photographs: mean luma; its deviation;
    Hasler and Süsstrunk's colourfulness (SPIE 2003, eq. 3–5); mean gradient of the picture at a quarter of its size
    (where noise no longer counts as detail).
    """
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA).astype(np.float32)
    luma = small @ np.array([0.299, 0.587, 0.114], np.float32)
    red_green = small[..., 0] - small[..., 1]
    yellow_blue = (small[..., 0] + small[..., 1]) / 2 - small[..., 2]
    colourfulness = np.hypot(red_green.std(), yellow_blue.std()) + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean())
    gradient = np.abs(np.diff(luma, axis=0)).mean() + np.abs(np.diff(luma, axis=1)).mean()
    return {
        "brightness": _logistic(luma.mean(), 110, 25),
        "contrast": _logistic(luma.std(), 45, 12),
        "colorfulness": _logistic(colourfulness, 34, 14),
        "complexity": _logistic(gradient, 25, 9),
    }


def _logistic(value: float, centre: float, scale: float) -> float:
    return float(1 / (1 + np.exp(-(value - centre) / scale)))


def attribute_vector(degrees: dict[str, float]) -> npt.NDArray[np.float32]:
    """Named degrees in the order of ATTRIBUTES; NaN where a name is missing."""
    return np.array([degrees.get(name, np.nan) for name in ATTRIBUTES], np.float32)
