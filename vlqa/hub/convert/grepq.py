"""GRepQ's two views together (repository SushantG/GRepQ 61dd615): a tuned CLIP image tower and the low-level encoder.

The image tower's `.pth` is a bare state dict without the prefix `visual.`; its text tower is that of OpenAI's RN50,
which was not tuned and comes in a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlqa import artifacts
from vlqa.errors import naming
from vlqa.hub.convert import clip_iqa, grepq_low
from vlqa.hub.ensemble import EnsembleParts
from vlqa.hub.prompted import PromptParts
from vlqa.models.clip import ClipBackbone
from vlqa.models.clip_weights import normalize_names
from vlqa.models.loading import check_names, find_state_dict
from vlqa.predictors.views import WholeImage
from vlqa.prompts import PromptSet


def read(name: str, files: Mapping[str, Path]) -> EnsembleParts:
    """Build both views: parts `clip` (whole RN50), `high` (its tuned image tower), `low` and `pristine`.

    Raises:
        CheckpointError: names or shapes other than published.
    """
    with naming(files["clip"]):
        clip = normalize_names(artifacts.read_checkpoint(files["clip"]))
        backbone = clip_iqa.read(clip)
    with naming(files["high"]):
        _replace_image_tower(backbone, artifacts.read_checkpoint(files["high"]))
    high = PromptParts(name, backbone, PromptSet.load("grepq"), WholeImage())
    return EnsembleParts(name, high, grepq_low.read(name, files))


def _replace_image_tower(backbone: ClipBackbone, checkpoint: Mapping[str, Any]) -> None:
    tower = {name.removeprefix("visual."): tensor for name, tensor in find_state_dict(checkpoint).items()}
    own = backbone.visual.state_dict()
    check_names(tower, own, "the image tower of part clip")
    backbone.visual.load_state_dict(tower)
