"""All damages of a photograph: KADID-10k's 25 types × 5 levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from vlqa.data.degradations import TYPES, degrade
from vlqa.data.images import decode
from vlqa.training.photos import find_photos, split_photos
from vlqa.types import Pixels

LEVELS = range(1, 6)
_HELD_OUT = 60  # as in configs/mini*.yaml


def sharp_held_out(folder: Path, count: int) -> list[Path]:
    """Sharp photographs that no training of the default saw."""
    _, held_out = split_photos(find_photos([folder]), _HELD_OUT)
    return [photo for photo in held_out if "objects" not in photo.parent.name][:count]


def renderings(photos: Sequence[Path]) -> Iterator[Pixels]:
    """Each photograph under each type and each level, in this order."""
    for photo in photos:
        pixels = decode(photo)
        for kind in TYPES:
            for level in LEVELS:
                yield degrade(pixels, kind, level, 0)
