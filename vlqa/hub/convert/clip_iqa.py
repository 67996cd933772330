"""CLIP-IQA is an OpenAI CLIP as published, used without the attention pool's positional embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vlqa.models.clip import ClipBackbone, build_backbone
from vlqa.models.clip_weights import architecture_of_openai


def read(checkpoint: Mapping[str, Any]) -> ClipBackbone:
    """Build CLIP-IQA's backbone from OpenAI's state dict, in OpenAI's or open_clip's names.

    The paper's is RN50, which then takes any size; a vision transformer keeps its embedding and its one size.

    Raises:
        CheckpointError: names or shapes other than those of an OpenAI CLIP.
    """
    architecture = architecture_of_openai(checkpoint)
    resnet = isinstance(architecture["vision_cfg"]["layers"], list)
    return build_backbone(
        architecture, weights=checkpoint, attention_pool_position=False if resnet else None, copy_weights=False
    )
