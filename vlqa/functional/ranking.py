"""Losses that ask versions of a picture to be ranked by how far they were degraded (QualiCLIP, arXiv 2403.11176)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def margin_ranking(values: Float[Tensor, "*n levels"], margin: float) -> Float[Tensor, ""]:
    """Values must fall from one level to every later one by a margin: mean of max(0, margin − (v_i − v_j)) over i < j.

    Args:
        values: of each version, the least degraded first; negate what must rise.
        margin: ≥ 0, in the unit of the values.

    Returns:
        Mean over the pairs, ≥ 0; 0 for one level.

    Raises:
        ValueError: a negative margin.
    """
    if margin < 0:
        raise ValueError(f"margin must be at least 0, not {margin}")
    levels = values.shape[-1]
    first, second = torch.triu_indices(levels, levels, offset=1, device=values.device)
    losses = (margin - (values[..., first] - values[..., second])).clamp_min(0)
    return losses.mean() if losses.numel() else (values * 0).sum()


def consistency(first: Float[Tensor, "*n"], second: Float[Tensor, "*n"]) -> Float[Tensor, ""]:
    """Two crops of one picture under the same damage must have the same value: mean of |v − v'|."""
    return (first - second).abs().mean()
