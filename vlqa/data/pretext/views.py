"""Views of pictures: overlapping crops, fragments, colour spaces."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from vlqa.types import Pixels

COLOUR_SPACES = ("grey", "lab", "hsv", "local mean", "none")


def at_least(image: Pixels, side: int) -> Pixels:
    """The picture, enlarged (bicubic) where its shorter side is below `side` px."""
    shorter = min(image.shape[:2])
    if shorter >= side:
        return image
    height, width = (max(side, round(length * side / shorter)) for length in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def reduced_to(image: Pixels, side: int) -> Pixels:
    """The picture, reduced (bicubic, antialiased) where its shorter side is above `side` px."""
    shorter = min(image.shape[:2])
    if shorter <= side:
        return image
    height, width = (max(side, round(length * side / shorter)) for length in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def half(image: Pixels) -> Pixels:
    """The picture at half its size, sides rounded down, by Pillow's antialiased bicubic filter."""
    height, width = (max(1, length // 2) for length in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def crop(image: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """A size×size crop at a random place; a smaller picture is padded with black below and on the right."""
    short = [max(0, size - side) for side in image.shape[:2]]
    if any(short):
        image = np.pad(image, ((0, short[0]), (0, short[1]), (0, 0)))
    top, left = (int(rng.integers(0, side - size + 1)) for side in image.shape[:2])
    return image[top : top + size, left : left + size]


def overlapping_corners(
    height: int, width: int, size: int, rng: np.random.Generator, share: tuple[float, float] = (0.1, 0.3)
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Upper left corners of two size×size crops whose overlap is a share of their area (Re-IQA: 10 to 30 %).

    A picture too small for that gives crops that overlap as little as it allows.

    Args:
        height: of the picture, at least `size`.
        width: of the picture, at least `size`.
        size: side of the crops.
        rng: source of randomness.
        share: least and most overlap, as a share of a crop's area.
    """
    room = height - size, width - size
    area = rng.uniform(*share)
    rows = rng.uniform(area, 1)  # share of the side that both have in common
    shift = [round(size * (1 - rows)), round(size * (1 - area / rows))]
    if shift[0] > room[0] or shift[1] > room[1]:  # move as far as there is room, along the axis that has more
        long = int(np.argmax(room))
        shift[long] = min(room[long], round(size * (1 - area)))
        rest = max(0.0, 1 - area / max(area, 1 - shift[long] / size))
        shift[1 - long] = min(room[1 - long], round(size * rest))
    first, second = [0, 0], [0, 0]
    for axis in (0, 1):
        start = int(rng.integers(0, room[axis] - shift[axis] + 1))
        ends = [start, start + shift[axis]]
        first[axis], second[axis] = ends if rng.random() < 0.5 else ends[::-1]
    return (first[0], first[1]), (second[0], second[1])


def fragment_corners(
    height: int, width: int, rng: np.random.Generator, cells: int = 7, piece: int = 32
) -> npt.NDArray[np.int64]:
    """Where the pieces of a fragment view lie (FAST-VQA, arXiv 2207.02595, §3.1): one in each cell of a grid.

    Args:
        height: of the picture, at least cells · piece.
        width: of the picture, at least cells · piece.
        rng: source of randomness.
        cells: rows and columns of the grid.
        piece: side of a piece, px.

    Returns:
        (cells, cells, 2) upper left corners.
    """
    corners = np.empty((cells, cells, 2), np.int64)
    for axis, length in enumerate((height, width)):
        edges = np.linspace(0, length, cells + 1).astype(np.int64)
        starts = edges[:-1] + rng.integers(0, np.diff(edges) - piece + 1, size=(cells, cells))
        corners[..., axis] = starts if axis else starts.T
    return corners


def cut_fragments(image: Pixels, corners: npt.NDArray[np.int64], piece: int = 32) -> Pixels:
    """The pieces at the corners, side by side in the order of the grid."""
    rows = [np.concatenate([image[y : y + piece, x : x + piece] for y, x in row], axis=1) for row in corners]
    return np.concatenate(rows, axis=0)


def to_colour_space(image: Pixels, space: str) -> Pixels:
    """RGB pixels in another colour space, on 8 bits and three channels (CONTRIQUE §III-A).

    Args:
        image: RGB.
        space: one of `COLOUR_SPACES`; "local mean" subtracts a 7-tap Gaussian mean (σ = 7/6) and stretches each
            channel to the whole range.
    """
    if space == "none":
        return image
    if space == "local mean":
        values = image.astype(np.float32)
        values -= cv2.GaussianBlur(values, (7, 7), 7 / 6, borderType=cv2.BORDER_REPLICATE)
        low, high = values.min(axis=(0, 1)), values.max(axis=(0, 1))
        return np.rint((values - low) * (255 / np.maximum(high - low, 1e-6))).astype(np.uint8)
    codes = {"grey": cv2.COLOR_RGB2GRAY, "lab": cv2.COLOR_RGB2LAB, "hsv": cv2.COLOR_RGB2HSV_FULL}
    converted = cv2.cvtColor(image, codes[space])
    return np.repeat(converted[..., None], 3, axis=2) if space == "grey" else converted


def flipped(image: Pixels, axes: Sequence[bool]) -> Pixels:
    """Upside down where the first is true, mirrored where the second is."""
    return image[:: -1 if axes[0] else 1, :: -1 if axes[1] else 1]
