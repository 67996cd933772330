"""Where a picture looks good and where it does not: the scores of windows over it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vlqa.data.images import MAX_PIXELS, decode
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.ensemble import vision_language_view
from vlqa.types import Pixels

if TYPE_CHECKING:
    from vlqa.types import ImageLike

_WINDOWS_A_SIDE = 4  # of the shorter side, without those that overlap them
_LEAST_PX = 64


def quality_map(
    predictor: ImagePredictor, image: ImageLike, *, side: int | None = None
) -> tuple[npt.NDArray[np.float64], Pixels]:
    """Local quality of a picture: the mean score, over each pixel, of the windows that contain it.

    Windows overlap by half and are cut from the picture at the size at which the predictor sees it; each is scored as
    a picture of its own. A window shows less than the whole, so that the map's mean is not the picture's score.

    Args:
        predictor: any that scores without references.
        image: as for `predict`.
        side: of a window in px; by default that of the predictor's own patches, else a quarter of the shorter side.

    Returns:
        (h, w) scores on the predictor's scale, and the (h, w, 3) pixels they belong to.

    Raises:
        ImageDecodeError: no picture.
    """
    view: Any = getattr(vision_language_view(predictor) or predictor, "view", None)
    pixels = decode(image, max_pixels=predictor.reading.get("max_image_pixels", MAX_PIXELS))
    if hasattr(view, "resized"):
        pixels = view.resized(pixels)
    height, width = pixels.shape[:2]
    own = getattr(predictor, "grid", view)
    side = side or getattr(own, "window", None) or max(_LEAST_PX, min(height, width) // _WINDOWS_A_SIDE)
    rows, columns = (_starts(length, side) for length in (height, width))
    corners = list(itertools.product(rows, columns))
    scores = predictor.predict([np.ascontiguousarray(pixels[y : y + side, x : x + side]) for y, x in corners])
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for (y, x), score in zip(corners, scores, strict=True):
        total[y : y + side, x : x + side] += score
        count[y : y + side, x : x + side] += 1
    return total / count, pixels


def _starts(length: int, side: int) -> list[int]:
    """Evenly spread starts of windows that cover a length, each overlapping the next by half or more."""
    room = max(0, length - side)
    count = 1 + -(-room // max(1, side // 2))
    return np.rint(np.linspace(0, room, count)).astype(int).tolist()
