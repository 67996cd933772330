"""Recipes: YAML files that hold everything a training run depends on, checked before anything is loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vlqa.errors import ConfigError
from vlqa.resources import bundled


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RatedSet(_Strict):
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


class DataConfig(_Strict):
    """Photographs to degrade, rated sets, and how crops are cut."""

    photos: tuple[Path, ...]
    opinions: Path
    rated: tuple[RatedSet, ...] = ()
    renderings_per_batch: int = Field(default=48, ge=2)
    held_out_photos: int = Field(
        60, ge=0, description="photographs kept for validation, chosen by a digest of their names"
    )
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
    workers: int = Field(default=1, ge=0)


class ModelConfig(_Strict):
    """The dual tower, in open_clip's configuration format, and the joint prompts it answers."""

    architecture: dict[str, Any]
    prompts: str = "liqe_multitask"
    max_shorter_side: int | None = 384


class ObjectiveConfig(_Strict):
    """Weights of the losses; quality, scene and distortion are also weighted by the chosen rule."""

    balance: Literal["dynamic", "equal"] = "dynamic"
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


class OptimizerConfig(_Strict):
    """AdamW with linear warm-up and cosine decay."""

    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.02, ge=0)
    warmup_steps: int = Field(default=200, ge=0)
    final_fraction: float = Field(default=0.01, ge=0, le=1)
    clip_norm: float = Field(default=5.0, gt=0)


class TrainConfig(_Strict):
    """A complete recipe.

    Attributes:
        name: name of the model that comes out.
        method: which objective trains it.
        output: folder of the run: `checkpoints/`, `metrics.jsonl`, `config.yaml`, `model/`.
        seed: decides everything random.
        steps: optimisation steps.
        steps_per_epoch: steps over which the dynamic weight average takes its means.
        precision: "bf16" computes under autocast; weights and optimiser stay in fp32.
    """

    name: str
    method: Literal["multitask"]
    output: Path
    seed: int = 0
    steps: int = Field(ge=1)
    steps_per_epoch: int = Field(default=200, ge=1)
    checkpoint_every: int = Field(default=200, ge=1)
    log_every: int = Field(default=20, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    data: DataConfig
    model: ModelConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()


def read_config(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> TrainConfig:
    """Read and check a recipe.

    Args:
        source: a YAML file, the name of a recipe that comes with vlqa, or the recipe as a mapping.
        overrides: "key=value" with dots for nesting ("data.size=224"); values are read as YAML.

    Raises:
        ConfigError: an unknown key, a value out of range or a file that is no YAML; the message names the key.
    """
    values = copy.deepcopy(dict(source)) if isinstance(source, Mapping) else _read_yaml(Path(source))
    for override in overrides:
        _apply(values, override)
    origin = "recipe" if isinstance(source, Mapping) else str(source)
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(f"{origin}: {key}: {first['msg'].lower()}, found {first['input']!r}{more}") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        recipes = bundled("configs")
        if path.stem not in recipes or path.parent.name not in ("", "configs"):
            raise ConfigError(f"{path}: no such recipe; bundled are {', '.join(recipes)}")
        path = recipes[path.stem]
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of keys, found {type(values).__name__}")
    return values


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override!r}: expected key=value, for example --set steps=100")
    *parents, last = key.strip().split(".")
    node: Any = values
    for parent in parents:
        node = node[_place(node, parent, override)] if isinstance(node, list) else node.setdefault(parent, {})
        if not isinstance(node, dict | list):
            raise ConfigError(f"--set {override!r}: {parent} holds a value, not keys")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override!r}: {text!r} is not a YAML value") from None
    node[_place(node, last, override) if isinstance(node, list) else last] = value


def _place(entries: list[Any], key: str, override: str) -> int:
    if not key.isdecimal() or int(key) >= len(entries):
        raise ConfigError(f"--set {override!r}: {key!r} is no entry of a list of {len(entries)}; the first is 0")
    return int(key)
