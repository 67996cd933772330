"""The recipe of the multitask objective: a dual tower on rated and degraded photographs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from vlqa.training.config.clip import LoraConfig
from vlqa.training.config.common import LowConfig, Strict, TrainConfig
from vlqa.training.config.pictures import PicturesConfig


class ModelConfig(Strict):
    """The dual tower, new or of a saved model, what of it is trained, and the joint prompts it answers."""

    architecture: dict[str, Any] | None = Field(default=None, description="of a new one, open_clip's configuration")
    trunk: str | None = Field(
        default=None, description="of a new one: a saved model of one encoder, whose trunk the image tower starts with"
    )
    start: str | None = Field(default=None, description="folder or name of a saved model to start from")
    trained: Literal["all", "head"] = Field(
        default="all", description="head: the trunk of the image tower stays as it starts"
    )
    lora: LoraConfig | None = Field(default=None, description="train an adapter, and nothing else of the towers")
    prompts: str = "liqe_multitask"
    max_shorter_side: int | None = 384
    resampler: Literal["pillow", "torch"] = "pillow"

    @model_validator(mode="after")
    def _new_or_saved(self) -> ModelConfig:
        if (self.architecture is None) == (self.start is None):
            raise ValueError("give either architecture or start")
        if self.trunk is not None and self.architecture is None:
            raise ValueError("a trunk needs an architecture, not a start")
        return self


class ObjectiveConfig(Strict):
    """Weights of the losses; quality, scene and distortion are also weighted by the chosen rule."""

    balance: Literal["dynamic", "equal", "uncertainty"] = "dynamic"
    quality: float = Field(default=1.0, ge=0)
    scene: float = Field(default=1.0, ge=0)
    distortion: float = Field(default=1.0, ge=0)
    anchor: float = Field(
        default=0.5, ge=0, description="keeps the score near the opinion on 1–5, which order alone does not"
    )
    antonyms: float = Field(default=1.0, ge=0)
    captions: float = Field(default=0.3, ge=0)
    type: float = Field(default=0.5, ge=0, description="25 types of damage and none, by sentences that name them")
    teacher: float = Field(
        default=0.5, ge=0, description="statistics of the teacher, by a linear head that is thrown away"
    )


class MultitaskConfig(TrainConfig):
    """A dual tower trained from nothing by LIQE's losses, sentences and a teacher."""

    method: Literal["multitask"]
    data: PicturesConfig
    model: ModelConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    low: LowConfig | None = None
