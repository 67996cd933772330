"""A saved model with its image towers exported beside it, and their return when it is loaded."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from vlqa import artifacts
from vlqa.errors import CheckpointError, ConfigError
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.exported import ExportedTower, attach, export_tower
from vlqa.models.image_encoder import ImageEncoder
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.encoded import EncoderPredictor
from vlqa.predictors.ensemble import EnsemblePredictor
from vlqa.predictors.prompted import PromptPredictor

RUNTIME = "runtime"
"""Folder of the exported towers of a saved model."""

_INDEX = "towers.json"


def export(predictor: ImagePredictor, directory: str | os.PathLike[str], *, licence: str | None = None) -> Path:
    """Save a predictor together with what OpenVINO runs of it.

    How much faster it is `benchmarks/throughput.py` tells, how near the scores are `benchmarks/precision.py`.

    `load` uses it from then on, on the CPU; `load(…, runtime="torch")` does not. Scores stay the same within the
    tolerance of float32, or, with precision "bf16", of bfloat16.

    Args:
        predictor: in fp32, on the CPU; an adapter in use is exported with it.
        directory: as of `save`.
        licence: as of `save`.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ConfigError: another precision or device, or no tower that can be exported.
    """
    from vlqa.hub.store import save

    towers = towers_of(predictor)
    if not towers:
        raise ConfigError(f"{predictor.name} has no image tower that can be exported")
    for name, tower in towers.items():
        if any(weight.device.type != "cpu" or weight.dtype != torch.float32 for weight in tower.parameters()):
            raise ConfigError(f"the tower {name!r} is not in float32 on the CPU; load the model with device cpu, fp32")
    folder = save(predictor, directory, licence=licence)
    place = folder / RUNTIME
    for name, tower in towers.items():
        attach(tower, None)
        export_tower(tower, place / f"{name}.xml")
    digests = {name: {"tower": tower.digest, "files": _digest_of(place, name)} for name, tower in towers.items()}
    artifacts.write_json(place / _INDEX, {"towers": digests})
    return folder


def attach_exports(predictor: ImagePredictor, folder: Path, precision: str) -> bool:
    """Let the towers of a predictor run what was exported of them; whether that is what was exported.

    Raises:
        CheckpointError: files that are missing or were changed.
        MissingExtraError: OpenVINO is not installed.
    """
    place = folder / RUNTIME
    index = artifacts.read_json(place / _INDEX).get("towers")
    towers = towers_of(predictor)
    if not isinstance(index, dict) or index.keys() != towers.keys():
        raise CheckpointError(f"{place}: its {_INDEX} is not that of this model; export it again")
    if any(index[name].get("tower") != tower.digest for name, tower in towers.items()):
        return False  # another adapter is in use, or none
    for name in towers:
        if index[name].get("files") != _digest_of(place, name):
            raise CheckpointError(f"{place}: the exported tower {name!r} was changed; export it again")
    for name, tower in towers.items():
        attach(tower, ExportedTower(place / f"{name}.xml", precision))
    return True


def is_exported(folder: Path) -> bool:
    """Whether a saved model has exported towers."""
    return (folder / RUNTIME / _INDEX).is_file()


def towers_of(predictor: ImagePredictor) -> dict[str, ClipBackbone | ImageEncoder]:
    """The image towers of a predictor by the names of their files."""
    below = getattr(predictor, "predictor", predictor)
    if isinstance(below, EnsemblePredictor):
        return {"high": below.high.backbone, **towers_of(below.low)}
    if isinstance(below, PromptPredictor):
        return {"high": below.backbone}
    if isinstance(below, EncoderPredictor):
        return {f"low-{role}": each for role, each in below.encoders.items() if isinstance(each, ImageEncoder)}
    return {}


def _digest_of(place: Path, name: str) -> str:
    files = [place / f"{name}{suffix}" for suffix in (".xml", ".bin")]
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"{file}: missing; export the model again")
    return artifacts.digest_files(files)
