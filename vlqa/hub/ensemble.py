"""Models of two views: from stored weights to a predictor, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlqa.hub import encoded, prompted
from vlqa.hub.encoded import EncoderParts
from vlqa.hub.options import common_options
from vlqa.hub.prompted import PromptParts
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.ensemble import EnsemblePredictor
from vlqa.prompts import PromptSet


@dataclass(frozen=True)
class EnsembleParts:
    """What a predictor of two views is made of.

    Attributes:
        name: of the model.
        high: the vision-language view.
        low: the low-level view.
        weights: of the scores of high and low in their sum.
    """

    name: str
    high: PromptParts
    low: EncoderParts
    weights: tuple[float, float] = (1.0, 1.0)

    def base(self, name: str) -> EnsembleParts:
        """The same without an adapter in use, under another name."""
        return dataclasses.replace(self, name=name, high=self.high.base(name), low=self.low.base(name))

    @property
    def own_options(self) -> tuple[str, ...]:
        """Those of both views."""
        return (*self.high.own_options, *self.low.own_options)

    def predictor(
        self, prompts: PromptSet | None, options: Mapping[str, Any], device: torch.device, dtype: torch.dtype
    ) -> ImagePredictor:
        """Assemble; with other prompts than the model's own, the vision-language view alone scores by them.

        Raises:
            ConfigError: an option that neither view has.
        """
        common = common_options(self.name, self.own_options, options)
        chosen = [
            common | {option: options[option] for option in part.own_options if option in options}
            for part in (self.high, self.low)
        ]
        high = self.high.predictor(prompts, chosen[0], device, dtype)
        if prompts is not None:
            return high
        low = self.low.predictor(None, chosen[1], device, dtype)
        return EnsemblePredictor(high, low, weights=self.weights, name=self.name, **common)


def stored(config: Mapping[str, Any], weights: Mapping[str, Tensor], folder: Path) -> EnsembleParts:
    """A model from what `describe` gave, and the folder that holds its adapters."""
    name, of_high, of_low = config["name"], config["weights"]["high"], config["weights"]["low"]
    high = prompted.stored(config["high"] | {"name": name}, encoded.under(weights, "high."), folder)
    low = encoded.stored(config["low"] | {"name": name}, encoded.under(weights, "low."), folder)
    return EnsembleParts(name, high, low, (of_high, of_low))


def describe(predictor: EnsemblePredictor) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors from which `stored` builds the same predictor."""
    high, of_high = prompted.describe(predictor.high)
    low, of_low = encoded.describe(predictor.low)
    state = {f"high.{name}": tensor for name, tensor in of_high.items()}
    state |= {f"low.{name}": tensor for name, tensor in of_low.items()}
    weights = dict(zip(("high", "low"), predictor.weights, strict=True))
    return {"high": high, "low": low | {"method": predictor.low.method}, "weights": weights}, state
