"""The recipe of end-to-end fine-tuning on opinions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vlqa.training.config.common import EncoderConfig, RatedSet, Strict, TrainConfig


class RegressionData(Strict):
    """Rated pictures and the crops cut from them."""

    rated: RatedSet
    size: int = Field(ge=32, description="side of a crop, px")
    workers: int = Field(default=1, ge=0)


class FusionConfig(Strict):
    """Two saved models whose encoders stand side by side: a vision-language one and one of image encoders."""

    high: str
    low: str
    normalize: bool = False
    gate: bool = False


class RegressionConfig(TrainConfig):
    """An encoder with a linear head; `encoder` is an architecture, the folder of a saved model, or two of them."""

    method: Literal["regression"]
    data: RegressionData
    encoder: EncoderConfig | FusionConfig | str
