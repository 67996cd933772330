"""The pictures of a recipe, made anew or kept: photographs degraded on the fly, rated sets, and unlabelled ones."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vlqa import artifacts
from vlqa.data.opinions import OpinionTable
from vlqa.data.rated import Labels, RatedPhotos
from vlqa.data.remembered import Remembered
from vlqa.data.training_sets import Interleaved, Renderings, SampleSource, UnlabelledPhotos
from vlqa.training.build.rated import read_rated
from vlqa.training.config.pictures import PicturesConfig, RememberConfig
from vlqa.training.photos import find_photos, training_photos
from vlqa.training.teacher import TAUGHT, MobileNetV2Teacher


@dataclass(frozen=True)
class Pictures:
    """What a run sees.

    Attributes:
        samples: endless map from index to sample.
        batch_size: samples a step.
        contents: names of the object classes among the photographs, for captions.
        teacher: network that looks at the pictures too, where the recipe names one.
    """

    samples: Interleaved
    batch_size: int
    contents: Sequence[str]
    teacher: MobileNetV2Teacher | None


def pictures_of(config: PicturesConfig, seed: int, labels: Labels) -> Pictures:
    """All sources of a recipe side by side; what is kept on disk does not depend on how they share a batch.

    Args:
        config: the recipe's `data`.
        seed: with the number of a sample it decides everything about it.
        labels: of scenes and distortions in the rated sets.
    """
    renderings = Renderings(
        training_photos(config),
        OpinionTable.read(config.opinions),
        seed=seed,
        pristine_share=config.pristine_share,
        mixture_share=config.mixture_share,
        reduced_share=config.reduced_share,
        versions=config.versions,
    )
    sources: list[SampleSource] = [renderings]
    for number, entry in enumerate(config.rated, start=1):
        rows = read_rated(entry, unrated=True)
        sources.append(
            RatedPhotos(rows, set_id=number, seed=seed, mos_range=entry.mos_range, labels=labels, whole=entry.whole)
        )
    counts = [config.renderings_per_batch, *(entry.per_batch for entry in config.rated)]
    if config.unlabelled_per_batch:
        sources.append(UnlabelledPhotos(find_photos(config.unlabelled), seed=seed))
        counts.append(config.unlabelled_per_batch)
    teacher = MobileNetV2Teacher(config.teacher) if config.teacher else None
    if config.remember is not None:
        sources = _remembered(config, config.remember, seed, labels, sources, teacher)
    return Pictures(Interleaved(sources, counts, config.sizes, seed), sum(counts), renderings.contents, teacher)


def _remembered(
    config: PicturesConfig,
    remember: RememberConfig,
    seed: int,
    labels: Labels,
    sources: Sequence[SampleSource],
    teacher: MobileNetV2Teacher | None,
) -> list[SampleSource]:
    """Each source with its samples kept in a folder named after recipe, tables and teacher; not the photographs."""
    of_renderings = {"photos", "opinions", "held_out_photos", "versions", "teacher"}
    of_renderings |= {"pristine_share", "mixture_share", "reduced_share"}
    decides: list[Any] = [[config.model_dump(mode="json", include=of_renderings), _digest(config.opinions)]]
    for entry in config.rated:
        rated = entry.model_dump(mode="json", exclude={"per_batch"})
        decides.append([rated, _digest(entry.labels), labels.scenes, labels.distortions, labels.worth])
    decides += [[str(folder) for folder in config.unlabelled]] if config.unlabelled_per_batch else []
    kept: list[SampleSource] = []
    for number, (source, what) in enumerate(zip(sources, decides, strict=True)):
        count = remember.others if number else remember.renderings
        digest = artifacts.digest_json([what, count, number, seed, _digest(config.teacher)])
        kept.append(
            Remembered(
                source,
                remember.folder / digest[:16],
                count=count,
                sizes=config.sizes,
                seed=seed,
                group=1 if number else config.versions,
                mirrored=remember.mirrored,
                further=None if teacher is None else functools.partial(_taught, copy.deepcopy(teacher)),
            )
        )
    return kept


def _digest(file: Any) -> str | None:
    return None if file is None else hashlib.sha256(file.read_bytes()).hexdigest()


def _taught(teacher: MobileNetV2Teacher, image: Tensor) -> dict[str, Tensor]:
    return {TAUGHT: teacher(image[None])[0]}
