"""Which photographs a run learns from, and which it leaves for measuring."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from vlqa.data.walk import walk
from vlqa.errors import ConfigError, ManifestError
from vlqa.training.config.common import PhotosConfig


def training_photos(config: PhotosConfig) -> list[Path]:
    """The photographs of a recipe without those held out.

    Raises:
        ManifestError: a folder is missing or holds none.
        ConfigError: all are held out.
    """
    photos = find_photos(config.photos)
    training, _ = split_photos(photos, config.held_out_photos)
    if not training:
        raise ConfigError(
            f"data.held_out_photos: fewer than the {len(photos)} photographs expected, "
            f"found {config.held_out_photos}: none is left to train on"
        )
    return training


def find_photos(folders: Sequence[Path]) -> list[Path]:
    """Every picture under the folders, sorted.

    Raises:
        ManifestError: a folder is missing or holds none.
    """
    photos: list[Path] = []
    for folder in folders:
        found = [Path(path) for path in walk([str(folder)])] if folder.is_dir() else []
        if not found:
            raise ManifestError(f"{folder}: no photographs there; set data.photos to folders of pictures")
        photos += found
    return sorted(photos)


def split_photos(photos: Sequence[Path], held_out: int) -> tuple[list[Path], list[Path]]:
    """Training and held-out photographs; a photograph's side depends on its file name, not on where it lies."""
    order = sorted(photos, key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
    return sorted(order[held_out:]), sorted(order[:held_out])
