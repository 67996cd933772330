"""EXIF orientation: how a stored picture is to be turned to stand upright."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from vlqa.types import Pixels


def read_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or the block is broken.

    Read here, since Pillow warns about broken blocks. Of TIFF files Pillow applies the orientation itself.
    """
    exif = image.info.get("exif") or _raw_profile(image.info.get("Raw profile type exif"))
    if not isinstance(exif, bytes):
        return 1
    exif = exif.removeprefix(b"Exif\0\0")
    if exif[:2] not in (b"II", b"MM"):
        return 1

    def number(start: int, length: int) -> int:
        return int.from_bytes(exif[start : start + length], "little" if exif[:2] == b"II" else "big")

    directory = number(4, 4)
    for entry in range(directory + 2, min(directory + 2 + 12 * number(directory, 2), len(exif) - 11), 12):
        if number(entry, 2) == 0x0112:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1


def _raw_profile(text: object) -> bytes | None:
    """The EXIF block that ImageMagick writes into PNG files as hexadecimal text behind three lines of its own."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:])) if isinstance(text, str) else None
    except ValueError:
        return None


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn stored pixels as EXIF says they are to be seen; contiguous, the same array where there is nothing to do.

    OpenCV, because a NumPy copy of a rotated 12-megapixel view takes seven times as long.
    """
    match orientation:
        case 2:
            turned = cv2.flip(pixels, 1)
        case 3:
            turned = cv2.rotate(pixels, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(pixels, 0)
        case 5:
            turned = cv2.transpose(pixels)
        case 6:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180)
        case 8:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return pixels
    result: Pixels = np.ascontiguousarray(turned)
    return result
