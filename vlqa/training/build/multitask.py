"""The parts of a multitask run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vlqa.data.facts import DISTORTIONS, QUALITIES, SCENES
from vlqa.errors import ConfigError
from vlqa.models.clip import ClipBackbone, build_backbone
from vlqa.models.loading import check_names
from vlqa.models.quality_encoder import QualityEncoder
from vlqa.models.vocabulary import pruned_vocabulary, words
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.views import WholeImage
from vlqa.prompts import PromptSet
from vlqa.resources import bundled
from vlqa.training.build.encoders import (
    add_adapter,
    backbone_of_model,
    beside_low_level,
    encoder_of_model,
    low_level_of_model,
)
from vlqa.training.build.pictures import pictures_of
from vlqa.training.build.rated import labels_of
from vlqa.training.build.run import Run
from vlqa.training.captions import all_words
from vlqa.training.config import MultitaskConfig
from vlqa.training.config.multitask import ModelConfig
from vlqa.training.multitask import MultitaskObjective


def build(config: MultitaskConfig) -> Run:
    """A dual tower on rated and degraded photographs."""
    prompts = PromptSet.load(config.model.prompts)
    _check_labels(prompts)
    pictures = pictures_of(config.data, config.seed, labels_of(prompts))
    backbone = _backbone(config.model, pictures.contents, half=config.half)
    if config.model.trained == "head":
        backbone.visual.requires_grad_(False)
        _quality_tower(backbone).head.requires_grad_(True)
    folder = config.data.remember.folder / "pooled" if config.data.remember else None
    objective = MultitaskObjective(
        backbone, prompts, pictures.contents, config.objective, config.seed, pictures.teacher, folder
    )

    low = low_level_of_model(config.low)
    view = WholeImage(max_shorter_side=config.model.max_shorter_side, resampler=config.model.resampler)

    def predictor() -> ImagePredictor:
        high = MultitaskPredictor(backbone.eval(), prompts, view, name=config.name)
        return beside_low_level(high, low, config.low, config.name)

    return Run(objective, pictures.samples, pictures.batch_size, predictor)


def _backbone(config: ModelConfig, contents: Sequence[str], *, half: bool) -> ClipBackbone:
    """A new one, or that of a saved model; with an adapter where the recipe has one."""
    if config.architecture is not None:
        backbone = build_backbone(with_vocabulary(config.architecture, contents))
        if config.trunk is not None:
            _start_trunk(backbone, config.trunk)
    else:
        backbone = backbone_of_model(str(config.start), "model.start", tuned=False).requires_grad_(True)
    if config.lora is not None:
        add_adapter(backbone, config.lora, half=half)
    return backbone


def _start_trunk(backbone: ClipBackbone, model: str) -> None:
    encoder = encoder_of_model(model, "model.trunk")
    if not (torch.equal(encoder.mean, backbone.mean) and torch.equal(encoder.std, backbone.std)):
        raise ConfigError(f"model.trunk: {model} has other statistics of its input; train it with statistics: clip")
    tower = _quality_tower(backbone)
    given = encoder.trunk.state_dict()
    own = {name: value for name, value in tower.state_dict().items() if not name.startswith("head.")}
    check_names(given, own, f"the image tower (model.trunk {model})")
    tower.load_state_dict(given, strict=False)


def _quality_tower(backbone: ClipBackbone) -> QualityEncoder:
    if not isinstance(backbone.visual, QualityEncoder):
        raise ConfigError("model: only an image tower of kind quality has a trunk and a head")
    return backbone.visual


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
