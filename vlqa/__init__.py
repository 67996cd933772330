"""vlqa tells how good a photograph looks, without a reference picture.

>>> import vlqa
>>> predictor = vlqa.load()                          # doctest: +SKIP
>>> predictor.predict(["a.jpg", "b.jpg"])            # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vlqa._version import __version__

if TYPE_CHECKING:
    from vlqa.data.catalog import read_dataset
    from vlqa.data.degrade import degrade
    from vlqa.data.manifest import Manifest
    from vlqa.errors import (
        CheckpointError,
        ConfigError,
        ImageDecodeError,
        ImageWarning,
        ManifestError,
        MissingExtraError,
        TextWarning,
        UnknownModelError,
        VLQAError,
    )
    from vlqa.fewshot.predictor import FewShotPredictor
    from vlqa.hub.convert import convert
    from vlqa.hub.store import load, save
    from vlqa.hub.table import available_models
    from vlqa.predictors.antonym import AntonymPredictor
    from vlqa.predictors.evaluate import evaluate
    from vlqa.predictors.multitask import MultitaskPredictor
    from vlqa.prompts import PromptSet
    from vlqa.training.adapt import adapt
    from vlqa.training.loop import train
    from vlqa.types import Assessment, Explanation

_WHERE = {
    "vlqa.data.catalog": ("read_dataset",),
    "vlqa.data.degrade": ("degrade",),
    "vlqa.data.manifest": ("Manifest",),
    "vlqa.errors": (
        "CheckpointError",
        "ConfigError",
        "ImageDecodeError",
        "ImageWarning",
        "ManifestError",
        "MissingExtraError",
        "TextWarning",
        "UnknownModelError",
        "VLQAError",
    ),
    "vlqa.fewshot.predictor": ("FewShotPredictor",),
    "vlqa.hub.convert": ("convert",),
    "vlqa.hub.store": ("load", "save"),
    "vlqa.hub.table": ("available_models",),
    "vlqa.predictors.antonym": ("AntonymPredictor",),
    "vlqa.predictors.evaluate": ("evaluate",),
    "vlqa.predictors.quality_map": ("quality_map",),
    "vlqa.predictors.multitask": ("MultitaskPredictor",),
    "vlqa.prompts": ("PromptSet",),
    "vlqa.training.adapt": ("adapt",),
    "vlqa.training.loop": ("train",),
    "vlqa.types": ("Assessment", "Explanation"),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "AntonymPredictor",
    "Assessment",
    "CheckpointError",
    "ConfigError",
    "Explanation",
    "FewShotPredictor",
    "ImageDecodeError",
    "ImageWarning",
    "Manifest",
    "ManifestError",
    "MissingExtraError",
    "MultitaskPredictor",
    "PromptSet",
    "TextWarning",
    "UnknownModelError",
    "VLQAError",
    "__version__",
    "adapt",
    "available_models",
    "convert",
    "degrade",
    "evaluate",
    "load",
    "quality_map",
    "read_dataset",
    "save",
    "train",
]


def __getattr__(name: str) -> Any:
    # names are imported when first used: `import vlqa` must not wait for torch
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'vlqa' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
