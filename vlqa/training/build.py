"""From a recipe to the parts of a run: data, objective, and the predictor that comes out."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from vlqa.data.facts import DISTORTIONS, QUALITIES, SCENES
from vlqa.data.manifest import Manifest
from vlqa.data.opinions import OpinionTable
from vlqa.data.training_sets import Interleaved, RatedPhotos, Renderings
from vlqa.data.walk import walk
from vlqa.errors import ConfigError, ManifestError
from vlqa.models.clip import build_backbone
from vlqa.models.vocabulary import pruned_vocabulary, words
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.views import WholeImage
from vlqa.prompts import PromptSet
from vlqa.resources import bundled
from vlqa.training.captions import all_words
from vlqa.training.config import MultitaskConfig, TrainConfig
from vlqa.training.config.common import RatedSet
from vlqa.training.config.multitask import DataConfig
from vlqa.training.multitask import MultitaskObjective
from vlqa.training.teacher import MobileNetV2Teacher


@dataclass(frozen=True)
class Run:
    """What the loop needs.

    Attributes:
        objective: module whose call gives the total loss and its parts.
        samples: endless map from index to sample.
        batch_size: samples a step, over all processes.
        predictor: makes the predictor of the trained parts.
    """

    objective: MultitaskObjective
    samples: Dataset[dict[str, Tensor]]
    batch_size: int
    predictor: Callable[[], Any]


def build_run(config: TrainConfig) -> Run:
    """The parts of a run, from the table of methods."""
    builders: dict[str, Callable[[Any], Run]] = {"multitask": _multitask}
    return builders[config.method](config)


def _multitask(config: MultitaskConfig) -> Run:
    prompts = PromptSet.load(config.model.prompts)
    _check_labels(prompts)
    photos = find_photos(config.data.photos)
    training, _ = split_photos(photos, config.data.held_out_photos)
    if not training:
        raise ConfigError(
            f"data.held_out_photos: fewer than the {len(photos)} photographs expected, "
            f"found {config.data.held_out_photos}: none is left to train on"
        )
    renderings = Renderings(
        training,
        OpinionTable.read(config.data.opinions),
        seed=config.seed,
        pristine_share=config.data.pristine_share,
        mixture_share=config.data.mixture_share,
        reduced_share=config.data.reduced_share,
        versions=config.data.versions,
    )
    rated = _rated_sets(config.data, config.seed, prompts)
    counts = [config.data.renderings_per_batch, *(entry.per_batch for entry in config.data.rated)]
    architecture = with_vocabulary(config.model.architecture, renderings.contents)
    backbone = build_backbone(architecture)
    teacher = MobileNetV2Teacher(config.data.teacher) if config.data.teacher else None
    objective = MultitaskObjective(backbone, prompts, renderings.contents, config.objective, config.seed, teacher)
    samples = Interleaved([renderings, *rated], counts, config.data.sizes, config.seed)

    def predictor() -> MultitaskPredictor:
        return MultitaskPredictor(
            backbone.eval(), prompts, WholeImage(max_shorter_side=config.model.max_shorter_side), name=config.name
        )

    return Run(objective, samples, sum(counts), predictor)


def _check_labels(prompts: PromptSet) -> None:
    """Losses and labels meet by position, so that every axis must be the one the labels were made for."""
    if prompts.kind != "joint":
        raise ConfigError(f"model.prompts: expected joint prompts, found {prompts.name!r} of kind {prompts.kind}")
    axes = dict(prompts.axes)
    for axis, labels in (("quality", QUALITIES), ("scene", SCENES), ("distortion", DISTORTIONS)):
        if axes.get(axis) != labels:
            expected, found = ", ".join(labels), ", ".join(axes.get(axis, ())) or "none"
            raise ConfigError(f"model.prompts: labels {axis} of {prompts.name!r}: expected {expected}, found {found}")


def _rated_sets(data: DataConfig, seed: int, prompts: PromptSet) -> list[RatedPhotos]:
    sets = []
    for number, entry in enumerate(data.rated, start=1):
        manifest = Manifest.read(entry.labels, images=entry.images)
        if entry.exclude_folds:
            manifest = manifest.subset(_outside(manifest, entry))
        rated = RatedPhotos(
            manifest,
            set_id=number,
            seed=seed,
            mos_range=entry.mos_range,
            fold_distortion=functools.partial(prompts.fold, "distortion"),
        )
        sets.append(rated)
    return sets


def _outside(manifest: Manifest, entry: RatedSet) -> list[bool]:
    if manifest.fold is None:
        raise ManifestError(f"{entry.labels}: exclude_folds needs a column fold")
    return [int(fold) not in entry.exclude_folds for fold in manifest.fold]


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


def with_vocabulary(architecture: dict[str, Any], contents: Sequence[str]) -> dict[str, Any]:
    """The architecture with the vocabulary of captions and bundled prompts, unless it has one or wants all tokens."""
    text = architecture.get("text_cfg", {})
    if architecture.get("vision_cfg", {}).get("kind") != "quality" or "vocabulary" in text:
        return architecture
    taught = list(all_words(contents))
    prompts = [text for name in bundled("prompts") for text in PromptSet.load(name).texts]
    known = {word for sentence in taught for word in words(sentence)}
    untaught = sorted({word for text in prompts for word in words(text)} - known)
    vocabulary = pruned_vocabulary([*taught, *prompts])
    return {**architecture, "text_cfg": {**text, "vocabulary": vocabulary, "untaught": untaught}}
