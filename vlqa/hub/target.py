"""Folders that a model may be saved in."""

from __future__ import annotations

from pathlib import Path

from vlqa import artifacts
from vlqa.errors import CheckpointError, ConfigError

CONFIG = "config.json"


def check_target(target: Path) -> None:
    """Raise the ConfigError of a place where `save` would not write."""
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target} is a file; name a folder to save the model in")
    try:
        artifacts.check_writable(target)
    except OSError as error:
        raise ConfigError(f"{target}: no model can be saved there ({error.strerror}); name another folder") from None
    present = target / CONFIG
    if present.is_file():
        try:
            ours = "format" in artifacts.read_json(present)
        except CheckpointError:
            ours = False
        if not ours:
            raise ConfigError(f"{present} is not that of a vlqa model and would be lost; save to another folder")
