"""The parts of a multitask run."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vlqa import artifacts
from vlqa.data.facts import DISTORTIONS, QUALITIES, SCENES
from vlqa.data.opinions import OpinionTable
from vlqa.data.rated import RatedPhotos
from vlqa.data.remembered import Remembered
from vlqa.data.training_sets import Interleaved, Renderings, SampleSource, UnlabelledPhotos
from vlqa.errors import ConfigError
from vlqa.hub import load
from vlqa.models.clip import ClipBackbone, build_backbone
from vlqa.models.lora import Adapters
from vlqa.models.vocabulary import pruned_vocabulary, words
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.prompted import PromptPredictor
from vlqa.predictors.views import WholeImage
from vlqa.prompts import PromptSet
from vlqa.resources import bundled
from vlqa.training.build.rated import labels_of, read_rated
from vlqa.training.build.run import Run
from vlqa.training.captions import all_words
from vlqa.training.config import MultitaskConfig
from vlqa.training.config.multitask import ModelConfig, RememberConfig
from vlqa.training.multitask import TAUGHT, MultitaskObjective
from vlqa.training.photos import find_photos, training_photos
from vlqa.training.teacher import MobileNetV2Teacher


def build(config: MultitaskConfig) -> Run:
    """A dual tower on rated and degraded photographs."""
    prompts = PromptSet.load(config.model.prompts)
    _check_labels(prompts)
    renderings = Renderings(
        training_photos(config.data),
        OpinionTable.read(config.data.opinions),
        seed=config.seed,
        pristine_share=config.data.pristine_share,
        mixture_share=config.data.mixture_share,
        reduced_share=config.data.reduced_share,
        versions=config.data.versions,
    )
    labels = labels_of(prompts)
    rated = [
        RatedPhotos(read_rated(entry), set_id=number, seed=config.seed, mos_range=entry.mos_range, labels=labels)
        for number, entry in enumerate(config.data.rated, start=1)
    ]
    sources: list[SampleSource] = [renderings, *rated]
    counts = [config.data.renderings_per_batch, *(entry.per_batch for entry in config.data.rated)]
    if config.data.unlabelled_per_batch:
        sources.append(UnlabelledPhotos(find_photos(config.data.unlabelled), seed=config.seed))
        counts.append(config.data.unlabelled_per_batch)
    backbone = _backbone(config.model, renderings.contents)
    teacher = MobileNetV2Teacher(config.data.teacher) if config.data.teacher else None
    objective = MultitaskObjective(backbone, prompts, renderings.contents, config.objective, config.seed, teacher)
    if config.data.remember is not None:
        sources = _remembered(config, config.data.remember, sources, teacher)
    samples = Interleaved(sources, counts, config.data.sizes, config.seed)

    def predictor() -> MultitaskPredictor:
        return MultitaskPredictor(
            backbone.eval(), prompts, WholeImage(max_shorter_side=config.model.max_shorter_side), name=config.name
        )

    return Run(objective, samples, sum(counts), predictor)


def _remembered(
    config: MultitaskConfig,
    remember: RememberConfig,
    sources: Sequence[SampleSource],
    teacher: MobileNetV2Teacher | None,
) -> list[SampleSource]:
    """Each source with its samples kept in a folder named after recipe, tables and teacher; not the photographs."""
    apart = {"remember", "rated", "unlabelled", "unlabelled_per_batch", "sizes", "workers", "renderings_per_batch"}
    decides: list[Any] = [config.data.model_dump(mode="json", exclude=apart)]
    decides += [entry.model_dump(mode="json", exclude={"per_batch"}) for entry in config.data.rated]
    decides += [[str(folder) for folder in config.data.unlabelled]] if config.data.unlabelled_per_batch else []
    tables = [config.data.opinions, config.data.teacher, *(entry.labels for entry in config.data.rated)]
    files = [hashlib.sha256(file.read_bytes()).hexdigest() for file in tables if file is not None]
    kept: list[SampleSource] = []
    for number, (source, what) in enumerate(zip(sources, decides, strict=True)):
        count = remember.others if number else remember.renderings
        digest = artifacts.digest_json([what, count, number, config.seed, config.model.prompts, files])
        kept.append(
            Remembered(
                source,
                remember.folder / digest[:16],
                count=count,
                sizes=config.data.sizes,
                seed=config.seed,
                group=1 if number else config.data.versions,
                further=None if teacher is None else functools.partial(_taught, copy.deepcopy(teacher)),
            )
        )
    return kept


def _taught(teacher: MobileNetV2Teacher, image: Tensor) -> dict[str, Tensor]:
    return {TAUGHT: teacher(image[None])[0]}


def _backbone(config: ModelConfig, contents: Sequence[str]) -> ClipBackbone:
    """A new one, or that of a saved model; with an adapter where the recipe has one."""
    if config.architecture is not None:
        backbone = build_backbone(with_vocabulary(config.architecture, contents))
    else:
        start = load(str(config.start), adapter=None, device="cpu")
        start = getattr(start, "high", start)
        if not isinstance(start, PromptPredictor):
            raise ConfigError(f"model.start: {config.start} has no text tower of its own; mini has")
        backbone = start.backbone.requires_grad_(True)
    if config.lora is not None:
        Adapters(backbone).add(config.lora.name, config.lora.options())
    return backbone


def _check_labels(prompts: PromptSet) -> None:
    """Losses and labels meet by position, so that every axis must be the one the labels were made for."""
    if prompts.kind != "joint":
        raise ConfigError(f"model.prompts: expected joint prompts, found {prompts.name!r} of kind {prompts.kind}")
    axes = dict(prompts.axes)
    for axis, labels in (("quality", QUALITIES), ("scene", SCENES), ("distortion", DISTORTIONS)):
        if axes.get(axis) != labels:
            expected, found = ", ".join(labels), ", ".join(axes.get(axis, ())) or "none"
            raise ConfigError(f"model.prompts: labels {axis} of {prompts.name!r}: expected {expected}, found {found}")


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
