"""Finds the prompt files, recipes and weights that come with vlqa, installed or in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).parent


def data_dir(kind: Literal["prompts", "configs"]) -> Path:
    """The folder of bundled prompt files or recipes: inside the wheel, else at the top of the checkout."""
    installed = _PACKAGE / "_data" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def bundled(kind: Literal["prompts", "configs"]) -> dict[str, Path]:
    """Name (file name without .yaml) to path of every bundled file of a kind, in alphabetical order."""
    return {path.stem: path for path in sorted(data_dir(kind).glob("*.yaml"))}


def weights_dir(name: str) -> Path:
    """The folder of a bundled model's weights; it may not exist."""
    return _PACKAGE / "_weights" / name
