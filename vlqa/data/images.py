"""Turn anything a person calls a picture into uint8 sRGB pixels, or say in one line why not."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from vlqa.data.colour import Background, apply_profile, composite, to_srgb
from vlqa.data.complaints import describe_damage, refusal
from vlqa.data.files import open_regular
from vlqa.data.formats import HEAD_BYTES, check_pixels, identify, open_image
from vlqa.data.orientation import read_orientation, upright
from vlqa.errors import ConfigError, ImageDecodeError, MissingExtraError
from vlqa.types import Pixels, Source

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from vlqa.types import ImageLike

MAX_PIXELS = 200_000_000
"""Pictures with more pixels are refused unless the caller allows them; the largest phone sensors have 199.8 million."""

WHITE: Background = (255, 255, 255)


Enough: TypeAlias = Callable[[int, int], tuple[int, int]]
"""From a picture's height and width to those that will be looked at."""

Memory: TypeAlias = Callable[[int], npt.NDArray[np.uint8]]
"""From a number of bytes to memory for so many, which is the caller's."""

Enter: TypeAlias = Callable[[int, int, str | None], None]
"""Told a picture's width, height and format by Pillow's name."""


def decode(
    image: ImageLike,
    *,
    max_pixels: int = MAX_PIXELS,
    background: Background = WHITE,
    enough: Enough | None = None,
    memory: Memory | None = None,
    enter: Enter | None = None,
) -> Pixels:
    """Decode one picture as a person would see it: upright, in sRGB, on a plain background.

    Reads JPEG, PNG, WebP, BMP, TIFF and GIF (first frame), and AVIF and HEIF where their decoder is installed. EXIF
    orientation is applied; an embedded ICC profile is converted to sRGB, a broken one ignored; `colour.to_srgb` states
    the rules for other colour modes and depths. A truncated file is an error, never a half-grey picture.

    Args:
        image: path, bytes of a file, `Source`, PIL image of any mode, or uint8 array: H×W×3, H×W (grey) or H×W×4 (with
            alpha).
        max_pixels: pictures with more are refused before anything is decoded.
        background: sRGB colour put behind transparent parts.
        enough: lets a JPEG come out reduced to 7/8 … 1/8 of its sides, not below what this gives of them: the decoder
            skips the coefficients of finer detail, at a third of the time from 1/4 on, with other pixels than a
            reduction of the whole picture has.
        memory: where a JPEG may be decoded, at the beginning of what it gives.
        enter: called with the size and format of a file or PIL image before the memory for its pixels is taken; may
            wait, or raise.

    Returns:
        uint8 H×W×3 sRGB, contiguous and writeable; of an array that is all this already, the array itself.

    Raises:
        ImageDecodeError: anything that keeps the picture from being decoded, in one line.
        ConfigError: `max_pixels` or `background` is no such thing.
    """
    if max_pixels < 1:
        raise ConfigError(f"max_pixels must be at least 1, not {max_pixels}")
    if len(background) != 3 or not all(0 <= level <= 255 for level in background):
        raise ConfigError(f"background must be three numbers from 0 to 255, not {background}")
    given = image
    try:
        if isinstance(image, Source):
            image = image.read()
        if isinstance(image, np.ndarray):
            return _from_array(image, max_pixels, background)
        if isinstance(image, Image.Image):
            check_pixels(image.size, max_pixels)
            if enter is not None:
                enter(*image.size, image.format)
            image.load()
            return to_srgb(image, background, read_orientation(image))
        if isinstance(image, bytes | bytearray | memoryview):
            return _from_file(io.BytesIO(image), max_pixels, background, enough, memory, enter)
        path = source_name(image)
        if path is None:
            raise ImageDecodeError("expected a path, bytes, a PIL image or a uint8 H×W×3 array")
        with open_regular(path) as file:
            return _from_file(file, max_pixels, background, enough, memory, enter)
    except Exception as error:  # readers raise anything on hostile bytes: struct.error, SyntaxError, zlib.error, …
        raise refusal(given, error) from error


def source_name(image: ImageLike) -> str | None:
    """The path of an image given by path, the name of a `Source`, `None` for bytes and pixels."""
    if isinstance(image, Source):
        return image.name
    return os.fsdecode(image) if isinstance(image, str | os.PathLike) else None


def _from_file(
    file: BinaryIO,
    max_pixels: int,
    background: Background,
    enough: Enough | None,
    memory: Memory | None,
    enter: Enter | None,
) -> Pixels:
    if file.seek(0, os.SEEK_END) == 0:
        raise ImageDecodeError("is empty; copy or download it again")
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    try:
        image = open_image(file, max_pixels)
        if enter is not None:
            enter(*image.size, image.format)
        if head.startswith(b"\xff\xd8\xff"):
            pixels = _fast_jpeg(image, file, enough, memory)
            if pixels is not None:
                return pixels
        image.load()
        return to_srgb(image, background, read_orientation(image))
    except (ImageDecodeError, MissingExtraError, MemoryError):
        raise
    except Exception as error:
        known = identify(head)
        raise ImageDecodeError(describe_damage(known[0] if known else "picture", error)) from error


def _fast_jpeg(image: ImageFile, file: BinaryIO, enough: Enough | None, memory: Memory | None) -> Pixels | None:
    """Decode grey and RGB JPEGs without Pillow's detour over 4 bytes a pixel; `None` where Pillow has to do it.

    Bit for bit the same as Pillow (306 photographs, and qualities × subsamplings × progressive × restart markers) at
    0.4 times its time for 12 MP. It also reports a scan that ends early although the end marker is there, which Pillow
    fills with grey.
    """
    profile = image.info.get("icc_profile")
    if image.mode not in ("L", "RGB") or (image.mode == "L" and profile):
        return None
    orientation = read_orientation(image)
    least = (0, 0)
    if enough is not None:
        width, height = image.size
        turned = orientation >= 5  # on its side
        least = enough(width, height)[::-1] if turned else enough(height, width)
    position = file.tell()
    file.seek(0)
    data = file.read()
    file.seek(position)
    try:
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
        if (width, height) != image.size:  # two headers in one file: only the one that was checked counts
            return None
        buffer = None if memory is None else memory(height * width * 3)
        pixels: Pixels = simplejpeg.decode_jpeg(data, min_height=least[0], min_width=least[1], buffer=buffer)
    except ValueError as error:
        if "premature end" in str(error).lower():
            raise ImageDecodeError("is a truncated JPEG file; copy or download it again") from error
        return None  # junk between markers and the like, which Pillow steps over
    if profile:
        apply_profile(pixels, profile)
    return upright(pixels, orientation)


def _from_array(array: np.ndarray, max_pixels: int, background: Background) -> Pixels:
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        remedy = "convert it to uint8 H×W×3"
        if array.dtype.kind == "f":
            remedy = "scale it to 0…255, round and use astype(numpy.uint8)"
        elif array.dtype == np.uint16:
            remedy = "divide it by 257, round and use astype(numpy.uint8)"
        elif array.dtype == np.uint8 and array.ndim == 3 and array.shape[0] in (1, 3, 4):
            remedy = "its channels come first: use array.transpose(1, 2, 0)"
        elif array.ndim == 4:
            remedy = "pass its pictures one by one"
        shape = "×".join(map(str, array.shape)) or "single number"
        raise ImageDecodeError(f"expected uint8 H×W×3, got {array.dtype} {shape}; {remedy}")
    check_pixels((array.shape[1], array.shape[0]), max_pixels)
    if array.ndim == 2 or array.shape[2] == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    if array.shape[2] == 4:
        return composite(array[..., :3], array[..., 3], background)
    return np.require(array, requirements=["C", "W"])  # torch warns about memory that must not be written
