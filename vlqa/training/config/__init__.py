"""Recipes: YAML files that hold everything a training run depends on, checked before anything is loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from vlqa.errors import ConfigError, did_you_mean
from vlqa.resources import bundled
from vlqa.training.config.clip import ClipIqaPlusConfig, GrepqHighConfig, LiqeConfig, QualiClipConfig
from vlqa.training.config.common import OptimizerConfig, TrainConfig
from vlqa.training.config.distillation import DistillationConfig
from vlqa.training.config.multitask import MultitaskConfig
from vlqa.training.config.pretext import ArniqaConfig, ContriqueConfig, GrepqLowConfig, QptConfig, ReIqaConfig
from vlqa.training.config.pristine import PristineConfig
from vlqa.training.config.regression import RegressionConfig

__all__ = ["METHODS", "MultitaskConfig", "OptimizerConfig", "PristineConfig", "TrainConfig", "read_config"]

METHODS: dict[str, type[TrainConfig | PristineConfig]] = {
    "multitask": MultitaskConfig,
    "distillation": DistillationConfig,
    "liqe": LiqeConfig,
    "grepq-high": GrepqHighConfig,
    "qualiclip": QualiClipConfig,
    "clip-iqa-plus": ClipIqaPlusConfig,
    "grepq-low": GrepqLowConfig,
    "contrique": ContriqueConfig,
    "re-iqa-quality": ReIqaConfig,
    "re-iqa-content": ReIqaConfig,
    "qpt": QptConfig,
    "arniqa": ArniqaConfig,
    "regression": RegressionConfig,
    "pristine": PristineConfig,
}
"""Which recipe each method reads."""


def read_config(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> TrainConfig | PristineConfig:
    """Read and check a recipe.

    Args:
        source: a YAML file, the name of a recipe that comes with vlqa, or the recipe as a mapping.
        overrides: "key=value" with dots for nesting ("data.workers=2"); values are read as YAML.

    Raises:
        ConfigError: an unknown key, a value out of range or a file that is no YAML; the message names the key.
    """
    values = copy.deepcopy(dict(source)) if isinstance(source, Mapping) else _read_yaml(Path(source))
    for override in overrides:
        _apply(values, override)
    origin = "recipe" if isinstance(source, Mapping) else str(source)
    try:
        return _config_of(values, origin).model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            meant = _meant(_config_of(values, origin), first["loc"])
            raise ConfigError(f"{origin}: {key}: no such key{meant or '; remove it'}") from None
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(f"{origin}: {key}: {first['msg'].lower()}, found {first['input']!r}{more}") from None


def _meant(recipe: Any, place: Sequence[int | str]) -> str:
    """The end of a message about an unknown key of a recipe, with one near it."""
    parts = [recipe]
    for name in place[:-1]:
        found = [part.model_fields[name].annotation for part in parts if name in getattr(part, "model_fields", ())]
        parts = [inner for each in found for inner in (each, *get_args(each))]
    return did_you_mean(str(place[-1]), {name for part in parts for name in getattr(part, "model_fields", ())})


def _config_of(values: Mapping[str, Any], origin: str) -> type[TrainConfig | PristineConfig]:
    method = values.get("method")
    if method not in METHODS:
        found = "nothing" if method is None else repr(method)
        hint = did_you_mean(str(method), METHODS)
        raise ConfigError(f"{origin}: method: expected one of {', '.join(METHODS)}, found {found}{hint}")
    return METHODS[method]


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        recipes = bundled("configs")
        if path.stem not in recipes or path.parent.name not in ("", "configs"):
            raise ConfigError(f"{path}: no such recipe; bundled are {', '.join(recipes)}")
        path = recipes[path.stem]
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ConfigError(f"{path}: not a recipe: nested too deep") from None
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
