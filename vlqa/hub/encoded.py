"""Models on image encoders without a text tower: from published or stored weights to a predictor, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vlqa.errors import ConfigError
from vlqa.hub.options import common_options
from vlqa.hub.statistics import read_statistics
from vlqa.models.fusion import FusionEncoder, build_any_encoder
from vlqa.models.image_encoder import ImageEncoder
from vlqa.predictors.encoded import EncoderPredictor
from vlqa.predictors.pristine import PristinePredictor, PristineStatistics
from vlqa.predictors.regression import LinearRegressor, RegressionPredictor
from vlqa.predictors.views import PatchGrid, Scales, view_from_dict


@dataclass(frozen=True)
class EncoderParts:
    """What a predictor on encoders is made of.

    Attributes:
        name: of the model.
        method: "regression" or "pristine".
        encoders: by role, in the order of their features.
        view: scales and crops.
        normalize: whether the features of each scale are brought to unit length.
        regressor: for "regression"; None where none was fitted.
        statistics: of pristine patches, for "pristine"; None where there are none.
        grid: of the patches, for "pristine".
    """

    name: str
    method: str
    encoders: Mapping[str, ImageEncoder | FusionEncoder]
    view: Scales = field(default_factory=Scales)
    normalize: bool = False
    regressor: LinearRegressor | None = None
    statistics: PristineStatistics | None = None
    grid: PatchGrid = field(default_factory=PatchGrid)

    def base(self, name: str) -> EncoderParts:
        """The same under another name: it has no adapters."""
        return dataclasses.replace(self, name=name)

    @property
    def own_options(self) -> tuple[str, ...]:
        """Options of `vlqa.load` that it takes besides those that all models take."""
        return ("pristine",) if self.method == PristinePredictor.method else ("crops",)

    def predictor(
        self, prompts: Any, options: Mapping[str, Any], device: torch.device, dtype: torch.dtype
    ) -> EncoderPredictor:
        """Assemble.

        Raises:
            ConfigError: prompts, which no such model reads, or an option that it has not.
        """
        if prompts is not None:
            raise ConfigError(f"{self.name} reads no prompts: it has no text tower")
        common = common_options(self.name, self.own_options, options)
        for encoder in self.encoders.values():
            encoder.eval().requires_grad_(False)
            encoder.to(device)
            encoder.cast(dtype)
        if self.method == PristinePredictor.method:
            predictor = PristinePredictor(self.encoders, self.statistics, self.grid, name=self.name, **common)
            if "pristine" in options:
                predictor.statistics = read_statistics(options["pristine"], predictor)
            return predictor
        view = dataclasses.replace(self.view, crops=options.get("crops", self.view.crops))
        return RegressionPredictor(
            self.encoders, view, self.regressor, normalize=self.normalize, name=self.name, **common
        )


def stored(config: Mapping[str, Any], weights: Mapping[str, Tensor], _: Path) -> EncoderParts:
    """A model from what `describe` gave."""
    encoders = {
        role: build_any_encoder(architecture, under(weights, f"encoders.{role}."))
        for role, architecture in config["encoders"].items()
    }
    regressor, statistics = config.get("regressor"), config.get("statistics")
    view, grid = view_from_dict(config["view"]), view_from_dict(config["grid"])
    assert isinstance(view, Scales) and isinstance(grid, PatchGrid)
    return EncoderParts(
        config["name"],
        config["method"],
        encoders,
        view,
        config["normalize"],
        regressor
        and LinearRegressor(
            weights["regressor.coefficients"],
            regressor["intercept"],
            (regressor["scale"][0], regressor["scale"][1]),
            regressor["full_reference"],
        ),
        statistics
        and PristineStatistics(weights["statistics.mean"], weights["statistics.covariance"], statistics["patches"]),
        grid,
    )


def describe(predictor: EncoderPredictor) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors from which `stored` builds the same predictor."""
    state = {
        f"encoders.{role}.{name}": tensor
        for role, encoder in predictor.encoders.items()
        for name, tensor in encoder.state_dict().items()
    }
    config: dict[str, Any] = {
        "encoders": {role: encoder.architecture for role, encoder in predictor.encoders.items()},
        "view": predictor.view.as_dict(),
        "grid": PatchGrid().as_dict(),
        "normalize": predictor.normalize,
    }
    if isinstance(predictor, RegressionPredictor) and (regressor := predictor.regressor):
        state["regressor.coefficients"] = regressor.coefficients
        config["regressor"] = {
            "intercept": regressor.intercept,
            "scale": list(regressor.scale),
            "full_reference": regressor.full_reference,
        }
    if isinstance(predictor, PristinePredictor):
        config["grid"] = predictor.grid.as_dict()
        if statistics := predictor.statistics:
            state |= {"statistics.mean": statistics.mean, "statistics.covariance": statistics.covariance}
            config["statistics"] = {"patches": statistics.patches}
    return config, state


def under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
