"""Random backbones small enough for fast tests, and pictures of many sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vlqa.models.clip import ClipBackbone, build_backbone
from vlqa.prompts import PromptSet

_TEXT = {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
VIT: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": _TEXT,
}
CONVOLUTIONS: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"kind": "quality", "widths": [8, 8], "blocks": [1, 1], "hidden": 16},
    "text_cfg": _TEXT,
}


def backbone(architecture: dict[str, Any], seed: int = 0) -> ClipBackbone:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = build_backbone(architecture)
    return built.requires_grad_(False)


def joint_prompts() -> PromptSet:
    return PromptSet.from_dict(
        {
            "kind": "joint",
            "name": "tiny",
            "template": "a photo of a {scene} with {distortion}, which is of {quality} quality",
            "labels": {
                "quality": ["bad", "fair", "good"],
                "scene": ["city", "forest"],
                "distortion": ["noise", "blur"],
            },
        }
    )


def pictures(count: int, seed: int = 0, lowest: int = 20, highest: int = 120) -> list[NDArray[np.uint8]]:
    numbers = np.random.default_rng(seed)
    sizes = numbers.integers(lowest, highest, (count, 2)).tolist()
    return [numbers.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in sizes]
