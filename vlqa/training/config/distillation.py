"""The recipe of an encoder that learns what a teacher sees, and what damage looks like."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vlqa.training.config.common import EncoderConfig, Strict, TrainConfig
from vlqa.training.config.pictures import PicturesConfig


class DistillationLosses(Strict):
    """Weights of the losses; the gradient of type is some thirty times that of maps, and that of opinion five times."""

    maps: float = Field(default=1.0, ge=0, description="of the teacher, position by position, by linear heads")
    type: float = Field(default=0.02, ge=0, description="of the damage, from the pooled features")
    opinion: float = Field(default=0.03, ge=0, description="that people have of the damage, from the pooled features")


class DistillationConfig(TrainConfig):
    """An encoder, a teacher, and the pictures that both see; `encoder` is new, or a saved model to go on from."""

    method: Literal["distillation"]
    data: PicturesConfig
    encoder: EncoderConfig | str
    objective: DistillationLosses = DistillationLosses()
