"""The contact sheet: one picture, 25 types down, 5 levels across."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from vlqa.data.degradations.table import LEVELS, TYPES, checked, degrade
from vlqa.types import Pixels

_LABEL_PX = 170
_CAPTION_PX = 16
_INK = (20, 20, 20)
_PAPER = (255, 255, 255)


def sheet(image: Pixels, seed: int = 0, tile: int = 160) -> Pixels:
    """Draw all 25×5 degradations of a picture with their numbers, names, levels and parameters.

    Every cell is degraded at a longer side of at most 512 px, the size the levels are meant for, and then shrunk
    to its tile.

    Args:
        image: uint8, H×W×3, at least 16 px on each side.
        seed: the same seed, the same sheet.
        tile: longer side of a cell in pixels.

    Returns:
        The sheet, uint8 H×W×3.
    """
    source = _shrunk(Image.fromarray(checked(image)), 512)
    pixels = np.asarray(source)
    cell = _shrunk(source, tile).size
    pitch = (cell[0] + 4, cell[1] + _CAPTION_PX + 4)
    page = Image.new("RGB", (_LABEL_PX + LEVELS * pitch[0], len(TYPES) * pitch[1]), _PAPER)
    draw = ImageDraw.Draw(page)
    for row, kind in enumerate(TYPES):
        top = row * pitch[1]
        draw.text((4, top + cell[1] // 2), str(kind), fill=_INK)
        for column, parameter in enumerate(kind.levels):
            left = _LABEL_PX + column * pitch[0]
            damaged = degrade(pixels, kind, column + 1, np.random.default_rng((seed, kind.number, column)))
            page.paste(Image.fromarray(damaged).resize(cell, Image.Resampling.LANCZOS), (left, top))
            draw.text((left, top + cell[1]), f"level {column + 1}: {parameter:g}", fill=_INK)
    return np.array(page)


def _shrunk(picture: Image.Image, longer_side: int) -> Image.Image:
    factor = longer_side / max(picture.size)
    if factor >= 1:
        return picture
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((max(width, 16), max(height, 16)), Image.Resampling.LANCZOS)
