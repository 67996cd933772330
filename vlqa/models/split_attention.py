"""Torch's attention with its three input projections apart, so that each can have an adapter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SplitAttention(nn.Module):
    """The numbers of `nn.MultiheadAttention`, from four linear layers that are called as layers.

    Torch's own module reads its projections as bare weights. An adapter must then be added to them before each call
    and subtracted afterwards, as peft does, and the rounding of either stays in the weights for good.

    Args:
        attention: whose weights it takes; queries, keys and values of one width.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.embed_dim, self.num_heads = attention.embed_dim, attention.num_heads
        self.batch_first = attention.batch_first
        self.dropout = attention.dropout
        weights = attention.in_proj_weight.chunk(3)
        biases = (None,) * 3 if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)
        self.q_proj, self.k_proj, self.v_proj = map(_linear, weights, biases)
        self.out_proj = _linear(attention.out_proj.weight, attention.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, None]:
        """As torch's, without weights and key padding.

        Args:
            query: (n, length, d) where `batch_first`, else (length, n, d).
            key: likewise.
            value: likewise.
            need_weights: must be False.
            attn_mask: added to the scores, or True where a position is not seen.
        """
        if need_weights:
            raise NotImplementedError("attention weights are not kept; call with need_weights=False")
        projected = [self.q_proj(query), self.k_proj(key), self.v_proj(value)]
        if not self.batch_first:
            projected = [tokens.transpose(0, 1) for tokens in projected]
        queries, keys, values = (
            tokens.reshape(*tokens.shape[:2], self.num_heads, -1).transpose(1, 2) for tokens in projected
        )
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            attn_mask = ~attn_mask
        if attn_mask is not None and attn_mask.ndim == 3:  # torch gives each head of each row its mask
            attn_mask = attn_mask.reshape(-1, self.num_heads, *attn_mask.shape[1:])
        dropout = self.dropout if self.training else 0.0
        pooled = F.scaled_dot_product_attention(queries, keys, values, attn_mask=attn_mask, dropout_p=dropout)
        joined = pooled.transpose(1, 2).flatten(2)
        return self.out_proj(joined if self.batch_first else joined.transpose(0, 1)), None

    def whole(self) -> nn.MultiheadAttention:
        """Torch's module with these weights."""
        bias = self.q_proj.bias is not None
        attention = nn.MultiheadAttention(
            self.embed_dim, self.num_heads, self.dropout, bias, batch_first=self.batch_first
        )
        attention.load_state_dict(joined_names(self.state_dict(), [""]))
        return attention.to(self.q_proj.weight).train(self.training)


def split_attention(module: nn.Module) -> None:
    """Replace every `nn.MultiheadAttention` inside, in place."""
    for parent, name, child in _children(module, nn.MultiheadAttention):
        if child._qkv_same_embed_dim and child.bias_k is None and not child.add_zero_attn:
            setattr(parent, name, SplitAttention(child).train(child.training))


def join_attention(module: nn.Module) -> None:
    """Undo `split_attention`, in place."""
    for parent, name, child in _children(module, SplitAttention):
        setattr(parent, name, child.whole())


def joined_names(state: dict[str, Tensor], prefixes: Iterable[str]) -> dict[str, Tensor]:
    """A state dict with split attention under some prefixes, as torch's attention would name it."""
    result = dict(state)
    for prefix in prefixes:
        for kind in ("weight", "bias"):
            if f"{prefix}q_proj.{kind}" in state:
                parts = [result.pop(f"{prefix}{part}_proj.{kind}") for part in "qkv"]
                result[f"{prefix}in_proj_{kind}"] = torch.cat(parts)
    return result


def _children(module: nn.Module, kind: type[Any]) -> list[tuple[nn.Module, str, Any]]:
    return [
        (parent, name, child)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, kind)
    ]


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone(), weight.requires_grad)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), bias.requires_grad)
    return layer
