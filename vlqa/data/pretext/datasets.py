"""One data set a pretext task; a sample depends on the seed and its number alone, so that a run can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import v2

from vlqa.data.crops import PhotoReader, as_tensor
from vlqa.data.degradations import TYPES
from vlqa.data.pretext import similarity
from vlqa.data.pretext.spaces import PRISTINE_CLASS, Chain, QptSpace, apply_chain, draw_arniqa, draw_single
from vlqa.data.pretext.views import (
    COLOUR_SPACES,
    at_least,
    crop,
    cut_fragments,
    flipped,
    fragment_corners,
    half,
    overlapping_corners,
    to_colour_space,
)
from vlqa.types import Pixels

_CELLS = 7


class PretextSet(Dataset[dict[str, Tensor]]):
    """Endless samples of one pretext task.

    Args:
        photos: paths; one that cannot be read is named once and another drawn in its place.
        seed: with its number it decides everything about a sample.
        size: side of the views, px.
    """

    def __init__(self, photos: Sequence[Path], *, seed: int, size: int) -> None:
        self.photos = list(photos)
        self.seed = seed
        self.size = size
        self.reader = PhotoReader(self.photos)

    def __len__(self) -> int:
        return 2**40  # as many as asked for: samples are made from their number

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Sample `index` of the whole run."""
        return self.sample(index, np.random.default_rng([self.seed, 5, index]))

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """uint8 views, and labels where the task has any."""
        raise NotImplementedError


class GrepqVersions(PretextSet):
    """Nine versions of a photograph as fragments, drawn twice, and how alike they look (GRepQ, arXiv 2312.04838).

    The versions of a photograph are its own for the whole run: itself, and `types` damages at two levels each. All
    share the places of their fragments within a draw; the second draw is flipped at random. `size` is 7 pieces wide.

    Args:
        photos: paths.
        seed: with its number it decides everything about a sample.
        size: side of a view, a multiple of 7 px.
        types: damages a photograph.
    """

    def __init__(self, photos: Sequence[Path], *, seed: int, size: int, types: int = 4) -> None:
        super().__init__(photos, seed=seed, size=size)
        self.types = types
        self.piece = size // _CELLS
        self._keys: dict[int, str] = {}  # a digest reads the whole file

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`image` and `augmented` (1 + 2·types, 3, size, size); `similarity` (1 + 2·types,) squared."""
        row, photo = self.reader.draw(rng)
        photo = at_least(photo, _CELLS * self.piece)
        chains = self.chains(row)
        versions = [apply_chain(photo, chain, [self.seed, 6, row]) for chain in chains]
        if row not in self._keys:
            self._keys[row] = similarity.key(self.photos[row], [chains, self.seed, row])
        draws = []
        for again in (False, True):
            corners = fragment_corners(photo.shape[0], photo.shape[1], rng, _CELLS, self.piece)
            axes = [again and rng.random() < 0.5 for _ in range(2)]
            cut = [flipped(cut_fragments(version, corners, self.piece), axes) for version in versions]
            draws.append(torch.stack([as_tensor(view) for view in cut]))
        return {"image": draws[0], "augmented": draws[1], "similarity": similarity.cached(self._keys[row], versions)}

    def chains(self, row: int) -> list[Chain]:
        """Damages of the versions of a photograph, the first none."""
        rng = np.random.default_rng([self.seed, 6, row])
        numbers = rng.choice(len(TYPES), self.types, replace=False) + 1
        levels = [rng.choice(5, 2, replace=False) + 1 for _ in numbers]
        return [(), *(((int(n), int(level)),) for n, pair in zip(numbers, levels, strict=True) for level in pair)]


class ContriqueViews(PretextSet):
    """Two views of a picture at two scales, with its class of damage (CONTRIQUE, arXiv 2110.13266, §III).

    Even samples are photographs under one of 126 damages, whose class is the damage; odd ones are authentic pictures,
    each a class of its own.

    Args:
        photos: paths of photographs to damage.
        authentic: paths of pictures with damage of their own.
        seed: with its number it decides everything about a sample.
        size: side of a view, px.
    """

    def __init__(self, photos: Sequence[Path], authentic: Sequence[Path], *, seed: int, size: int) -> None:
        super().__init__(photos, seed=seed, size=size)
        self.authentic = PhotoReader(authentic)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`first` and `second` (3, size, size), at full and half size or the other way round; `label` (int64)."""
        if index % 2 and self.authentic.paths:
            label = PRISTINE_CLASS + 1 + index
            _, picture = self.authentic.draw(rng)
        else:
            chain, label = draw_single(rng)
            _, photo = self.reader.draw(rng)
            picture = apply_chain(_region(photo, 3 * self.size, rng), chain, [self.seed, 7, index])
        scales = [picture, half(picture)]
        if rng.random() < 0.5:
            scales.reverse()
        first, second = (self._view(scale, rng) for scale in scales)
        return {"first": first, "second": second, "label": torch.tensor(label)}

    def _view(self, picture: Pixels, rng: np.random.Generator) -> Tensor:
        view = to_colour_space(crop(picture, self.size, rng), str(rng.choice(COLOUR_SPACES)))
        return as_tensor(flipped(view, [False, rng.random() < 0.5]))


class ReIqaVersions(PretextSet):
    """Two overlapping crops of twelve versions at two scales (Re-IQA's quality encoder, arXiv 2304.00451, §3.2).

    The versions are the photograph and `types` of the 25 damages at random levels. Half of them have their two crops
    exchanged at full scale, the other half at half scale, so that query and key see both places.

    Args:
        photos: paths.
        seed: with its number it decides everything about a sample.
        size: side of a crop, px.
        types: damages a photograph.
    """

    def __init__(self, photos: Sequence[Path], *, seed: int, size: int, types: int = 11) -> None:
        super().__init__(photos, seed=seed, size=size)
        self.types = types

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`query` and `key` (2·(1 + types), 3, size, size): all versions at full scale, then all at half scale."""
        _, photo = self.reader.draw(rng)
        photo = at_least(_region(photo, 4 * self.size, rng), 2 * self.size)
        numbers = rng.choice(len(TYPES), self.types, replace=False) + 1
        chains: list[Chain] = [(), *(((int(number), int(rng.integers(1, 6))),) for number in numbers)]
        versions = [apply_chain(photo, chain, [self.seed, 8, index]) for chain in chains]
        queries, keys = [], []
        for scale, pictures in enumerate((versions, [half(version) for version in versions])):
            corners = overlapping_corners(pictures[0].shape[0], pictures[0].shape[1], self.size, rng)
            for place, picture in enumerate(pictures):
                crops = [as_tensor(picture[y : y + self.size, x : x + self.size]) for y, x in corners]
                swapped = (place < len(pictures) // 2) == (scale == 0)
                queries.append(crops[swapped])
                keys.append(crops[not swapped])
        return {"query": torch.stack(queries), "key": torch.stack(keys)}


class ContentViews(PretextSet):
    """Two views of a photograph under MoCo-v2's augmentation (arXiv 2003.04297), for Re-IQA's content encoder."""

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`query` and `key` (1, 3, size, size)."""
        _, photo = self.reader.draw(rng)
        augment = v2.Compose(
            [
                v2.RandomResizedCrop(self.size, scale=(0.2, 1.0), antialias=True),
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                v2.RandomGrayscale(0.2),
                v2.RandomApply([v2.GaussianBlur(max(3, self.size // 10 | 1), (0.1, 2.0))], p=0.5),
                v2.RandomHorizontalFlip(),
            ]
        )
        with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's own generator
            torch.manual_seed(int(rng.integers(2**31)))
            views = [augment(as_tensor(photo))[None] for _ in range(2)]
        return {"query": views[0], "key": views[1]}


class QptPatches(PretextSet):
    """Two patches of one degraded view, and patches of the same photograph under other damages (QPT, arXiv 2303.00521).

    Args:
        photos: paths.
        seed: with its number it decides everything about a sample.
        size: side of a patch, px.
        negatives: patches under other damages.
        space: where the damages come from.
    """

    def __init__(
        self, photos: Sequence[Path], *, seed: int, size: int, negatives: int = 1, space: QptSpace | None = None
    ) -> None:
        super().__init__(photos, seed=seed, size=size)
        self.negatives = negatives
        self.space = space or QptSpace()

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`query` and `key` (1, 3, size, size); `negative` (1, negatives, 3, size, size)."""
        _, photo = self.reader.draw(rng)
        photo = at_least(_region(photo, 2 * self.size, rng), self.size)
        views = [
            apply_chain(photo, self.space.draw(rng), [self.seed, 9, index, number])
            for number in range(1 + self.negatives)
        ]
        query, key, *others = (as_tensor(crop(view, self.size, rng)) for view in [views[0], *views])
        return {"query": query[None], "key": key[None], "negative": torch.stack(others)[None]}


class ArniqaPairs(PretextSet):
    """Crops of two photographs under one chain of damages, at two scales (ARNIQA, arXiv 2310.14918, §3.2).

    The reduced pair has the chain's damage at another strength, and is a hard negative of the pair at full scale.
    """

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`first` and `second` (2, 3, size, size): at full scale, and at half."""
        chain = draw_arniqa(rng)
        pairs = []
        for _ in range(2):
            _, photo = self.reader.draw(rng)
            photo = crop(at_least(photo, 2 * self.size), 2 * self.size, rng)
            damaged = apply_chain(photo, chain, [self.seed, 10, index])
            flip = [False, rng.random() < 0.5]
            scales = (crop(damaged, self.size, rng), half(damaged))
            pairs.append(torch.stack([as_tensor(flipped(scale, flip)) for scale in scales]))
        return {"first": pairs[0], "second": pairs[1]}


def _region(photo: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A part of at most side×side px: damaging what no view shows costs time only."""
    height, width = (min(side, length) for length in photo.shape[:2])
    top, left = (
        int(rng.integers(0, have - want + 1)) for have, want in zip(photo.shape, (height, width), strict=False)
    )
    return photo[top : top + height, left : left + width]
