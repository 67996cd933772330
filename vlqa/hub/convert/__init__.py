"""Published checkpoints → vlqa's own format, one file a method. No code in a checkpoint is ever executed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vlqa.errors import ConfigError
from vlqa.hub.parts import published
from vlqa.hub.store import load, save
from vlqa.hub.table import MODELS, find
from vlqa.runtime import resolve_device


def convert(
    checkpoint: str | os.PathLike[str] | None,
    method: str,
    output: str | os.PathLike[str],
    *,
    parts: Mapping[str, str | os.PathLike[str]] | None = None,
    **options: Any,
) -> Path:
    """Turn a published checkpoint into a vlqa directory that `vlqa.load` reads.

    Args:
        checkpoint: the published file.
        method: name of the model it belongs to, such as "liqe".
        output: directory to write.
        parts: further files by role, for methods whose weights come in several.
        options: as for `vlqa.load`: prompts, patches ("demo" or "pyiqa", of liqe).

    Returns:
        The directory.

    Raises:
        CheckpointError: a file that is missing, damaged, contains code, or is of another method.
        ConfigError: a method without published weights, or options that it has not.
    """
    row = find(method)
    if row.converter is None:
        names = [name for name, other in MODELS.items() if other.converter]
        raise ConfigError(f"{method} has no published checkpoint to convert; methods that have: {', '.join(names)}")
    options.setdefault("device", "cpu")
    files = {role: Path(file) for role, file in (parts or {}).items()}
    if not row.parts:
        if files:
            raise ConfigError(f"{method} is one file and has no part {next(iter(files))!r}; give the checkpoint alone")
        if checkpoint is None:
            raise ConfigError(f"convert needs the checkpoint of {method}: {row.source}")
        return save(load(method, weights=checkpoint, **options), output)
    if checkpoint is not None:
        if row.parts[0] in files:
            raise ConfigError(f"the checkpoint of {method} is its part {row.parts[0]!r}, which is given twice")
        files[row.parts[0]] = Path(checkpoint)
    place = resolve_device(options.pop("device"))
    return save(published(row, files).predictor(None, options, place, torch.float32), output)
