"""Tokenizers in transformers' format, which are read when the first text comes: images alone need no network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from vlqa.models import clip_hub


class HubTokenizer:
    """A tokenizer of the Hugging Face hub or of a folder.

    Args:
        source: repository or folder.
        build: the tokenizer of a source.
    """

    def __init__(self, source: str, build: Callable[[str], Any]) -> None:
        self.source = source
        self.build = build

    def __call__(self, texts: list[str]) -> Tensor:
        """Tokens of texts, (k, context length)."""
        return self._read(texts)

    def kept_in(self, folder: Path) -> None:
        """Read it from a folder that `save` wrote, which needs neither the hub nor the place it once came from."""
        self.source = str(folder)

    def save(self, folder: Path) -> None:
        """Write its files into a folder.

        Raises:
            CheckpointError: its source is out of reach.
        """
        self._read.tokenizer.save_pretrained(folder)

    @functools.cached_property
    def _read(self) -> Any:
        return clip_hub.fetch(functools.partial(self.build, self.source), f"tokenizer {self.source}")
