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
from typing import Any

import huggingface_hub
import torch

from vlqa import artifacts
from vlqa._version import __version__
from vlqa.errors import CheckpointError, ConfigError
from vlqa.hub import table
from vlqa.models.clip import ClipBackbone, build_backbone, download_weights
from vlqa.models.clip_hub import fetch
from vlqa.predictors.antonym import AntonymPredictor
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.prompted import PromptPredictor
from vlqa.predictors.views import View, view_from_dict, view_options
from vlqa.prompts import Prompts, PromptSet
from vlqa.resources import weights_dir
from vlqa.runtime import resolve_device, resolve_dtype

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMON = ("batch_size", "workers")


def load(
    model: str | os.PathLike[str] = "mini",
    *,
    weights: str | os.PathLike[str] | None = None,
    prompts: Prompts | None = None,
    device: str | torch.device = "auto",
    precision: str = "fp32",
    **options: Any,
) -> PromptPredictor:
    """Build a predictor, ready to score.

    Args:
        model: a name of `available_models`; a directory that `save` wrote (with a path separator in it, or with a
            config.json inside); or a repository of the Hugging Face hub ("owner/name").
        weights: for a name: a directory that `save` wrote, or the published file.
        prompts: sentences in place of the model's own: a PromptSet, a bundled name, a path, pairs or labels. Pairs of
            opposite sentences make any model score by them, on (0, 1); joint prompts need labels of `quality`.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "fp32", "bf16" or "fp16" (not on the CPU): of the image tower.
        options: `batch_size` (pictures of 224×224 an encoder call), `workers` (decoding threads), and those of what
            the model sees: `patches` ("demo" or "pyiqa") of liqe, `max_shorter_side`, `min_side`, `multiple`,
            `max_pixels` of models that see the whole picture.

    Raises:
        UnknownModelError: no such name.
        CheckpointError: weights that are missing, damaged, refused or of another model.
        ConfigError: an option, prompts, a device or a precision that does not fit.
    """
    place = resolve_device(device)
    dtype = resolve_dtype(precision, place)
    chosen = None if prompts is None else PromptSet.of(prompts)
    name, backbone, own_prompts, view = _parts(os.fspath(model), weights, chosen)
    view, common = _apply_options(name, view, backbone, options)
    backbone.eval().requires_grad_(False)
    backbone.to(place)
    backbone.cast(dtype)
    return _predictor_class(chosen or own_prompts)(backbone, chosen or own_prompts, view, name=name, **common)


def save(
    predictor: PromptPredictor,
    directory: str | os.PathLike[str],
    *,
    half: bool = False,
    licence: str | None = None,
) -> Path:
    """Write a predictor as a directory that `load` reads: config.json and model.safetensors.

    A new directory appears whole or not at all. In an existing one each file is replaced whole, the configuration
    last; it names the digest of its weights, so that a mixture is refused.

    Args:
        predictor: what `load` or a training run gave.
        directory: created with its parents.
        half: store weights as float16, for half the size; norms and single numbers stay in float32.
        licence: of the weights; that of the table where the model has a row there.

    Returns:
        The directory.
    """
    state = predictor.backbone.state_dict()
    if half:
        state = {name: tensor.half() if _shrinks(tensor) else tensor for name, tensor in state.items()}
    row = table.MODELS.get(predictor.name)
    config = {
        "format": FORMAT,
        "name": predictor.name,
        "method": predictor.method,
        "scale": list(predictor.scale),
        "backbone": predictor.backbone.architecture,
        "view": predictor.view.as_dict(),
        "prompts": predictor.prompts.as_dict(),
        "licence": licence or (row.licence if row else "unknown"),
        "paper": row.paper if row else "",
        "versions": _versions(),
        "digests": {"weights": artifacts.digest_tensors(state), "prompts": predictor.prompts.digest},
    }
    target = Path(directory)
    if target.is_dir() and any(target.iterdir()):
        _write(target, state, config)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        temporary.chmod(0o755)  # mkdtemp makes folders private
        _write(temporary, state, config)
        temporary.replace(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def _versions() -> dict[str, str]:
    others = {package: importlib.metadata.version(package) for package in ("torch", "open_clip_torch")}
    return {"vlqa": __version__, **others}


def _write(folder: Path, state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> None:
    artifacts.write_tensors(folder / WEIGHTS, state)
    artifacts.write_json(folder / CONFIG, config)


def _shrinks(tensor: torch.Tensor) -> bool:
    # a variance of 1e-8 or a logit scale has no float16 within tolerance, and vectors weigh nothing
    return tensor.is_floating_point() and tensor.ndim > 1


_Parts = tuple[str, ClipBackbone, PromptSet, View]


def _parts(model: str, weights: str | os.PathLike[str] | None, prompts: PromptSet | None) -> _Parts:
    if model in table.MODELS:
        return _named(table.MODELS[model], None if weights is None else Path(weights), prompts)
    folder = Path(model).expanduser()
    if weights is not None:
        raise ConfigError(f"weights belong to a model name such as liqe, but {model!r} is a folder or a repository")
    if (folder / CONFIG).is_file():
        return _directory(folder)
    if not folder.exists() and _REPOSITORY.fullmatch(model):
        fetched = fetch(lambda: huggingface_hub.snapshot_download(model), f"the hub repository {model}")
        return _directory(Path(fetched))
    if os.sep in model or "/" in model or folder.is_dir():
        raise CheckpointError(
            f"{model}: no vlqa model there (a folder with {CONFIG}); vlqa convert and train write one"
        )
    table.find(model)
    raise AssertionError("unreachable: find raises for unknown names")


def _named(row: table.ModelRow, weights: Path | None, prompts: PromptSet | None) -> _Parts:
    if weights is None and row.bundled and (weights_dir(row.name) / CONFIG).is_file():
        return _directory(weights_dir(row.name))
    if weights is not None and weights.is_dir():
        return row.name, *_directory(weights)[1:]
    if weights is None and row.open_clip is None:
        raise CheckpointError(
            f"the weights of {row.name} are not here: pass --weights ({row.source}), or train them with vlqa train"
        )
    if row.converter is None:
        raise CheckpointError(f"{weights}: {row.name} has no published file; --weights takes a folder with {CONFIG}")
    converter = importlib.import_module(f"vlqa.hub.convert.{row.converter}")
    checkpoint: Mapping[str, Any]
    if weights is None:
        assert row.open_clip is not None
        _, checkpoint = download_weights(*row.open_clip)
    else:
        checkpoint = artifacts.read_checkpoint(weights)
    try:
        backbone = converter.read(checkpoint)
    except CheckpointError as error:
        raise CheckpointError(f"{weights}: {error}") from None
    if prompts is None:
        own = converter.prompts_of(weights, checkpoint) if hasattr(converter, "prompts_of") else row.prompts
        prompts = PromptSet.load(own)
    seen = {"kind": "square"} if row.view["kind"] == "whole" and backbone.fixed_size else row.view
    return row.name, backbone, prompts, view_from_dict(seen, backbone)


def _directory(folder: Path) -> _Parts:
    config = artifacts.read_json(folder / CONFIG)
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder}: format {config.get('format')!r}, expected {FORMAT}; a newer vlqa wrote it: update"
        )
    try:
        weights = artifacts.read_checkpoint(folder / WEIGHTS)
        if artifacts.digest_tensors(weights) != config["digests"]["weights"]:
            raise CheckpointError("the weights are not those of its config.json; copy or convert it again")
        backbone = build_backbone(config["backbone"], weights=weights, copy_weights=False)
        return (
            config["name"],
            backbone,
            PromptSet.from_dict(config["prompts"]),
            view_from_dict(config["view"], backbone),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG}: not a complete description of a model ({error!r})") from None
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(f"{folder}: {error}") from None


def _predictor_class(prompts: PromptSet) -> type[AntonymPredictor] | type[MultitaskPredictor]:
    """The method follows the sentences: pairs are compared one by one, joint prompts share a softmax."""
    return MultitaskPredictor if prompts.kind == "joint" else AntonymPredictor


def _apply_options(
    name: str, view: View, backbone: ClipBackbone, options: Mapping[str, Any]
) -> tuple[View, dict[str, Any]]:
    config = view.as_dict()
    # LIQE's windows are what its weights were trained on; only the rule is a choice
    of_view = {"patches": "rule"} if config["kind"] == "liqe" else {key: key for key in view_options(config["kind"])}
    for option in options:
        if option not in of_view and option not in _COMMON:
            raise ConfigError(f"{name} has no option {option!r}; it has {', '.join([*of_view, *_COMMON])}")
    common = {option: options[option] for option in _COMMON if option in options}
    if not _whole_number(common.get("batch_size", 1), 1):
        raise ConfigError(f"batch_size must be a whole number of at least 1, not {common['batch_size']!r}")
    if common.get("workers") is not None and not _whole_number(common["workers"], 0):
        raise ConfigError(f"workers must be a whole number of at least 0, not {common['workers']!r}")
    changes = {of_view[option]: value for option, value in options.items() if option in of_view}
    return (view_from_dict(config | changes, backbone) if changes else view), common


def _whole_number(value: Any, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest
