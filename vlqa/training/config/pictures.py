"""The pictures of a recipe: photographs to degrade, rated sets, and pictures of which nothing is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from vlqa.training.config.common import PhotosConfig, RatedSet, Strict


class RememberConfig(Strict):
    """Samples made once and kept on disk: what a damage and a teacher cost is paid once for all rounds and runs."""

    folder: Path
    renderings: int = Field(default=20000, ge=2, description="kept of each size")
    others: int = Field(default=5000, ge=1, description="kept of each other set and size")
    mirrored: bool = Field(
        default=True, description="half of the times; false where a trunk that stays pools each picture once"
    )


class RatedPhotosSet(RatedSet):
    """A rated set of which one crop a sample is seen."""

    whole: bool = Field(default=False, description="crops show all of the shorter side; else parts of a random scale")


class PicturesConfig(PhotosConfig):
    """Photographs to degrade, rated sets, and how crops are cut."""

    opinions: Path
    rated: tuple[RatedPhotosSet, ...] = ()
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
