"""Recipes that tune a CLIP-type backbone: what is loaded, what is trained, and on which pictures."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vlqa.models.lora import LoraOptions
from vlqa.training.config.common import LowConfig, RatedSet, Strict, TrainConfig
from vlqa.training.config.pretext import PretextData
from vlqa.training.config.regression import RegressionData
from vlqa.training.tasks import Balance

Tower = Literal["image", "text"]


class LoraConfig(Strict):
    """A low-rank adapter; see `LoraOptions`."""

    name: str = Field(default="tuned", pattern=r"^[\w-]+$")
    rank: int = Field(default=8, ge=1, le=4096)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    towers: tuple[Tower, ...] = Field(default=("image",), min_length=1)
    targets: Literal["attention", "all"] | tuple[str, ...] = "attention"

    def options(self) -> LoraOptions:
        """For `Adapters.add`."""
        return LoraOptions(self.rank, self.alpha, self.dropout, self.towers, self.targets)


class BackboneConfig(Strict):
    """Both towers, and which part of them is trained."""

    architecture: str | dict[str, Any] = Field(description="as `build_backbone` takes it, such as ViT-B-32")
    weights: str | None = Field(
        default=None,
        description="a file, a tag of open_clip such as openai, 'published' for transformers: and hf-hub: names; "
        "null starts at random",
    )
    attention_pool_position: bool | None = None
    trained: tuple[Tower, ...] = Field(
        default=("image", "text"), min_length=1, description="towers trained whole, without lora"
    )
    lora: LoraConfig | None = None


class LiqeData(Strict):
    """Rated sets, side by side in each batch."""

    sets: tuple[RatedSet, ...] = Field(min_length=1)
    size: int = Field(default=224, ge=32, description="side of a window, px")
    windows: int = Field(default=3, ge=1, description="of each picture")
    workers: int = Field(default=4, ge=0)


class GroupConfig(Strict):
    """GRepQ's contrast of the best and the worst of a batch, by pseudo-labels of prompts."""

    prompts: str = "grepq"
    share: float = Field(default=1 / 32, gt=0, le=0.5, description="of a batch that each group takes; at least 2")
    width: int = Field(default=128, ge=1, description="of the head")
    temperature: float = Field(default=0.5, gt=0)


class WeightedGroupConfig(GroupConfig):
    """The same beside other losses."""

    weight: float = Field(default=1.0, ge=0)


class LiqeConfig(TrainConfig):
    """LIQE: joint prompts on several rated sets, whole or by LoRA; group contrast and a low-level view on request."""

    method: Literal["liqe"]
    data: LiqeData
    model: BackboneConfig
    prompts: str = "liqe_multitask"
    quality: float = Field(default=1.0, ge=0, description="weight of the loss; likewise scene and distortion")
    scene: float = Field(default=1.0, ge=0)
    distortion: float = Field(default=1.0, ge=0)
    balance: Balance = "dynamic"
    group: WeightedGroupConfig | None = None
    low: LowConfig | None = None


class GrepqHighConfig(TrainConfig):
    """GRepQ's high level: photographs without labels."""

    method: Literal["grepq-high"]
    data: PretextData
    model: BackboneConfig
    group: GroupConfig = GroupConfig()


class QualiClipConfig(TrainConfig):
    """QualiCLIP: crops of photographs under rising damage."""

    method: Literal["qualiclip"]
    data: PretextData
    model: BackboneConfig
    prompts: str = "qualiclip"
    levels: int = Field(default=5, ge=2)
    margin: float = Field(default=0.0675, ge=0, description="of cosines, from one level to the next")


class ClipIqaPlusConfig(TrainConfig):
    """CLIP-IQA+: learned words on a rated set, on crops of one size."""

    method: Literal["clip-iqa-plus"]
    data: RegressionData
    model: BackboneConfig
    prompts: str = "clip_iqa"
    words: int = Field(default=16, ge=2, multiple_of=2)
