"""From whatever a picture file holds to uint8 sRGB: colour modes, depths, profiles, transparency, orientation.

The work is done tile by tile, so that beside Pillow's own copy (4 bytes a pixel) and the result (3 bytes a pixel, twice
while it is turned upright) nothing as large as the picture exists.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from vlqa.data.orientation import upright
from vlqa.errors import ImageDecodeError
from vlqa.types import Pixels

Background: TypeAlias = tuple[int, int, int]

_TILE_PIXELS = 1 << 18  # 1 MB of Pillow's RGB, which stays in the cache: 4 times quicker than one np.asarray of 12 MP
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_SAME_COLOUR = 2  # 8-bit levels; published sRGB profiles differ by so much from each other, Display P3 by over 40


def to_srgb(image: Image.Image, background: Background, orientation: int = 1) -> Pixels:
    """Convert a loaded Pillow picture of any mode.

    Grey of more than 8 bits is scaled, not clipped, by the first of these ranges that holds all of its values:
    [0, 1] for floats, [0, 255], [0, 65535]; 16-bit modes are always [0, 65535]. Rounding is to the nearest.
    CMYK without a profile is 255·(1−C)(1−K) and so on, as Pillow has it.

    Args:
        image: the picture; its embedded profile and transparency are taken from `image.info`.
        background: sRGB colour put behind transparent parts.
        orientation: EXIF orientation, 1 to 8, to undo.

    Returns:
        H×W×3 of the upright picture, contiguous and its own memory.
    """
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    top = _range(image) if image.mode in _DEEP else 0.0
    profile = image.info.get("icc_profile")
    for box in _boxes(width, height):
        colour, alpha = _split(image if box == (0, 0, width, height) else image.crop(box), top)
        rgb = _to_rgb(colour, profile)
        if alpha is not None and alpha.min() < 255:
            rgb = composite(rgb, alpha, background)
        pixels[box[1] : box[3], box[0] : box[2]] = rgb
    return upright(pixels, orientation)


def composite(rgb: Pixels, alpha: npt.NDArray[np.uint8], background: Background) -> Pixels:
    """Colour over background, mixed in sRGB values as browsers do, rounded to the nearest.

    Args:
        rgb: H×W×3, not premultiplied.
        alpha: H×W, 255 is opaque.
        background: sRGB colour.
    """
    mixed = np.empty(rgb.shape, np.uint8)
    height, width = alpha.shape
    for x0, y0, x1, y1 in _boxes(width, height):
        opacity = alpha[y0:y1, x0:x1, None].astype(np.uint16)
        tile = rgb[y0:y1, x0:x1] * opacity
        tile += (255 - opacity) * np.array(background, np.uint16)
        tile += 128  # now (x + x//256) // 256 is x/255 to the nearest, and nothing exceeds 16 bits
        mixed[y0:y1, x0:x1] = (tile + (tile >> 8)) >> 8
    return mixed


def apply_profile(pixels: Pixels, profile: bytes) -> None:
    """Convert RGB pixels from an embedded profile to sRGB in place; a broken profile changes nothing."""
    transform = _transform(profile, "RGB")
    if transform is None:
        return
    height, width = pixels.shape[:2]
    for x0, y0, x1, y1 in _boxes(width, height):
        tile = pixels[y0:y1, x0:x1]
        tile[:] = np.asarray(transform.apply(Image.fromarray(tile)))


def _boxes(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    columns = min(width, _TILE_PIXELS)
    rows = max(1, _TILE_PIXELS // columns)
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            yield x, y, min(x + columns, width), min(y + rows, height)


def _range(image: Image.Image) -> float:
    """The value that is white in a grey picture of more than 8 bits."""
    if image.mode.startswith("I;16"):
        return 65535.0
    low, high = np.inf, -np.inf
    for box in _boxes(*image.size):
        values = np.asarray(image.crop(box))
        low, high = np.minimum(low, values.min()), np.maximum(high, values.max())  # these keep a NaN
    for top in (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0):
        if low >= 0 and high <= top:
            return top
    raise ImageDecodeError(f"has values from {low:g} to {high:g}; scale them to 0…1, 0…255 or 0…65535 first")


def _split(tile: Image.Image, top: float) -> tuple[Image.Image, npt.NDArray[np.uint8] | None]:
    """The colours as L, RGB, CMYK or LAB, and the opacity where there is any transparency."""
    transparent: Any = tile.info.get("transparency")
    mode = tile.mode
    if mode in _DEEP:
        values = np.asarray(tile)
        grey = Image.fromarray((values * (255.0 / top) + 0.5).astype(np.uint8))
        return grey, None if transparent is None else _opaque_unless(values == transparent)
    if mode in ("1", "L") and transparent is not None:
        grey = tile.convert("L") if mode == "1" else tile
        return grey, _opaque_unless(np.asarray(grey) == transparent)
    if mode == "LA":
        return tile.getchannel("L"), np.asarray(tile.getchannel("A"))
    if mode != "RGBA" and tile.has_transparency_data:  # P, PA, La, RGBa, RGB with a transparent colour
        tile = (tile.convert("LA") if mode == "La" else tile).convert("RGBA")
    if tile.mode == "RGBA":
        return tile.convert("RGB"), np.asarray(tile.getchannel("A"))
    if mode in ("L", "RGB", "CMYK", "LAB"):
        return tile, None
    return tile.convert("L" if mode == "1" else "RGB"), None


def _opaque_unless(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return np.where(mask, 0, 255).astype(np.uint8)


def _to_rgb(tile: Image.Image, profile: bytes | None) -> Pixels:
    transform = _transform(profile, tile.mode) if profile or tile.mode == "LAB" else None
    if transform is not None:
        tile = transform.apply(tile)
    return np.asarray(tile if tile.mode == "RGB" else tile.convert("RGB"))


@lru_cache(maxsize=16)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From an embedded profile to sRGB, relative colorimetric with black point compensation.

    `None` where nothing is to be done: the profile is sRGB under whatever name, is broken, or is for another mode
    (Pillow keeps a CMYK profile on a picture that was converted to RGB). LittleCMS lets threads share a transform.
    """
    try:
        source = (
            ImageCms.createProfile("LAB") if mode == "LAB" else ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        )
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode in ("L", "RGB"):
            probe = _probe(mode)
            change = np.asarray(transform.apply(probe), np.int16) - np.asarray(probe.convert("RGB"), np.int16)
            if np.abs(change).max() <= _SAME_COLOUR:
                return None
    except Exception:  # profiles come from strangers: lcms and Pillow raise OSError, PyCMSError, TypeError, …
        return None
    return transform


def _probe(mode: str) -> Image.Image:
    """All levels of grey, or a 9×9×9 grid of colours."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3))
