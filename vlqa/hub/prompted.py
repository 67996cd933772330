"""Models that compare images with sentences: from published or stored weights to a predictor, and back."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlqa import artifacts
from vlqa.errors import CheckpointError, ConfigError, naming
from vlqa.hub.options import common_options
from vlqa.hub.table import ModelRow
from vlqa.models import lora
from vlqa.models.clip import ClipBackbone, build_backbone, download_weights
from vlqa.models.hub_tokenizer import HubTokenizer
from vlqa.models.learned_context import LearnedContext
from vlqa.predictors.antonym import AntonymPredictor
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.prompted import PromptPredictor
from vlqa.predictors.views import View, view_from_dict, view_options
from vlqa.prompts import PromptSet

ADAPTERS = "adapters"
"""Folder of a model's adapters, each in a folder of its name."""

TOKENIZER = "tokenizer"
"""Folder of a tokenizer that is not part of a package."""

_VECTORS = "context.vectors"


@dataclass(frozen=True)
class PromptParts:
    """What a predictor by sentences is made of.

    Attributes:
        name: of the model.
        backbone: both towers.
        prompts: the model's own sentences.
        view: which pixels it sees.
        adapters: folders of its adapters in peft's format, by name.
        adapter: the one that is used where nothing else is asked for.
        context: learned words around its own prompts.
    """

    name: str
    backbone: ClipBackbone
    prompts: PromptSet
    view: View
    adapters: Mapping[str, Path] = field(default_factory=dict)
    adapter: str | None = None
    context: LearnedContext | None = None

    def base(self, name: str) -> PromptParts:
        """The same without an adapter in use, under another name."""
        return dataclasses.replace(self, name=name, adapter=None)

    @property
    def own_options(self) -> tuple[str, ...]:
        """Options of `vlqa.load` that it takes besides those that all models take."""
        return (*self._view_fields, "adapter", "merge")

    @property
    def _view_fields(self) -> dict[str, str]:
        kind = self.view.as_dict()["kind"]
        # LIQE's windows are what its weights were trained on; only the rule is a choice
        return {"patches": "rule"} if kind == "liqe" else {key: key for key in view_options(kind)}

    def predictor(
        self, prompts: PromptSet | None, options: Mapping[str, Any], device: torch.device, dtype: torch.dtype
    ) -> PromptPredictor:
        """Assemble: with other prompts than the model's own where they are given.

        Raises:
            ConfigError: an option that the model has not.
        """
        common = common_options(self.name, self.own_options, options)
        of_view = self._view_fields
        changes = {of_view[option]: value for option, value in options.items() if option in of_view}
        view = view_from_dict(self.view.as_dict() | changes, self.backbone) if changes else self.view
        self._adapt(options.get("adapter", self.adapter), merge=options.get("merge", True))
        self.backbone.eval().requires_grad_(False)
        self.backbone.to(device)
        self.backbone.cast(dtype)
        chosen = prompts or self.prompts
        # the method follows the sentences: pairs are compared one by one, joint prompts share a softmax
        if chosen.kind == "joint":
            return MultitaskPredictor(self.backbone, chosen, view, name=self.name, **common)
        context = self.context if prompts is None else None
        if context is not None:
            context.to(device).requires_grad_(False)
        return AntonymPredictor(self.backbone, chosen, view, context=context, name=self.name, **common)

    def _adapt(self, adapter: str | os.PathLike[str] | None, *, merge: bool) -> None:
        """Put an adapter of the model, or of a folder, in use: added to the weights, or beside them to be switched."""
        if not isinstance(merge, bool):
            raise ConfigError(f"merge must be True or False, not {merge!r}")
        folders = {} if merge else dict(self.adapters)
        chosen = None
        if adapter is not None:
            chosen, folder = self._adapter_folder(adapter)
            if folders.get(chosen, folder).resolve() != folder.resolve():
                raise ConfigError(f"{self.name} has an adapter {chosen!r} of its own; rename the folder {folder}")
            folders[chosen] = folder
        if not folders:
            return
        adapters = lora.Adapters(self.backbone)
        for name, folder in folders.items():
            adapters.read(folder, name)
        adapters.use(chosen)
        if merge:
            adapters.merge()

    def _adapter_folder(self, adapter: str | os.PathLike[str]) -> tuple[str, Path]:
        if isinstance(adapter, str) and adapter in self.adapters:
            return adapter, self.adapters[adapter]
        if not isinstance(adapter, str | os.PathLike):
            raise ConfigError(f"adapter must be a name, a folder or None, not {adapter!r}")
        folder = Path(adapter).expanduser()
        if not folder.is_dir():
            there = ", ".join(self.adapters) or "none"
            raise ConfigError(
                f"there is no adapter {str(adapter)!r} in {self.name} ({there}), and no folder of that name"
            )
        return re.sub(r"\W", "_", folder.name), folder


def published(row: ModelRow, weights: Path | None, prompts: PromptSet | None) -> PromptParts:
    """A model of the table from its published file or folder, or from open_clip's download where `weights` is None.

    Raises:
        CheckpointError: missing weights, or weights of another model.
    """
    converter = importlib.import_module(f"vlqa.hub.convert.{row.converter}")
    checkpoint: Mapping[str, Any] = {}
    if weights is not None and weights.is_dir():
        architecture, state = download_weights(f"transformers:{weights}")
        with naming(weights):
            backbone = build_backbone(architecture, weights=state, copy_weights=False)
    else:
        if weights is None:
            assert row.open_clip is not None
            _, checkpoint = download_weights(*row.open_clip)
            weights = Path("-".join(row.open_clip))  # what messages call it
        else:
            checkpoint = artifacts.read_checkpoint(weights)
        with naming(weights):
            backbone = converter.read(checkpoint)
    if prompts is None:
        own = converter.prompts_of(weights, checkpoint) if hasattr(converter, "prompts_of") else row.prompts
        prompts = PromptSet.load(own)
    seen = {"kind": "square"} if row.view["kind"] == "whole" and backbone.fixed_size else row.view
    return PromptParts(row.name, backbone, prompts, view_from_dict(seen, backbone))


def stored(config: Mapping[str, Any], weights: Mapping[str, Tensor], folder: Path) -> PromptParts:
    """A model from what `describe` gave, and the folder that holds its adapters."""
    weights = dict(weights)
    vectors = weights.pop(_VECTORS, None)
    backbone = build_backbone(config["backbone"], weights=weights, copy_weights=False)
    if isinstance(backbone.tokenizer, HubTokenizer) and (folder / TOKENIZER).is_dir():
        backbone.tokenizer.kept_in(folder / TOKENIZER)
    view = view_from_dict(config["view"], backbone)
    kept = config.get("adapters", {"names": [], "active": None})
    adapters = {name: folder / ADAPTERS / name for name in kept["names"]}
    prompts = PromptSet.from_dict(config["prompts"])
    context = None if vectors is None else LearnedContext(vectors, prompts.pairs[0], backbone)
    return PromptParts(config["name"], backbone, prompts, view, adapters, kept["active"], context)


def write_beside(backbone: ClipBackbone, folder: Path, config: dict[str, Any]) -> None:
    """Adapters, and a tokenizer that would otherwise be looked for where it came from, into a model's folder.

    The configuration, which is written afterwards, is told the digests of the adapters.
    A tokenizer whose source is out of reach stays where it is: the configuration names it.
    """
    if isinstance(backbone.tokenizer, HubTokenizer):
        with contextlib.suppress(CheckpointError):
            backbone.tokenizer.save(folder / TOKENIZER)
    if adapters := backbone.adapters:
        for name in adapters.names:
            adapters.write(name, folder / ADAPTERS / name)
        config["digests"]["adapters"] = {name: _digest_of(folder / ADAPTERS / name) for name in adapters.names}
    else:
        shutil.rmtree(folder / ADAPTERS, ignore_errors=True)  # of a model that stood here before


def check_adapters(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise the CheckpointError of adapters that are not those of the configuration."""
    for name, digest in config["digests"].get("adapters", {}).items():
        place = folder / ADAPTERS / name
        if (place / lora.WEIGHTS).is_file() and (place / lora.CONFIG).is_file() and _digest_of(place) != digest:
            raise CheckpointError(f"the adapter {name!r} is not that of its config.json; copy or train it again")


def _digest_of(adapter: Path) -> str:
    return artifacts.digest_files(adapter / name for name in (lora.CONFIG, lora.WEIGHTS))


def describe(predictor: PromptPredictor) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors from which `stored` builds the same predictor."""
    backbone = predictor.backbone
    config: dict[str, Any] = {
        "backbone": backbone.architecture,
        "view": predictor.view.as_dict(),
        "prompts": predictor.prompts.as_dict(),
    }
    state = backbone.state_dict() if backbone.adapters is None else backbone.adapters.base_state()
    if backbone.adapters is not None:
        config["adapters"] = {"names": list(backbone.adapters.names), "active": backbone.adapters.active}
    if context := getattr(predictor, "context", None):
        state[_VECTORS] = context.vectors.detach()
    return config, state
