"""Prompts: the sentences an image is compared with. See `prompt_set` for the schema of a prompt file."""

from __future__ import annotations

from vlqa.prompts.prompt_set import Prompts, PromptSet

__all__ = ["PromptSet", "Prompts"]
