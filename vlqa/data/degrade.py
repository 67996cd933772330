"""One damage of one picture, from anything that is a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlqa.data import degradations
from vlqa.data.images import decode
from vlqa.types import Pixels

if TYPE_CHECKING:
    from vlqa.types import ImageLike


def degrade(image: ImageLike, type: int | str, level: int, seed: int = 0) -> Pixels:
    """Damage a picture as KADID-10k does (Lin et al., QoMEX 2019).

    Args:
        image: path, bytes, PIL image or uint8 H×W×3 array, at least 16 px on each side.
        type: number 1 to 25, or its name such as "gaussian blur"; `vlqa.data.degradations.TYPES` has them all.
        level: 1 (weakest) to 5.
        seed: of the random types; the same seed gives the same pixels.

    Returns:
        uint8 H×W×3 of the same size.

    Raises:
        ConfigError: an unknown type or level, or a picture that is too small.
        ImageDecodeError: no picture.
    """
    return degradations.degrade(decode(image), type, level, seed)
