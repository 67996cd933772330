"""Pictures to learn from: photographs degraded on the fly, and several sources side by side.

A sample depends on the seed, its number and its size alone, so that a run can be resumed anywhere by counting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vlqa.data.crops import PhotoReader, as_tensor, degrade_crop, random_crop
from vlqa.data.degradations import TYPES
from vlqa.data.facts import (
    DISTORTIONS,
    QUALITIES,
    SCENES,
    Facts,
    attribute_vector,
    damage_attributes,
    measured_attributes,
    opinion_attribute,
)
from vlqa.data.opinions import PRISTINE_OPINION, OpinionTable, combined_opinion
from vlqa.types import Pixels

PRISTINE_TYPE = 25
_INVISIBLE = {(1, 1), (3, 1), (8, 1), (18, 3), (25, 3)}  # type and level that leave an 8-bit picture nearly unchanged
_SAME_TYPE = 0.5  # share of the damages that a crop's versions have in common, so that levels of one type meet
_MOST_REDUCED = 1.8  # times a crop is larger when it is damaged than when it is seen
_WORDNET = re.compile(r"n(\d{8})_(.+)")


class SampleSource(Protocol):
    """As many labelled pictures as asked for, each made from its number."""

    def sample(self, number: int, size: int) -> dict[str, Tensor]:
        """Picture `number` as `image` (3, size, size) uint8, and the fields of `Facts`."""
        ...


class Renderings:
    """Crops of photographs with one or two random damages, labelled by the opinion table.

    Neighbours share a crop, so that every batch asks which of two versions of one picture looks better.

    Args:
        photos: paths; a file that cannot be read is left out, with one warning.
        opinions: mean opinion of each type and level.
        seed: with the number it decides everything about a sample.
        pristine_share: share of samples without damage.
        mixture_share: share of samples with two damages.
        reduced_share: share of crops damaged at a larger size than the encoder sees, as pictures from a camera are.
        versions: samples in a row that share a crop.
    """

    def __init__(
        self,
        photos: Sequence[Path],
        opinions: OpinionTable,
        *,
        seed: int,
        pristine_share: float = 0.08,
        mixture_share: float = 0.2,
        reduced_share: float = 0.4,
        versions: int = 2,
    ) -> None:
        self.photos = list(photos)
        self.contents = content_names(photos)
        self._content_index = {name: i for i, name in enumerate(self.contents)}
        self.opinions = opinions
        self.seed = seed
        self.pristine_share = pristine_share
        self.mixture_share = mixture_share
        self.reduced_share = reduced_share
        self.versions = versions
        self._reader = PhotoReader(self.photos)

    def sample(self, number: int, size: int) -> dict[str, Tensor]:
        """Picture `number` as `image` (3, size, size) uint8, and the fields of `Facts`."""
        shared = np.random.default_rng([self.seed, 0, number // self.versions])
        row, image = self._reader.draw(shared)
        before = size
        if shared.random() < self.reduced_share:
            before = max(size, min(*image.shape[:2], round(size * shared.uniform(1, _MOST_REDUCED))))
        image = random_crop(image, before, shared)
        common_type = int(shared.integers(1, 26))

        image, facts = self._damage(image, common_type, np.random.default_rng([self.seed, 3, number]))
        if before != size:
            image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
        photo = self.photos[row]
        facts.content = self._content_index.get(_content(photo) or "", -1)
        facts.scenes = content_scenes(photo)
        return {"image": as_tensor(image), **facts.tensors()}

    def _damage(self, image: Pixels, common_type: int, rng: np.random.Generator) -> tuple[Pixels, Facts]:
        if rng.random() < self.pristine_share:
            degrees = damage_attributes(None, 1.0) | measured_attributes(image)
            degrees["quality"] = opinion_attribute(PRISTINE_OPINION)
            return image, Facts(mos=PRISTINE_OPINION, type=PRISTINE_TYPE, attributes=attribute_vector(degrees))
        number = common_type if rng.random() < _SAME_TYPE else int(rng.integers(1, 26))
        level, image = self._one_damage(image, number, rng)
        mos = self.opinions.opinion(number, level)
        visible = (number, round(level)) not in _INVISIBLE
        degrees = damage_attributes(number, self.opinions.visibility(number, level))
        mixed = rng.random() < self.mixture_share
        if mixed:
            second = int(rng.integers(1, 26))
            second_level, image = self._one_damage(image, second, rng)
            other = self.opinions.opinion(second, second_level)
            later = damage_attributes(second, self.opinions.visibility(second, second_level))
            degrees = {name: float(np.minimum(degrees[name], later[name])) for name in degrees}
            if other < mos:
                number, visible = second, (second, round(second_level)) not in _INVISIBLE
            mos = combined_opinion(mos, other)
        degrees |= {"quality": opinion_attribute(mos)} | measured_attributes(image)
        return image, Facts(
            mos=mos,
            distortion=DISTORTIONS.index(TYPES[number - 1].distortion) if visible else -1,
            type=number - 1 if visible and not mixed else -1,
            attributes=attribute_vector(degrees),
            severity=(0 if mos > 3.6 else 1 if mos > 2.4 else 2) if visible else -1,
        )

    def _one_damage(self, image: Pixels, number: int, rng: np.random.Generator) -> tuple[float, Pixels]:
        level = float(rng.integers(1, 6)) if rng.random() < 0.5 else float(rng.uniform(1, 5))
        return level, degrade_crop(image, number, level, rng)


class UnlabelledPhotos:
    """Random crops of photographs of which nothing is known but what is measured on them.

    Args:
        photos: paths; a file that cannot be read is left out, with one warning.
        seed: with the number it decides everything about a sample.
    """

    def __init__(self, photos: Sequence[Path], *, seed: int) -> None:
        self.seed = seed
        self._reader = PhotoReader(photos)

    def sample(self, number: int, size: int) -> dict[str, Tensor]:
        """Picture `number` as `image` (3, size, size) uint8, and the fields of `Facts`."""
        rng = np.random.default_rng([self.seed, 14, number])
        _, image = self._reader.draw(rng)
        image = random_crop(image, size, rng)
        return {"image": as_tensor(image), **Facts(attributes=attribute_vector(measured_attributes(image))).tensors()}


class Interleaved(Dataset[dict[str, Tensor]]):
    """Fixed places of every batch for each set, so that each batch has pairs of every set, and one size a batch.

    Args:
        sources: the sets.
        counts: samples of each set in a batch.
        sizes: sides of the crops, pixels; each batch has one of them.
        seed: with the number of the batch it decides the size.
    """

    def __init__(self, sources: Sequence[SampleSource], counts: Sequence[int], sizes: Sequence[int], seed: int) -> None:
        self.sources = list(sources)
        self.counts = list(counts)
        self.sizes = list(sizes)
        self.seed = seed
        # spread evenly, so that a process that takes a part of a batch has its share of every set
        places = sorted(((k + 0.5) / count, i, k) for i, count in enumerate(counts) for k in range(count))
        self._places = [(i, k) for _, i, k in places]

    def __len__(self) -> int:
        return 2**40  # as many as asked for: samples are made from their number

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Sample `index` of the whole run."""
        batch, place = divmod(index, len(self._places))
        source, k = self._places[place]
        size = int(np.random.default_rng([self.seed, 4, batch]).choice(self.sizes))
        return self.sources[source].sample(batch * self.counts[source] + k, size)


def content_names(photos: Sequence[Path]) -> list[str]:
    """Object names that stand in file names such as n01440764_tench.jpg, sorted, each once."""
    return sorted({name for name in map(_content, photos) if name})


def content_scenes(photo: Path) -> Any:
    """(9,) scene labels that a file's place or WordNet id settles: 1 yes, 0 no, −1 where it says nothing.

    What an object is not must be told as well: with animals alone as labels, everything became an animal.
    """
    scenes = np.full(len(SCENES), -1)

    def tell(scene: str | None, *never: str) -> Any:
        scenes[[SCENES.index(name) for name in never]] = 0
        if scene is not None:
            scenes[SCENES.index(scene)] = 1
        return scenes

    if photo.parent.name == "urban100":  # facades and streets
        return tell("cityscape", "animal", "human", "plant", "still_life", "others")
    match = _WORDNET.match(photo.stem)
    if match is None:
        return scenes
    number = int(match[1])
    if number < 2_520_000:
        return tell("animal", "cityscape", "night", "indoor", "still_life", "others")
    if 9_180_000 < number < 9_500_000:
        return tell("landscape", "animal", "indoor", "still_life", "others")
    if 11_000_000 < number < 14_000_000:
        return tell("plant", "animal", "cityscape", "human", "night", "others")
    return tell(None, "animal", "plant", "landscape", "others")


def _content(photo: Path) -> str | None:
    match = _WORDNET.match(photo.stem)
    return match[2].replace("_", " ").lower() if match else None


def quality_bin(mos: Tensor) -> Tensor:
    """Index into QUALITIES of opinions on 1–5, five equal bins; −1 where NaN."""
    bins = ((mos - 1) / 0.8).floor().clamp(0, len(QUALITIES) - 1)
    return torch.where(torch.isnan(mos), -1, bins.nan_to_num(0).long())
