"""Rated pictures to learn from: crops or windows of them, with whatever labels their manifest has."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from vlqa.data.crops import PhotoReader, as_tensor, order_of_round, random_crop
from vlqa.data.facts import DISTORTIONS, SCENES, Facts, attribute_vector, measured_attributes, opinion_attribute
from vlqa.data.manifest import Manifest
from vlqa.errors import ManifestError, VLQAError
from vlqa.functional.patches import liqe_size
from vlqa.types import Pixels


@dataclass(frozen=True)
class Labels:
    """The labels that losses know, and what a set's own names stand for.

    Attributes:
        scenes: of which several may hold.
        distortions: of which one holds.
        worth: of the worst and the best quality, to which opinions are mapped.
        fold_scene: a set's name of a scene to one of `scenes`.
        fold_distortion: a set's name of a distortion to one of `distortions`.
    """

    scenes: tuple[str, ...] = SCENES
    distortions: tuple[str, ...] = DISTORTIONS
    worth: tuple[float, float] = (1.0, 5.0)
    fold_scene: Callable[[str], str] = str
    fold_distortion: Callable[[str], str] = str

    def scene_vector(self, names: Sequence[str] | None) -> Any:
        """1 for each scene that holds, else 0; all −1 where nothing is known."""
        if not names or not self.scenes:
            return np.full(len(self.scenes), -1)
        held = [_known(self.fold_scene, name, self.scenes, "scene") for name in names]
        return np.isin(np.arange(len(self.scenes)), held).astype(np.int64)

    def distortion_index(self, name: str | None) -> int:
        """Place among the distortions, −1 where nothing is known."""
        return _known(self.fold_distortion, name, self.distortions, "distortion") if name and self.distortions else -1


class RatedPictures:
    """Rated pictures in a random order, each once a round; one that cannot be read gives its place to another.

    What is cut from a picture depends on its name and the round, not on which others there are: runs that leave
    different folds out share it.

    Args:
        manifest: rated pictures; their opinions are mapped linearly from `mos_range` to the worth of the labels.
        set_id: number of the set; pairs are compared only within one.
        seed: with the number of a sample it decides which picture, and with its name and round how it is cut.
        mos_range: worst and best value of the manifest's scale.
        labels: what the losses know.

    Raises:
        ManifestError: a label that stands for none of the known ones.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        set_id: int,
        seed: int,
        mos_range: tuple[float, float],
        labels: Labels | None = None,
    ) -> None:
        labels = labels or Labels()
        low, high = mos_range
        worst, best = labels.worth
        self.paths, self.names = manifest.paths, manifest.names
        self.mos = worst + (best - worst) * (np.asarray(manifest.mos) - low) / (high - low)
        try:
            self.distortions = [labels.distortion_index(name) for name in manifest.distortion or [None] * len(self.mos)]
            self.scenes = [labels.scene_vector(names) for names in manifest.scenes or [None] * len(self.mos)]
        except ManifestError as error:
            raise ManifestError(f"{manifest.source}: {error}") from None
        self.set_id = set_id
        self.seed = seed
        self._reader = PhotoReader(self.paths)

    def _picture(self, number: int) -> tuple[int, Pixels, np.random.Generator]:
        """Row and pixels of a sample, and what decides how it is cut."""
        round_, place = divmod(number, len(self.paths))
        row = int(order_of_round(self.seed, 15 + self.set_id, round_, len(self.paths))[place])
        rng = np.random.default_rng([self.seed, 1, round_, zlib.crc32(self.names[row].encode())])
        return *self._reader.read(row, rng), rng

    def facts(self, row: int, attributes: dict[str, float] | None = None) -> Facts:
        """What is known of a picture."""
        return Facts(
            set_id=self.set_id,
            mos=float(self.mos[row]),
            scenes=self.scenes[row],
            distortion=self.distortions[row],
            attributes=attribute_vector(attributes or {}),
        )


class RatedPhotos(RatedPictures):
    """One random crop a sample, of a random scale where not `whole`, and what is measured on it.

    Args:
        whole: each crop shows all of its picture's shorter side, as a predictor that sees the whole picture does.
    """

    def __init__(self, *arguments: Any, whole: bool = False, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.whole = whole

    def sample(self, number: int, size: int) -> dict[str, Tensor]:
        """Picture `number` as `image` (3, size, size) uint8, and the fields of `Facts`."""
        row, image, rng = self._picture(number)
        image = random_crop(image, size, rng, whole=self.whole)
        measured = measured_attributes(image) | {"quality": opinion_attribute(float(self.mos[row]))}
        return {"image": as_tensor(image), **self.facts(row, measured).tensors()}


class RatedWindows(RatedPictures):
    """Several random windows of a picture at LIQE's size a sample, mirrored together half of the time.

    Args:
        windows: of each picture; LIQE takes 3 (arXiv 2303.14968).
    """

    def __init__(self, *arguments: Any, windows: int = 3, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.windows = windows

    def sample(self, number: int, size: int) -> dict[str, Tensor]:
        """Picture `number` as `image` (windows, 3, size, size) uint8, and the fields of `Facts`."""
        row, image, rng = self._picture(number)
        height, width = liqe_size(image.shape[0], image.shape[1], size)
        if (height, width) != image.shape[:2]:
            filtering = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
            image = cv2.resize(image, (width, height), interpolation=filtering)
        if rng.random() < 0.5:
            image = image[:, ::-1]
        corners = rng.integers(0, [height - size + 1, width - size + 1], (self.windows, 2)).tolist()
        cut = [as_tensor(image[top : top + size, left : left + size]) for top, left in corners]
        return {"image": torch.stack(cut), **self.facts(row).tensors()}


def _known(fold: Callable[[str], str], name: str, labels: Sequence[str], what: str) -> int:
    try:
        return labels.index(fold(name))
    except (ValueError, VLQAError):
        known = ", ".join(labels)
        remedy = f"correct it, or add it to the aliases of {what} in the prompts file"
        raise ManifestError(f"unknown {what} {name!r}; known are {known}; {remedy}") from None
