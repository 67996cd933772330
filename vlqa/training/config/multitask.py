"""The recipe of the multitask objective: a dual tower on rated and degraded photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from vlqa.training.config.clip import LoraConfig
from vlqa.training.config.common import PhotosConfig, RatedSet, Strict, TrainConfig


class RememberConfig(Strict):
    """Samples made once and kept on disk: what a damage and a teacher cost is paid once for all rounds and runs."""

    folder: Path
    renderings: int = Field(default=20000, ge=2, description="kept of each size")
    others: int = Field(default=5000, ge=1, description="kept of each other set and size")


class DataConfig(PhotosConfig):
    """Photographs to degrade, rated sets, and how crops are cut."""

    opinions: Path
    rated: tuple[RatedSet, ...] = ()
    unlabelled: tuple[Path, ...] = Field(default=(), description="photographs of which nothing is known")
    unlabelled_per_batch: int = Field(default=0, ge=0)
    renderings_per_batch: int = Field(default=48, ge=2)
    sizes: tuple[Annotated[int, Field(ge=32)], ...] = Field(
        default=(192,), min_length=1, description="sides of the crops in px; each batch has one of them"
    )
    pristine_share: float = Field(default=0.08, ge=0, le=1)
    mixture_share: float = Field(default=0.2, ge=0, le=1)
    reduced_share: float = Field(
        default=0.4, ge=0, le=1, description="crops that are damaged at a larger size than the encoder sees"
    )
    versions: int = Field(default=2, ge=1, description="neighbours in a batch that share a crop")
    teacher: Path | None = Field(
        default=None, description="a MobileNetV2 whose statistics the image tower learns to predict"
    )
    remember: RememberConfig | None = None


class ModelConfig(Strict):
    """The dual tower, new or of a saved model, what of it is trained, and the joint prompts it answers."""

    architecture: dict[str, Any] | None = Field(default=None, description="of a new one, open_clip's configuration")
    start: str | None = Field(default=None, description="folder or name of a saved model to start from")
    lora: LoraConfig | None = Field(default=None, description="train an adapter, and nothing else of the towers")
    prompts: str = "liqe_multitask"
    max_shorter_side: int | None = 384

    @model_validator(mode="after")
    def _new_or_saved(self) -> ModelConfig:
        if (self.architecture is None) == (self.start is None):
            raise ValueError("give either architecture or start")
        return self


class ObjectiveConfig(Strict):
    """Weights of the losses; quality, scene and distortion are also weighted by the chosen rule."""

    balance: Literal["dynamic", "equal", "uncertainty"] = "dynamic"
    quality: float = 1.0
    scene: float = 1.0
    distortion: float = 1.0
    anchor: float = Field(
        default=0.5, description="keeps the score near the opinion on 1–5, which order alone does not"
    )
    antonyms: float = 1.0
    captions: float = 0.3
    type: float = Field(
        default=0.5, description="25 types from the image features by a linear head that is thrown away"
    )
    teacher: float = Field(default=0.5, description="statistics of the teacher, by a linear head that is thrown away")


class MultitaskConfig(TrainConfig):
    """A dual tower trained from nothing by LIQE's losses, sentences and a teacher."""

    method: Literal["multitask"]
    data: DataConfig
    model: ModelConfig
    objective: ObjectiveConfig = ObjectiveConfig()
