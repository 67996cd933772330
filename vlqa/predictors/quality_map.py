"""Where a picture looks good and where it does not: the scores of parts of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vlqa.data.images import MAX_PIXELS, decode
from vlqa.errors import ConfigError, VLQAError
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.ensemble import vision_language_view
from vlqa.types import Explanation, Patch, Pixels

if TYPE_CHECKING:
    from vlqa.types import ImageLike

_WINDOWS_A_SIDE = 4  # of the shorter side, without those that overlap them
_LEAST_PX = 64


def quality_map(
    predictor: ImagePredictor, image: ImageLike, *, side: int | None = None
) -> tuple[npt.NDArray[np.float64], Pixels]:
    """Local quality of a picture: the mean score, over each pixel, of the parts that contain it.

    A method that looks at patches (LIQE, GRepQ's low level) has scored them all in the one pass that gives the
    picture's score. Of other methods windows, which overlap by half, are cut from the picture at the size at which the
    predictor sees it, and each is scored as a picture of its own. A part shows less than the whole, so that the map's
    mean is not the picture's score.

    Args:
        predictor: any that scores without references.
        image: as for `predict`.
        side: of a window in px, for windows of this size with any method; by default the method's own patches, else a
            quarter of the shorter side.

    Returns:
        (h, w) scores on the predictor's scale, NaN where no patch lies, and the (h, w, 3) pixels they belong to.

    Raises:
        ImageDecodeError: no picture.
        ConfigError: windows of less than a pixel.
    """
    if side is not None and side < 1:
        raise ConfigError(f"side is that of a window in px, 1 or more, not {side}")
    pixels = decode(image, max_pixels=predictor.reading.get("max_image_pixels", MAX_PIXELS))
    if side is None:
        (record,) = predictor.assess(pixels, explain=True)
        if record.error is not None:
            raise VLQAError(record.error)
        if isinstance(record, Explanation) and record.patches is not None:
            return painted(record.patches, pixels), pixels
    return window_map(predictor, pixels, side=side)


def window_map(
    predictor: ImagePredictor, pixels: Pixels, *, side: int | None = None
) -> tuple[npt.NDArray[np.float64], Pixels]:
    """`quality_map` by windows, of a decoded picture."""
    view: Any = getattr(vision_language_view(predictor) or predictor, "view", None)
    if hasattr(view, "resized"):
        pixels = view.resized(pixels)
    height, width = pixels.shape[:2]
    side = side or max(_LEAST_PX, min(height, width) // _WINDOWS_A_SIDE)
    corners = list(itertools.product(_starts(height, side), _starts(width, side)))
    scores = predictor.predict([np.ascontiguousarray(pixels[y : y + side, x : x + side]) for y, x in corners])
    windows = [Patch(x, y, side, side, score) for (y, x), score in zip(corners, scores.tolist(), strict=True)]
    return painted(windows, pixels), pixels


def painted(patches: Iterable[Patch], pixels: Pixels) -> npt.NDArray[np.float64]:
    """(h, w) mean score of the patches over each pixel, NaN where there is none."""
    total, count = np.zeros(pixels.shape[:2]), np.zeros(pixels.shape[:2])
    for patch in patches:
        rows = slice(round(patch.top), max(round(patch.top) + 1, round(patch.top + patch.height)))
        columns = slice(round(patch.left), max(round(patch.left) + 1, round(patch.left + patch.width)))
        total[rows, columns] += patch.score
        count[rows, columns] += 1
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _starts(length: int, side: int) -> list[int]:
    """Evenly spread starts of windows that cover a length, each overlapping the next by half or more."""
    room = max(0, length - side)
    count = 1 + -(-room // max(1, side // 2))
    return np.rint(np.linspace(0, room, count)).astype(int).tolist()
