"""LIQE's published weights: a CLIP ViT-B/32 whose two towers were tuned (repository zwx8981/LIQE a64655f).

Layouts: `LIQE.pt` is the state dict itself under OpenAI's names; its training script saves that under
`model_state_dict`; IQA-PyTorch 01ae427 saves it under `params` with the prefix `clip_model.`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vlqa.errors import CheckpointError
from vlqa.models.clip import ClipBackbone, build_backbone
from vlqa.models.clip_weights import architecture_of_openai

_PREFIX = "clip_model."


def read(checkpoint: Mapping[str, Any]) -> ClipBackbone:
    """Build LIQE's backbone from a published checkpoint of any layout.

    Raises:
        CheckpointError: names or shapes other than those of a CLIP.
    """
    weights = _state_dict(checkpoint)
    return build_backbone(architecture_of_openai(weights), weights=weights, copy_weights=False)


def prompts_of(file: Path, checkpoint: Mapping[str, Any]) -> str:
    """Name of the prompts a checkpoint was trained with.

    IQA-PyTorch's two files have the same tensors under the same names; only what they are called tells the one that
    was trained on KonIQ-10k with five sentences from the other with 495.
    """
    if "params" not in checkpoint:
        return "liqe_multitask"
    name = file.name.lower()
    if "koniq" not in name and "mix" not in name:
        logging.getLogger(__name__).warning(
            "%s: taken for IQA-PyTorch's liqe_mix (495 sentences); if it is liqe_koniq, pass --prompts liqe_quality",
            file,
        )
    return "liqe_quality" if "koniq" in name else "liqe_multitask"


def _state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    nested = next((checkpoint[key] for key in ("model_state_dict", "params") if key in checkpoint), checkpoint)
    if not isinstance(nested, Mapping):
        raise CheckpointError(f"expected LIQE's named tensors, found {type(nested).__name__}")
    weights = {name.removeprefix("module."): value for name, value in nested.items() if isinstance(value, Tensor)}
    if any(name.startswith(_PREFIX) for name in weights):
        if foreign := [name for name in weights if not name.startswith(_PREFIX)]:
            raise CheckpointError(
                f"unknown name {foreign[0]} among LIQE's {_PREFIX}*; is this the file of another method?"
            )
        weights = {name.removeprefix(_PREFIX): value for name, value in weights.items()}
    return weights
