"""Rated pictures as a short fit shows them to an image tower, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vlqa.data.images import MAX_PIXELS, decode
from vlqa.models.quality_encoder import QualityEncoder
from vlqa.predictors.prompted import PromptPredictor

if TYPE_CHECKING:
    from vlqa.types import ImageLike

_READERS = 4
_AHEAD = 16  # pictures that wait for the tower at most: memory must not hold them all
_PATCHES = 3  # of a picture that the view cuts into several, a step: what LIQE learns from (arXiv 2303.14968)


class Shown(Protocol):
    """Features of rated pictures by the tower as it is now."""

    def batch(self, rows: Int[np.ndarray, " b"], rng: np.random.Generator) -> Float[Tensor, "b d"]:
        """Of some pictures, with gradient; mirrored half of the time where that costs nothing."""
        ...

    def features(self, rows: Int[np.ndarray, " b"]) -> Float[Tensor, "b d"]:
        """Of some pictures as `embed` gives them."""
        ...


def shown(view: PromptPredictor, images: Sequence[ImageLike]) -> Shown:
    """How pictures are shown to the image tower of a view: once where only its head is trained."""
    tower = view.backbone.visual
    return ShownToHead(view, tower, images) if isinstance(tower, QualityEncoder) else ShownToTower(view, images)


class ShownToHead:
    """What stands before the head of a tower whose trunk stays, computed once.

    Mirror images as well, at twice the time, gave mini-zero the same SRCC within 0.001 (150 labels of clive_train).

    Args:
        view: that the tower belongs to.
        tower: whose head is trained.
        images: that can be decoded.
    """

    def __init__(self, view: PromptPredictor, tower: QualityEncoder, images: Sequence[ImageLike]) -> None:
        self._view = view
        self._head: nn.Module = tower.head
        self._described: list[Tensor] = []  # of the patches of each picture
        with ThreadPoolExecutor(_READERS) as readers, torch.no_grad():
            for start in range(0, len(images), _AHEAD):
                for patches in readers.map(lambda image: _patches(view, image), images[start : start + _AHEAD]):
                    pixels = patches.to(view.backbone.mean.device)
                    self._described.append(tower.described(view.backbone.normalized(pixels), pixels).float())

    def batch(self, rows: Int[np.ndarray, " b"], rng: np.random.Generator) -> Float[Tensor, "b d"]:
        """See `Shown`."""
        parts = [self._described[row] for row in rows.tolist()]
        heard = torch.split(self._head(torch.cat(parts)), [len(part) for part in parts])
        return torch.stack([self._view._pool(part) for part in heard])

    def features(self, rows: Int[np.ndarray, " b"]) -> Float[Tensor, "b d"]:
        """See `Shown`."""
        with torch.inference_mode():
            return self.batch(rows, np.random.default_rng())


class ShownToTower:
    """Pictures that are opened anew for each step, for they may be more than memory holds.

    Args:
        view: whose image tower is trained.
        images: that can be decoded.
    """

    def __init__(self, view: PromptPredictor, images: Sequence[ImageLike]) -> None:
        self._view = view
        self._images = images

    def batch(self, rows: Int[np.ndarray, " b"], rng: np.random.Generator) -> Float[Tensor, "b d"]:
        """See `Shown`."""
        seeds = rng.integers(0, 2**32, len(rows))
        with ThreadPoolExecutor(_READERS) as readers:
            cut = list(readers.map(lambda row: _patches(self._view, self._images[row]), rows.tolist()))
        chosen = [_some(patches, np.random.default_rng(seed)) for patches, seed in zip(cut, seeds, strict=True)]
        device = self._view.backbone.mean.device
        if len({patches.shape[1:] for patches in chosen}) == 1:
            encoded = self._view.backbone.encode_image(torch.cat(chosen).to(device))
            parts: Any = torch.split(encoded, [len(patches) for patches in chosen])
        else:
            parts = [self._view.backbone.encode_image(patches.to(device)) for patches in chosen]
        return torch.stack([self._view._pool(part.float()) for part in parts])

    def features(self, rows: Int[np.ndarray, " b"]) -> Float[Tensor, "b d"]:
        """See `Shown`."""
        embedded = self._view.embed([self._images[row] for row in rows.tolist()])
        return torch.from_numpy(embedded).to(self._view.backbone.mean.device)


def _patches(view: PromptPredictor, image: ImageLike) -> Tensor:
    cut = view.view(decode(image, max_pixels=view.reading.get("max_image_pixels", MAX_PIXELS)))
    return cut if isinstance(cut, Tensor) else cut[0]


def _some(patches: Tensor, rng: np.random.Generator) -> Tensor:
    kept = rng.permutation(len(patches))[:_PATCHES]
    patches = patches[torch.from_numpy(np.sort(kept))]
    return patches.flip(-1) if rng.random() < 0.5 else patches
