"""Few-shot predictors: from a stored head and the model below it to a predictor, and back."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlqa.errors import CheckpointError, ConfigError
from vlqa.fewshot.columns import SCORE, Columns
from vlqa.fewshot.fitted import Fitted, Held, Reader
from vlqa.fewshot.heads import head_from
from vlqa.fewshot.labels import check_options, range_of
from vlqa.fewshot.predictor import FewShotPredictor
from vlqa.fewshot.strangers import Strangers
from vlqa.hub.encoded import under
from vlqa.hub.parts import ModelParts
from vlqa.predictors.base import ImagePredictor
from vlqa.prompts import PromptSet

_BELOW = {
    "antonym": "prompted",
    "multitask": "prompted",
    "regression": "encoded",
    "pristine": "encoded",
    "ensemble": "ensemble",
}
"""Modules of `vlqa.hub` by the method of the model below."""


@dataclass(frozen=True)
class FewShotParts:
    """What a few-shot predictor is made of.

    Attributes:
        below: the model below.
        fitted: what was learned.
        options: of the estimator.
    """

    below: ModelParts
    fitted: Fitted
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As `FewShotPredictor.name`."""
        return f"{self.below.name} + {self.fitted.title}"

    def base(self, name: str) -> FewShotParts:
        """The same on the model below without an adapter in use, and under another name."""
        return dataclasses.replace(self, below=self.below.base(name))

    @property
    def own_options(self) -> tuple[str, ...]:
        """Those of the model below."""
        return self.below.own_options

    def predictor(
        self, prompts: PromptSet | None, options: Mapping[str, Any], device: torch.device, dtype: torch.dtype
    ) -> ImagePredictor:
        """Assemble.

        Raises:
            ConfigError: prompts or an adapter: the head was fitted on the features and scores of the model as it was.
        """
        if "adapter" in options:
            raise ConfigError("a few-shot model's head reads its own adapter's features, no other's; leave adapter out")
        if prompts is not None:
            raise ConfigError("a few-shot model scores by its head, not by other prompts; give them to the model below")
        few = FewShotPredictor(self.below.predictor(None, options, device, dtype), **self.options)
        few.fitted_ = self.fitted
        readers = [self.fitted.reader, *(self.fitted.held.readers if self.fitted.held else ())]
        known = {SCORE, *few.feature_slices}
        for reader in readers:
            if not reader.columns.parts or not known.issuperset(reader.columns.parts):
                found = ", ".join(map(repr, reader.columns.parts)) or "nothing"
                raise CheckpointError(f"its head reads {found} of a model that has {', '.join(sorted(known))}")
        return few


def stored(config: Mapping[str, Any], weights: Mapping[str, Tensor], folder: Path) -> FewShotParts:
    """A model from what `describe` gave, and the folder that holds the adapters of the model below."""
    of_below, of_head = config["below"], config["head"]
    form = importlib.import_module(f"vlqa.hub.{_BELOW[of_below['method']]}")
    below = form.stored({"name": config["name"]} | of_below, under(weights, "below."), folder)
    numbers = {name: tensor.numpy() for name, tensor in under(weights, "head.").items()}

    def reader(prefix: str, columns: Mapping[str, Any]) -> Reader:
        own = {name.removeprefix(prefix): value for name, value in numbers.items() if name.startswith(prefix)}
        return Reader(Columns(tuple(columns["parts"]), _numbers(columns["gain"], 1)[0]), head_from(own))

    held = None
    count = int(numbers["held.fold"].max()) + 1 if "held.fold" in numbers else 0
    if len(of_head["folds"]) != count:
        raise CheckpointError(f"its config.json has {len(of_head['folds'])} folds, its weights {count}; copy it again")
    if of_head["folds"]:
        readers = tuple(reader(f"fold{k}.", columns) for k, columns in enumerate(of_head["folds"]))
        held = Held(readers, numbers["held.fold"], numbers["held.predicted"], numbers["held.mos"])
    strangers = Strangers(numbers["strangers.known"], _numbers(of_head["limit"], 1)[0])
    low, high = _numbers(config["scale"], 2)
    fitted = Fitted(of_head["name"], reader("all.", of_head["all"]), held, strangers, (low, high), of_head["labels"])
    options = dict(config["options"])
    if options.keys() != (known := inspect.signature(FewShotPredictor).parameters.keys() - {"predictor"}):
        raise CheckpointError(
            f"its options are {', '.join(options)}, expected {', '.join(sorted(known))}; fit it again"
        )
    options["mos_range"] = None if options["mos_range"] is None else tuple(_numbers(options["mos_range"], 2))
    check_options(options["coverage"], options["mos_range"], options["seed"])
    return FewShotParts(below, fitted, options)


def describe(predictor: FewShotPredictor) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors from which `stored` builds the same predictor.

    Raises:
        NotFittedError: it has learned nothing yet.
    """
    fitted, below = predictor._learned(), predictor.predictor
    if below.method not in _BELOW:
        raise ConfigError(
            f"a head on a model of method {below.method!r} cannot be saved; fit it on the model below that"
        )
    own, state = importlib.import_module(f"vlqa.hub.{_BELOW[below.method]}").describe(below)
    numbers: dict[str, Any] = {f"all.{name}": value for name, value in fitted.reader.head.tensors().items()}
    numbers["strangers.known"] = fitted.strangers.known
    readers = fitted.held.readers if fitted.held else ()
    for k, reader in enumerate(readers):
        numbers |= {f"fold{k}.{name}": value for name, value in reader.head.tensors().items()}
    if fitted.held:
        held = fitted.held
        numbers |= {"held.fold": held.fold, "held.predicted": held.predicted, "held.mos": held.mos}
    tensors = {f"below.{name}": tensor for name, tensor in state.items()}
    tensors |= {f"head.{name}": torch.from_numpy(np.array(value)) for name, value in numbers.items()}
    head = {
        "name": fitted.name,
        "labels": fitted.labels,
        "limit": fitted.strangers.limit,
        "all": dataclasses.asdict(fitted.reader.columns),
        "folds": [dataclasses.asdict(reader.columns) for reader in readers],
    }
    options = {name: value for name, value in predictor.get_params().items() if name != "predictor"}
    given = None if predictor.mos_range is None else range_of(predictor.mos_range)
    options |= {"coverage": float(predictor.coverage), "seed": int(predictor.seed), "mos_range": given}
    return {
        "below": own | {"name": below.name, "method": below.method, "scale": list(below.scale)},
        "head": head,
        "options": options,
    }, tensors


def _numbers(found: Any, count: int) -> list[float]:
    """So many numbers of a configuration, one alone or in a list."""
    listed = found if isinstance(found, list) else [found]
    if len(listed) != count or not all(isinstance(number, int | float) and math.isfinite(number) for number in listed):
        raise CheckpointError(f"expected {count} finite numbers in its config.json, found {found!r}; fit it again")
    return [float(number) for number in listed]
