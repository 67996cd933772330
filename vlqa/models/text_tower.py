"""Running a text tower on no more positions than the texts need."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def forward_trimmed(tower: Any, tokens: Int[Tensor, "k length"]) -> Float[Tensor, "k d"]:
    """The features `tower(tokens)` gives, without computing the padding behind the longest text.

    Under a causal mask a position sees only what stands before it, so that cutting everything behind the pooled
    positions leaves the result as it is. LIQE's prompts are at most 22 of 77 positions long. Other towers (two-way
    attention, a class token at the end, transformers' own) run whole.

    Args:
        tower: open_clip's TextTransformer, or any module from tokens to features.
        tokens: ids, padded to the context length.

    Returns:
        Features as the tower gives them, not unit length.
    """
    ends = _pooled_positions(tower, tokens)
    if ends is None:
        return tower(tokens)
    length = int(ends.max()) + 1
    embedded, mask = tower._embeds(tokens[:, :length])
    hidden = tower.transformer(embedded, attn_mask=mask[:length, :length])
    rows = torch.arange(len(tokens), device=tokens.device)
    pooled = tower.ln_final(hidden[rows, ends])  # the norm works on each position alone: pool first, it is cheaper
    projection = tower.text_projection
    if projection is None:
        return pooled
    return projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection


def _pooled_positions(tower: Any, tokens: Tensor) -> Tensor | None:
    """Where each text is pooled, or None where trimming would change the result."""
    if getattr(tower, "attn_mask", None) is None or getattr(tower, "cls_emb", None) is not None:
        return None
    if getattr(tower, "pool_type", None) == "argmax":  # the end token has the highest id
        return tokens.argmax(dim=-1)
    if getattr(tower, "pool_type", None) == "eos":
        return torch.eq(tokens, tower.eos_id).int().argmax(dim=-1)
    return None
