"""The whole state of a run in one safetensors file: tensors by path, everything else as JSON in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from vlqa.artifacts import write_tensors
from vlqa.errors import CheckpointError

_KEPT = 2  # the last one, and the one before it in case the disk lied about the last


def write_state(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Write the state after `step` steps atomically and remove all but the last two.

    Args:
        folder: where the run's checkpoints are.
        step: number of finished steps.
        state: nested dictionaries and lists of tensors, numbers, strings, booleans and None.
    """
    tensors: dict[str, Tensor] = {}
    tree = _take_tensors(state, "", tensors)
    path = folder / f"step_{step:08d}.safetensors"
    write_tensors(path, tensors, {"tree": json.dumps(tree)})
    for old in sorted(folder.glob("step_*.safetensors"))[:-_KEPT]:
        old.unlink()
    return path


def last_state(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The newest readable state and its number of finished steps, or `None` where there is none."""
    for path in sorted(folder.glob("step_*.safetensors"), reverse=True):
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                tree = json.loads(file.metadata()["tree"])
                state = _put_tensors(tree, file)
        except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError):
            continue  # damaged by a full disk or a power cut: the one before it serves
        return int(path.stem.split("_")[1]), state
    if any(folder.glob("step_*.safetensors")):
        raise CheckpointError(f"{folder}: no checkpoint in it can be read; delete the folder to start again")
    return None


def _take_tensors(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, Mapping):
        return {"items": [[key, _take_tensors(item, f"{path}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_take_tensors(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]}
    return value


def _put_tensors(node: Any, file: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        return file.get_tensor(node["tensor"])
    if "list" in node:
        return [_put_tensors(item, file) for item in node["list"]]
    return {key: _put_tensors(item, file) for key, item in node["items"]}


def random_state() -> dict[str, Tensor]:
    """State of torch's generators; numpy and random are not used globally in vlqa."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Tensor]) -> None:
    """Set torch's generators to a remembered state."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
