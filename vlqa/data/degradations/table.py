"""The table of the 25 types, and the functions that apply it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vlqa.data.degradations import blur, brightness, color, compression, noise, sharpness, spatial
from vlqa.errors import ConfigError
from vlqa.types import Pixels

LEVELS = 5
MIN_SIDE_PX = 16


@dataclass(frozen=True)
class DegradationType:
    """One kind of damage.

    Attributes:
        number: 1 to 25, KADID-10k's order.
        name: KADID-10k's name, as in the table of mean opinions.
        levels: the parameter at levels 1 to 5.
        group: family of the damage: blur, color, compression, noise, brightness, spatial or sharpness.
        distortion: LIQE's word for it, one of its 11 distortions.
        neutral: parameter that leaves the picture as it is, where there is one; damage grows with the distance to it.
        bounds: smallest and largest parameter that `degrade_by` takes.
        random: whether the result depends on the generator.
        operation: the function, `operation(image, parameter)` or `operation(image, parameter, generator)`.
    """

    number: int
    name: str
    levels: tuple[float, float, float, float, float]
    group: str
    distortion: str
    neutral: float | None
    bounds: tuple[float, float]
    random: bool
    operation: Callable[..., Pixels] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


# fmt: off
TYPES: tuple[DegradationType, ...] = tuple(DegradationType(*row) for row in (
    (1, "gaussian blur", (0.1, 0.5, 1, 2, 5), "blur", "blur", 0.0, (0, 100), False, blur.gaussian_blur),
    (2, "lens blur", (1, 2, 4, 6, 8), "blur", "blur", 0.0, (0, 100), False, blur.lens_blur),
    (3, "motion blur", (1, 2, 4, 6, 10), "blur", "blur", 1.0, (1, 200), True, blur.motion_blur),
    (4, "color diffusion", (1, 3, 6, 8, 12), "color", "color", None, (0, 100), False, color.color_diffusion),
    (5, "color shift", (1, 3, 6, 8, 12), "color", "blur", 0.0, (0, 100), True, color.color_shift),
    (6, "color quantization", (64, 48, 32, 16, 8), "color", "quantization", None, (2, 256), False,
     color.color_quantization),
    (7, "color saturation hsv", (0.4, 0.2, 0.1, 0, -0.4), "color", "color", 1.0, (-1, 10), False,
     color.saturation_hsv),
    (8, "color saturation lab", (1, 2, 3, 6, 9), "color", "color", 1.0, (0, 100), False, color.saturation_lab),
    (9, "jpeg2000", (16, 32, 45, 120, 170), "compression", "jpeg2000 compression", 1.0, (1, 1000), False,
     compression.jpeg2000),
    (10, "jpeg", (43, 36, 24, 7, 4), "compression", "jpeg compression", None, (1, 100), False, compression.jpeg),
    (11, "white noise", (0.001, 0.002, 0.003, 0.005, 0.01), "noise", "noise", 0.0, (0, 1), True, noise.white_noise),
    (12, "white noise color component", (0.0001, 0.0005, 0.001, 0.002, 0.003), "noise", "noise", 0.0, (0, 1), True,
     noise.white_noise_color_component),
    (13, "impulse noise", (0.001, 0.005, 0.01, 0.02, 0.03), "noise", "noise", 0.0, (0, 1), True,
     noise.impulse_noise),
    (14, "multiplicative noise", (0.001, 0.005, 0.01, 0.02, 0.05), "noise", "noise", 0.0, (0, 1), True,
     noise.multiplicative_noise),
    (15, "denoise", (0.001, 0.002, 0.003, 0.005, 0.01), "noise", "noise", 0.0, (0, 1), True, noise.denoise),
    (16, "brighten", (0.1, 0.2, 0.4, 0.7, 1.1), "brightness", "overexposure", 0.0, (0, 10), False,
     brightness.brighten),
    (17, "darken", (0.05, 0.1, 0.2, 0.4, 0.8), "brightness", "underexposure", 0.0, (0, 10), False,
     brightness.darken),
    (18, "mean shift", (0.15, 0.08, 0, -0.08, -0.15), "brightness", "other", 0.0, (-1, 1), False,
     brightness.mean_shift),
    (19, "jitter", (0.05, 0.1, 0.2, 0.5, 1), "spatial", "spatial", 0.0, (0, 100), True, spatial.jitter),
    (20, "non-eccentricity patch", (20, 40, 60, 80, 100), "spatial", "spatial", 0.0, (0, 10_000), True,
     spatial.non_eccentricity_patch),
    (21, "pixelate", (0.01, 0.05, 0.1, 0.2, 0.5), "spatial", "spatial", 0.0, (0, 1), False, spatial.pixelate),
    (22, "quantization", (20, 16, 13, 10, 7), "spatial", "quantization", 256.0, (1, 256), False,
     spatial.quantization),
    (23, "color block", (2, 4, 6, 8, 10), "spatial", "spatial", 0.0, (0, 10_000), True, spatial.color_block),
    (24, "high sharpen", (1, 2, 3, 6, 12), "sharpness", "contrast", 0.0, (0, 100), False, sharpness.high_sharpen),
    (25, "contrast change", (0.3, 0.15, 0, -0.4, -0.6), "sharpness", "contrast", 0.0, (-0.9, 0.9), False,
     sharpness.contrast_change),
))
# fmt: on
"""The 25 types in KADID-10k's order; `TYPES[number - 1]`. Levels are METHODS.md §7's; 18 and 25 are signed."""

_BY_NAME = {kind.name: kind for kind in TYPES}


def find(type: int | str | DegradationType) -> DegradationType:
    """The type of this number ("10" or 10) or name; case, hyphens and underscores do not matter.

    Raises:
        ConfigError: there is no such type; the message lists all.
    """
    if isinstance(type, DegradationType):
        return type
    word = str(type).strip()
    if word.isdecimal() and 1 <= int(word) <= len(TYPES):
        return TYPES[int(word) - 1]
    for kind in TYPES:
        if _plain(kind.name) == _plain(word):
            return kind
    raise ConfigError(f"no degradation type {word!r}; choose a number or name of: {', '.join(map(str, TYPES))}")


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def degrade(
    image: Pixels, type: int | str | DegradationType, level: int, generator: np.random.Generator | int = 0
) -> Pixels:
    """Damage a picture at one of the five levels of a type.

    Args:
        image: uint8, H×W×3, at least 16 px on each side; it is not changed.
        type: number or name.
        level: 1 (weakest) to 5; the signed types 18 and 25 have the original at 3.
        generator: source of randomness, or a seed.

    Returns:
        A new uint8 H×W×3 array.

    Raises:
        ConfigError: unknown type or level, or an unfit picture.
    """
    kind = find(type)
    try:
        index = operator.index(level)
    except TypeError:
        index = 0
    if not 1 <= index <= LEVELS:
        raise ConfigError(f"level must be 1 to {LEVELS}, not {level!r}; degrade_by takes parameters between the levels")
    return degrade_by(image, kind, kind.levels[index - 1], generator)


def degrade_by(
    image: Pixels, type: int | str | DegradationType, parameter: float, generator: np.random.Generator | int = 0
) -> Pixels:
    """Damage a picture by any parameter of a type, for instance one between two levels.

    Args:
        image: uint8, H×W×3, at least 16 px on each side; it is not changed.
        type: number or name.
        parameter: within the type's `bounds`; counts (6, 10, 20, 22, 23) are rounded.
        generator: source of randomness, or a seed.

    Returns:
        A new uint8 H×W×3 array.

    Raises:
        ConfigError: unknown type, a parameter out of bounds, or an unfit picture.
    """
    kind = find(type)
    low, high = kind.bounds
    if not (math.isfinite(parameter) and low <= parameter <= high):
        raise ConfigError(f"{kind.name}: the parameter must lie in [{low:g}, {high:g}], not {parameter!r}")
    pixels = checked(image)
    if parameter == kind.neutral:
        return pixels.copy()
    if not kind.random:
        return kind.operation(pixels, float(parameter))
    if isinstance(generator, int) and generator < 0:
        raise ConfigError(f"seed must be 0 or more, not {generator}")
    return kind.operation(pixels, float(parameter), np.random.default_rng(generator))


def checked(image: Pixels) -> Pixels:
    """The picture in contiguous memory.

    Raises:
        ConfigError: it is no uint8 H×W×3 array, or smaller than 16 px on a side.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else image.__class__.__name__
        raise ConfigError(f"degradations take uint8 pixels H×W×3, not {found}; read files with vlqa.data.images.decode")
    if min(image.shape[:2]) < MIN_SIDE_PX:
        height, width = image.shape[:2]
        raise ConfigError(f"degradations need at least {MIN_SIDE_PX} px on each side, the picture has {width}×{height}")
    return np.ascontiguousarray(image)
