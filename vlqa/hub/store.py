"""`load` and `save`: from a name, a folder or the hub to a predictor, and back to a folder. No pickle anywhere."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub
import torch

from vlqa import artifacts
from vlqa._version import __version__
from vlqa.errors import CheckpointError, ConfigError
from vlqa.hub import exports, prompted, table
from vlqa.hub.parts import ModelParts, published
from vlqa.hub.target import CONFIG, check_target
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.clip_hub import fetch
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.ensemble import vision_language_view
from vlqa.prompts import Prompts, PromptSet
from vlqa.resources import weights_dir
from vlqa.runtime import default_batch_size, keep_freed_memory, resolve_device, resolve_dtype

FORMAT = 1
WEIGHTS = "model.safetensors"

_FORMS = {
    "antonym": "prompted",
    "multitask": "prompted",
    "regression": "encoded",
    "pristine": "encoded",
    "ensemble": "ensemble",
    "few-shot": "few_shot",
}
"""Modules of `vlqa.hub` by method."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load(
    model: str | os.PathLike[str] = "mini",
    *,
    weights: str | os.PathLike[str] | None = None,
    prompts: Prompts | None = None,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    **options: Any,
) -> ImagePredictor:
    """Build a predictor, ready to score.

    On a CPU glibc is told to keep freed memory for the next pictures; see `vlqa.runtime.keep_freed_memory`.

    Args:
        model: a name of `available_models`; a directory that `save` wrote (with a path separator in it, or with a
            config.json inside); or a repository of the Hugging Face hub ("owner/name").
        weights: for a name: a directory that `save` wrote, or the published file; for CLIP-IQA also a folder in
            transformers' format (CLIP, SigLIP).
        prompts: sentences in place of the model's own: a PromptSet, a bundled name, a path, pairs or labels. Pairs of
            opposite sentences make any model score by them, on (0, 1); joint prompts need labels of `quality`.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "fp32", "bf16" or "fp16" (not on the CPU): of the image tower.
        options: how pictures are read, which `predictors.reading.Reading` tells (`batch_size`, `workers`,
            `max_image_pixels`, `fast_decode`, `isolate`, `decode_timeout`); what the model sees: `patches` ("demo" or
            "pyiqa") of liqe, `max_shorter_side`, `min_side`, `multiple`, `max_pixels` of models that see the
            whole picture; and `adapter` (one of the model's, a folder in peft's format, or None for the bare backbone),
            which `merge` (True) adds to the weights, while merge=False keeps all for
            `predictor.backbone.adapters.use(name)`; and `runtime` of a model of `vlqa export`: "openvino", which runs
            it on the CPU unless "torch" is asked for.

    Raises:
        UnknownModelError: no such name.
        CheckpointError: weights that are missing, damaged, refused or of another model.
        ConfigError: an option, prompts, a device or a precision that does not fit.
    """
    place = resolve_device(device)
    dtype = resolve_dtype(precision, place)
    if place.type == "cpu":
        keep_freed_memory()
    chosen = None if prompts is None else PromptSet.of(prompts)
    runtime = _runtime(options.pop("runtime", None), place, folder := _folder(model, weights))
    if runtime == "openvino":
        dtype = torch.float32  # of what torch still runs
    if place.type == "cuda" and options.get("batch_size") is None:
        options["batch_size"] = default_batch_size(place)
    predictor = _parts(os.fspath(model), weights, chosen).predictor(chosen, options, place, dtype)
    if runtime == "openvino" and not exports.attach_exports(predictor, folder, precision):
        raise ConfigError(f"{folder}: exported with another adapter than this; load it with runtime='torch'")
    return predictor


def save(
    predictor: ImagePredictor,
    directory: str | os.PathLike[str],
    *,
    half: bool = False,
    merge: bool = False,
    licence: str | None = None,
) -> Path:
    """Write a predictor as a directory that `load` reads: config.json and model.safetensors.

    A new directory appears whole or not at all. In an existing one each file is replaced whole, the configuration
    last; it names the digest of its weights, so that a mixture is refused.

    Args:
        predictor: what `load` or a training run gave.
        directory: created with its parents.
        half: store weights as float16, for half the size; norms, single numbers and statistics stay as they are.
        merge: add the adapter in use to the weights, of this predictor too, instead of saving adapters beside them.
        licence: of the weights; that of the table where the model has a row there.

    Returns:
        The directory.

    Raises:
        ConfigError: a file is in the way, a config.json of something else, or `half` that would round weights which
            adapters were trained on; train them on a base that was saved in half.
    """
    below = getattr(predictor, "predictor", predictor)  # of a head: its adapters and its licence are those below it
    high = vision_language_view(below)
    adapters = high.backbone.adapters if high else None
    if adapters and merge:
        adapters.merge()
        adapters = None
    if adapters and next(adapters.backbone.visual.parameters()).dtype != torch.float32:
        raise ConfigError("adapters belong to weights in fp32; load the model with precision fp32 to save it")
    own, state = _form(predictor.method).describe(predictor)
    if half:
        if adapters and rounds_in_half(adapters.base_state()):
            raise ConfigError("half would change the weights that the adapters belong to; save in full, or merge=True")
        state = {name: tensor.half() if _shrinks(name, tensor) else tensor for name, tensor in state.items()}
    row = table.MODELS.get(below.name)
    config: dict[str, Any] = {
        "format": FORMAT,
        "name": predictor.name,
        "method": predictor.method,
        "scale": list(predictor.scale),
        **own,
        "licence": licence or (row.licence if row else "unknown"),
        "paper": row.paper if row else "",
        "versions": _versions(),
        "digests": {"weights": artifacts.digest_tensors(state)},
    }
    if prompts := getattr(predictor, "prompts", None):
        config["digests"]["prompts"] = prompts.digest
    target = Path(directory)
    check_target(target)
    if target.is_dir() and any(target.iterdir()):
        _write(target, state, config, high.backbone if high else None)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        temporary.chmod(0o755)  # mkdtemp makes folders private
        _write(temporary, state, config, high.backbone if high else None)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def _folder(model: str | os.PathLike[str], weights: str | os.PathLike[str] | None) -> Path:
    """Where a model would be saved whose place these name."""
    named = os.fspath(model) in table.MODELS and weights is not None
    return Path(weights if named and weights is not None else model).expanduser()


def _runtime(asked: Any, place: torch.device, folder: Path) -> str:
    """What runs the image towers."""
    if asked not in (None, "torch", "openvino"):
        raise ConfigError(f"runtime must be torch or openvino, not {asked!r}")
    there = exports.is_exported(folder)
    if asked == "openvino" and not there:
        raise ConfigError(f"{folder}: no exported towers there; make them by vlqa export")
    if asked == "openvino" and place.type != "cpu":
        raise ConfigError(f"exported towers run on the CPU, not on {place}; use device='cpu' or runtime='torch'")
    return "openvino" if asked != "torch" and there and place.type == "cpu" else "torch"


def _form(method: str) -> ModuleType:
    """Who reads and writes models of a method."""
    if method not in _FORMS:
        raise CheckpointError(f"its method is {method!r}, which this vlqa does not know; update")
    return importlib.import_module(f"vlqa.hub.{_FORMS[method]}")


def _versions() -> dict[str, str]:
    others = {package: importlib.metadata.version(package) for package in ("torch", "open_clip_torch")}
    return {"vlqa": __version__, **others}


def _write(
    folder: Path, state: Mapping[str, torch.Tensor], config: dict[str, Any], backbone: ClipBackbone | None
) -> None:
    shutil.rmtree(folder / exports.RUNTIME, ignore_errors=True)  # of a model that stood here before
    artifacts.write_tensors(folder / WEIGHTS, state)
    if backbone is not None:
        prompted.write_beside(backbone, folder, config)
    artifacts.write_json(folder / CONFIG, config)


def _shrinks(name: str, tensor: torch.Tensor) -> bool:
    # a variance of 1e-8 or a logit scale has no float16 within tolerance, and vectors weigh nothing; a covariance
    # rounded so coarsely has negative eigenvalues
    return tensor.is_floating_point() and tensor.ndim > 1 and "statistics." not in name and not name.startswith("head.")


def rounds_in_half(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether `save` with `half` would change any value."""
    return any(
        _shrinks(name, value) and not torch.equal(value.half().to(value), value) for name, value in state.items()
    )


def _parts(model: str, weights: str | os.PathLike[str] | None, prompts: PromptSet | None) -> ModelParts:
    if model in table.MODELS:
        return _named(table.MODELS[model], None if weights is None else Path(weights).expanduser(), prompts)
    folder = Path(model).expanduser()
    if weights is not None:
        raise ConfigError(f"weights belong to a model name such as liqe, but {model!r} is a folder or a repository")
    if (folder / CONFIG).is_file():
        return _directory(folder)
    if not folder.exists() and _REPOSITORY.fullmatch(model):
        wanted = [CONFIG, WEIGHTS, f"{prompted.ADAPTERS}/*", f"{prompted.TOKENIZER}/*"]
        what = f"no folder {model} here, and the hub repository {model}"
        fetched = fetch(lambda: huggingface_hub.snapshot_download(model, allow_patterns=wanted), what)
        return _directory(Path(fetched))
    if os.sep in model or "/" in model or folder.is_dir():
        raise CheckpointError(
            f"{model}: no vlqa model there (a folder with {CONFIG}); vlqa convert and train write one"
        )
    table.find(model)
    raise AssertionError("unreachable: find raises for unknown names")


def _named(row: table.ModelRow, weights: Path | None, prompts: PromptSet | None) -> ModelParts:
    own = weights_dir(row.base_of or row.name)
    if weights is None and row.bundled and (own / CONFIG).is_file():
        parts = _directory(own)
        if row.base_of and not (own / prompted.ADAPTERS).is_dir():
            raise CheckpointError(f"{own}: no adapter there, so that {row.name} would be {row.base_of}; reinstall vlqa")
        return parts.base(row.name) if row.base_of else parts
    if weights is not None and weights.is_dir() and not (row.open_clip and _of_transformers(weights)):
        parts = _directory(weights)
        if parts.name != row.name:
            raise CheckpointError(f"{weights} holds the model {parts.name}, not {row.name}; load that folder itself")
        return parts
    if weights is None and row.open_clip is None:
        raise CheckpointError(
            f"the weights of {row.name} are not here: pass --weights ({row.source}), or train them with vlqa train"
        )
    if row.converter is None:
        raise CheckpointError(f"{weights}: {row.name} has no published file; --weights takes a folder with {CONFIG}")
    if row.parts:
        assert weights is not None
        return published(row, {row.parts[0]: weights})
    return prompted.published(row, weights, prompts)


def _of_transformers(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and "model_type" in artifacts.read_json(folder / CONFIG)


def _directory(folder: Path) -> ModelParts:
    config = artifacts.read_json(folder / CONFIG)
    if "format" not in config:
        raise CheckpointError(f"{folder}: its {CONFIG} is not that of a vlqa model; vlqa convert and train write one")
    if config["format"] != FORMAT:
        raise CheckpointError(
            f"{folder}: format {config.get('format')!r}, expected {FORMAT}; a newer vlqa wrote it: update"
        )
    try:
        if not isinstance(config["name"], str):
            raise CheckpointError(f"its {CONFIG} has a name that is no text")
        weights = artifacts.read_checkpoint(folder / WEIGHTS)
        if artifacts.digest_tensors(weights) != config["digests"]["weights"]:
            raise CheckpointError("the weights are not those of its config.json; copy or convert it again")
        prompted.check_adapters(folder, config)
        parts: ModelParts = _form(config["method"]).stored(config, weights, folder)
        return parts
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG}: not a complete description of a model ({error!r})") from None
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"{folder}: {error}") from None
