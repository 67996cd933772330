"""CLIP-IQA+ (IceClear/CLIP-IQA 061fd3c; IQA-PyTorch 01ae427): learned words around CLIP-IQA's pair.

Part `context` is a bare tensor (n, d) or (2, n, d), or {"params": …} with `prompt_learner.ctx`; part `clip` the OpenAI
CLIP it was learned on, RN50 from the cache or the hub where it is not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vlqa import artifacts
from vlqa.errors import CheckpointError, naming
from vlqa.hub.convert import clip_iqa
from vlqa.hub.prompted import PromptParts
from vlqa.models.clip import download_weights
from vlqa.models.learned_context import LearnedContext
from vlqa.predictors.views import WholeImage, view_from_dict
from vlqa.prompts import PromptSet

_NAME = "prompt_learner.ctx"


def read(name: str, files: Mapping[str, Path]) -> PromptParts:
    """Build the backbone and the words.

    Raises:
        CheckpointError: no learned words in the file, or of another width than the backbone's.
    """
    if "clip" in files:
        with naming(files["clip"]):
            backbone = clip_iqa.read(artifacts.read_checkpoint(files["clip"]))
    else:
        backbone = clip_iqa.read(download_weights("RN50", "openai")[1])
    prompts = PromptSet.load("clip_iqa")
    with naming(files["context"]):
        vectors = _vectors(artifacts.read_checkpoint(files["context"]))
        context = LearnedContext(vectors, prompts.pairs[0], backbone)
    view = view_from_dict({"kind": "square"}, backbone) if backbone.fixed_size else WholeImage()
    return PromptParts(name, backbone, prompts, view, context=context)


def _vectors(checkpoint: Mapping[str, Any]) -> Tensor:
    named = checkpoint.get("params", checkpoint)
    for name in ("", _NAME):  # a bare tensor is read under no name
        if isinstance(named, Mapping) and isinstance(named.get(name), Tensor):
            vectors: Tensor = named[name]
            return vectors
    found = ", ".join(map(str, list(named)[:4]))
    raise CheckpointError(f"expected a tensor of learned words, or one named {_NAME}; found {found}")
