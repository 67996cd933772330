"""What every recipe has: a name, an output, steps, and how weights are changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Strict(BaseModel):
    """Unknown keys and numbers that are not finite are errors, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RatedSet(Strict):
    """One rated set: label file, picture folder, its scale, and the folds left out."""

    labels: Path
    images: Path | None = None
    mos_range: tuple[float, float] = (0.0, 100.0)
    exclude_folds: tuple[int, ...] = ()
    per_batch: int = Field(default=16, ge=2)

    @field_validator("mos_range")
    @classmethod
    def _two_ends(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] == ends[1]:
            raise ValueError("the worst and the best value must differ")
        return ends


class PhotosConfig(Strict):
    """Photographs that need no label."""

    photos: tuple[Path, ...]
    held_out_photos: int = Field(
        60, ge=0, description="photographs kept for validation, chosen by a digest of their names"
    )
    workers: int = Field(default=1, ge=0)


class EncoderConfig(Strict):
    """An image encoder, as `build_encoder` takes it."""

    trunk: dict[str, Any]
    head: tuple[int, ...] = ()
    statistics: Literal["imagenet", "clip"] | None = None
    weights: Path | None = Field(default=None, description="start values of a ResNet, under torchvision's names")


class LowConfig(Strict):
    """A saved low-level model that scores beside the tuned backbone."""

    model: str
    weights: tuple[float, float] = Field(default=(1.0, 1.0), description="of the scores of high and low")

    @field_validator("weights")
    @classmethod
    def _some_of_each(cls, weights: tuple[float, float]) -> tuple[float, float]:
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError("the weights must be positive or 0, and not both 0")
        return weights


class OptimizerConfig(Strict):
    """AdamW, SGD, LARS or Muon (with AdamW for all but convolutions), with linear warm-up and cosine decay."""

    kind: Literal["adamw", "sgd", "lars", "muon"] = "adamw"
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD, LARS and Muon")
    learning_rate: float = Field(default=1e-3, gt=0)
    linear_learning_rate: float | None = Field(
        default=None, gt=0, description="of Muon's runs: of linear layers, gains and biases; null: as learning_rate"
    )
    weight_decay: float = Field(default=0.02, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    final_fraction: float = Field(default=0.01, ge=0, le=1)
    clip_norm: float = Field(default=5.0, gt=0)
    half_period: int | None = Field(
        default=None,
        ge=1,
        description="steps of half a cosine, after which the rate rises again; null: all that are left",
    )


class TrainConfig(Strict):
    """A complete recipe; each method adds its own keys.

    Attributes:
        name: name of the model that comes out.
        method: which objective trains it.
        output: folder of the run: `checkpoints/`, `metrics.jsonl`, `config.yaml`, `model/`.
        seed: decides everything random.
        steps: optimisation steps.
        steps_per_epoch: steps over which the dynamic weight average takes its means.
        accumulate: batches are made of so many parts, each a pass of its own, whose gradients are averaged; losses
            that compare pictures compare those of a part.
        precision: "bf16" computes under autocast; weights and optimiser stay in fp32.
        half: the model that comes out is stored in float16, for half the size.
    """

    name: str
    method: str
    output: Path
    seed: int = Field(default=0, ge=0)
    steps: int = Field(ge=1)
    steps_per_epoch: int = Field(default=200, ge=1)
    checkpoint_every: int = Field(default=200, ge=1)
    log_every: int = Field(default=20, ge=1)
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    half: bool = False
    data: Any
    optimizer: OptimizerConfig = OptimizerConfig()
