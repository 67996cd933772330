"""The recipe of pristine statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vlqa.training.config.common import Strict


class PristineConfig(Strict):
    """A model that scores blindly, and the good photographs that its statistics are made of."""

    name: str
    method: Literal["pristine"]
    output: Path
    model: str
    photos: tuple[Path, ...]
