"""Recipes of the tasks that teach an encoder without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from vlqa.training.config.common import EncoderConfig, PhotosConfig, Strict, TrainConfig


class PretextData(PhotosConfig):
    """Photographs, the views cut from them, and how many photographs a step takes."""

    size: int = Field(ge=32, description="side of a view, px")
    photos_per_batch: int = Field(ge=2)


class PretextConfig(TrainConfig):
    """An encoder and its photographs."""

    data: PretextData
    encoder: EncoderConfig


class GrepqLowConfig(PretextConfig):
    """GRepQ's low-level encoder."""

    method: Literal["grepq-low"]
    types: int = Field(default=4, ge=1, le=25, description="damages a photograph, at two levels each")
    temperature: float = Field(default=0.5, gt=0)
    pristine: tuple[Path, ...] = Field(default=(), description="good photographs, for the blind score")


class ContriqueData(PretextData):
    """Besides photographs to damage, pictures that have damage of their own."""

    authentic: tuple[Path, ...] = ()


class ContriqueConfig(PretextConfig):
    """CONTRIQUE."""

    method: Literal["contrique"]
    data: ContriqueData
    projection: int = Field(default=128, ge=1)
    temperature: float = Field(default=0.1, gt=0)


class MomentumConfig(Strict):
    """Momentum contrast."""

    width: int = Field(default=128, ge=1)
    queue: int = Field(default=65536, ge=1)
    momentum: float = Field(default=0.999, ge=0, le=1)
    temperature: float = Field(default=0.2, gt=0)


class ReIqaConfig(PretextConfig):
    """One of Re-IQA's two encoders."""

    method: Literal["re-iqa-quality", "re-iqa-content"]
    types: int = Field(default=11, ge=1, le=25, description="damages a photograph; of the quality encoder")
    contrast: MomentumConfig = MomentumConfig()


class QptConfig(PretextConfig):
    """QPT's pretext stage."""

    method: Literal["qpt"]
    negatives: int = Field(default=1, ge=1, description="patches of the same photograph under other damages")
    contrast: MomentumConfig = MomentumConfig()


class ArniqaConfig(PretextConfig):
    """ARNIQA."""

    method: Literal["arniqa"]
    projection: int = Field(default=128, ge=1)
    temperature: float = Field(default=0.1, gt=0)
