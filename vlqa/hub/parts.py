"""What every kind of model is on its way from files to a predictor."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from vlqa.errors import ConfigError
from vlqa.hub.table import ModelRow
from vlqa.predictors.base import ImagePredictor
from vlqa.prompts import PromptSet


class ModelParts(Protocol):
    """What a predictor is made of, read but not assembled."""

    def base(self, name: str) -> ModelParts:
        """The same without an adapter in use, under another name."""
        ...

    @property
    def name(self) -> str:
        """Of the model."""
        ...

    @property
    def own_options(self) -> tuple[str, ...]:
        """Options of `vlqa.load` that it takes besides those that all models take."""
        ...

    def predictor(
        self, prompts: PromptSet | None, options: Mapping[str, Any], device: torch.device, dtype: torch.dtype
    ) -> ImagePredictor:
        """Assemble: with other prompts than the model's own where they are given.

        Raises:
            ConfigError: prompts that the model does not read, or an option that it has not.
        """
        ...


def published(row: ModelRow, files: Mapping[str, Path]) -> ModelParts:
    """A model of the table whose published weights come in several files, by role.

    Raises:
        ConfigError: an unknown role, or one that is missing.
        CheckpointError: a file that is missing, damaged or of another model.
    """
    for role in files:
        if role not in row.parts:
            raise ConfigError(f"{row.name} has no part {role!r}; it has {', '.join(row.parts)}")
    if missing := [role for role in row.required if role not in files]:
        how = " ".join(f"--part {role}=FILE" for role in missing)
        raise ConfigError(f"{row.name} needs {how} ({row.source})")
    converter = importlib.import_module(f"vlqa.hub.convert.{row.converter}")
    parts: ModelParts = converter.read(row.name, files)
    return parts
