"""The parts of runs that tune a CLIP-type backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlqa import artifacts
from vlqa.data.pretext.clip_views import CentreSquares, RisingDamage
from vlqa.data.rated import Labels, RatedPhotos, RatedWindows
from vlqa.data.training_sets import Interleaved
from vlqa.errors import CheckpointError, ConfigError
from vlqa.models.attention_pool import AttentionPool
from vlqa.models.clip import ClipBackbone, build_backbone, download_weights
from vlqa.models.learned_context import LearnedContext
from vlqa.predictors.antonym import AntonymPredictor
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.views import LiqePatches, View, view_from_dict
from vlqa.prompts import PromptSet
from vlqa.training.build.encoders import add_adapter, beside_low_level, low_level_of_model
from vlqa.training.build.rated import labels_of, read_rated
from vlqa.training.build.run import Run
from vlqa.training.clip_iqa_plus import ClipIqaPlusObjective
from vlqa.training.config.clip import (
    BackboneConfig,
    ClipIqaPlusConfig,
    GrepqHighConfig,
    GroupConfig,
    LiqeConfig,
    QualiClipConfig,
)
from vlqa.training.grepq_high import GrepqHighObjective
from vlqa.training.group_contrast import GroupContrast, Sentences
from vlqa.training.liqe import LiqeObjective
from vlqa.training.photos import training_photos
from vlqa.training.qualiclip import QualiClipObjective
from vlqa.training.tasks import TASKS, JointTasks


def build_liqe(config: LiqeConfig) -> Run:
    """A backbone on rated sets; with a low-level model the predictor scores by both."""
    prompts = PromptSet.load(config.prompts)
    if prompts.kind != "joint" or len(dict(prompts.axes).get("quality", ())) < 2:
        raise ConfigError(f"prompts: expected joint prompts with two labels of quality or more, found {prompts.name!r}")
    labels = labels_of(prompts)
    rated = [
        RatedWindows(
            read_rated(entry, unrated=True),
            set_id=number,
            seed=config.seed,
            mos_range=entry.mos_range,
            labels=labels,
            windows=config.data.windows,
        )
        for number, entry in enumerate(config.data.sets, start=1)
    ]
    backbone = trained_backbone(config.model, half=config.half)
    counts = [entry.per_batch for entry in config.data.sets]
    objective = LiqeObjective(
        backbone,
        prompts,
        JointTasks(prompts, {task: getattr(config, task) for task in TASKS}, config.balance),
        group_contrast(backbone, config.group, sum(counts) // config.accumulate) if config.group else None,
        config.group.weight if config.group else 0.0,
    )
    view: View = LiqePatches(size=config.data.size)
    low = low_level_of_model(config.low)

    def predictor() -> ImagePredictor:
        high = MultitaskPredictor(backbone.eval(), prompts, view, name=config.name)
        return beside_low_level(high, low, config.low, config.name)

    samples = Interleaved(rated, counts, [config.data.size], config.seed)
    return Run(objective, samples, sum(counts), predictor)


def build_grepq_high(config: GrepqHighConfig) -> Run:
    """A backbone tuned on photographs without labels, by prompts that tell the good from the bad."""
    backbone = trained_backbone(config.model, half=config.half)
    pictures = config.data.photos_per_batch // config.accumulate
    objective = GrepqHighObjective(backbone, group_contrast(backbone, config.group, pictures))
    samples = CentreSquares(training_photos(config.data), seed=config.seed, size=config.data.size)
    prompts = PromptSet.load(config.group.prompts)
    return Run(objective, samples, config.data.photos_per_batch, lambda: _by_pairs(backbone, prompts, config.name))


def build_qualiclip(config: QualiClipConfig) -> Run:
    """A backbone that ranks versions of a photograph by their damage."""
    backbone = trained_backbone(config.model, half=config.half)
    prompts = _pairs(config.prompts)
    objective = QualiClipObjective(backbone, Sentences(backbone, prompts), config.margin)
    samples = RisingDamage(training_photos(config.data), seed=config.seed, size=config.data.size, levels=config.levels)
    return Run(objective, samples, config.data.photos_per_batch, lambda: _by_pairs(backbone, prompts, config.name))


def build_clip_iqa_plus(config: ClipIqaPlusConfig) -> Run:
    """Words around a pair of sentences, learned on a rated set."""
    if config.model.lora is not None:
        raise ConfigError("model.lora: clip-iqa-plus trains its words and no adapter; leave lora out")
    backbone = trained_backbone(config.model, half=config.half)
    prompts = _pairs(config.prompts)
    if len(prompts.pairs) != 1:
        raise ConfigError(f"prompts: expected one pair of opposite sentences, found {len(prompts.pairs)}")
    objective = ClipIqaPlusObjective(backbone, LearnedContext.random(config.words, prompts.pairs[0], backbone))
    entry = config.data.rated
    labels = Labels(scenes=(), distortions=(), worth=(0.0, 1.0))
    rated = RatedPhotos(read_rated(entry), set_id=1, seed=config.seed, mos_range=entry.mos_range, labels=labels)
    samples = Interleaved([rated], [entry.per_batch], [config.data.size], config.seed)
    return Run(
        objective,
        samples,
        entry.per_batch,
        lambda: _by_pairs(backbone, prompts, config.name, objective.context),
    )


def _by_pairs(
    backbone: ClipBackbone, prompts: PromptSet, name: str, context: LearnedContext | None = None
) -> AntonymPredictor:
    view = view_from_dict({"kind": "square" if backbone.fixed_size else "whole"}, backbone)
    return AntonymPredictor(backbone.eval(), prompts, view, context=context, name=name)


def _pairs(name: str) -> PromptSet:
    prompts = PromptSet.load(name)
    if prompts.kind == "joint":
        raise ConfigError(f"prompts: expected pairs of opposite sentences, found {prompts.name!r} of kind joint")
    return prompts


def trained_backbone(config: BackboneConfig, *, half: bool = False) -> ClipBackbone:
    """A backbone with its start values, of which what the recipe says is trained.

    Args:
        config: the recipe's `model`.
        half: whether the model is stored in float16.

    Raises:
        CheckpointError: start values that are missing or do not fit.
        ConfigError: an adapter whose base would not be stored as it is.
    """
    given: dict[str, Any] = {"attention_pool_position": config.attention_pool_position}
    if config.weights is None:
        backbone = build_backbone(config.architecture, **given)
    elif Path(config.weights).is_file():
        backbone = build_backbone(config.architecture, weights=artifacts.read_checkpoint(Path(config.weights)), **given)
    elif isinstance(config.architecture, str):
        architecture, weights = download_weights(config.architecture, config.weights)
        backbone = build_backbone(architecture, weights=weights, **given)
    else:
        raise CheckpointError(f"model.weights: there is no file {config.weights}")
    if config.lora is None:
        backbone.requires_grad_(False)
        for tower in config.trained:
            getattr(backbone, "visual" if tower == "image" else "text").requires_grad_(True)
        for part in backbone.modules():  # of several processes, each waits for every gradient that was promised
            if isinstance(part, AttentionPool) and not part.use_position:
                part.positional_embedding.requires_grad_(False)
    else:
        add_adapter(backbone, config.lora, half=half)
    return backbone


def group_contrast(backbone: ClipBackbone, config: GroupConfig, pictures: int) -> GroupContrast:
    """GRepQ's loss on the features of a backbone.

    Args:
        backbone: whose features are contrasted.
        config: the recipe's `group`.
        pictures: in a pass.

    Raises:
        ConfigError: prompts other than one pair of opposite sentences, or too few pictures for two groups of two.
    """
    if pictures < 4:
        raise ConfigError(f"group: {pictures} pictures a pass make no two groups of two; take 4 or more a batch")
    prompts = PromptSet.load(config.prompts)
    if prompts.kind == "joint" or len(prompts.pairs) != 1:
        raise ConfigError(f"group.prompts: expected one pair of opposite sentences, found {prompts.name!r}")
    return GroupContrast(
        Sentences(backbone, prompts),
        prompts.temperature or 1 / backbone.logit_scale,
        backbone.embed_dim,
        share=config.share,
        width=config.width,
        contrast=config.temperature,
    )
