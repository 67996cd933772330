"""The attention pool of CLIP's ResNets, for any input size, with or without its positional embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vlqa.errors import ConfigError
from vlqa.models.clip_weights import interpolate_position


class AttentionPool(nn.Module):
    """Pools a feature map by attention whose query is the mean of its cells (Radford et al., arXiv 2103.00020, §2.4).

    CLIP computes attention for every cell and keeps one row; here the query is that row alone, and where nothing learns
    keys and values of single cells are not computed either. For a head with weights Wk, Wv and query q, logits are
    q·(Wk x + bk) = (Wkᵀq)·x + a constant, which softmax ignores, and what it hears is Wv·Σᵢaᵢxᵢ + bv. The numbers are
    the same up to rounding, at a small part of the cost.

    Args:
        positional_embedding: (1 + s², c): of the mean and of the cells of the trained s×s grid.
        q_proj, k_proj, v_proj, c_proj: the projections; c_proj gives the output.
        num_heads: heads of the attention.
        use_position: False leaves the embedding out (CLIP-IQA, GRepQ), and any size may come.
        interpolate: True resamples the embedding to the grid that comes; False refuses other grids.
    """

    def __init__(
        self,
        positional_embedding: nn.Parameter,
        q_proj: nn.Module,
        k_proj: nn.Module,
        v_proj: nn.Module,
        c_proj: nn.Module,
        *,
        num_heads: int,
        use_position: bool = True,
        interpolate: bool = False,
    ) -> None:
        super().__init__()
        self.positional_embedding = positional_embedding
        self.q_proj = q_proj
        self.k_proj = k_proj
        self.v_proj = v_proj
        self.c_proj = c_proj
        self.num_heads = num_heads
        self.use_position = use_position
        self.interpolate = interpolate

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """Pool a feature map of any size ≥ 1×1."""
        grid = (x.shape[2], x.shape[3])
        cells = x.flatten(2).transpose(1, 2)  # n (h w) c
        tokens = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)
        if self.use_position:
            tokens = tokens + self._position(grid).to(tokens.dtype)
        query = self._heads(self.q_proj(tokens[:, :1]))
        k, v = self.k_proj, self.v_proj
        # a projection with an adapter is no Linear; whoever trains in several processes needs gradients of all weights
        if isinstance(k, nn.Linear) and isinstance(v, nn.Linear) and not torch.is_grad_enabled():
            return self.c_proj(self._heard(query, tokens, k, v))
        keys, values = self._heads(self.k_proj(tokens)), self._heads(self.v_proj(tokens))
        return self.c_proj(F.scaled_dot_product_attention(query, keys, values).transpose(1, 2).flatten(1))

    def _heard(
        self, query: Float[Tensor, "n heads 1 c_head"], tokens: Float[Tensor, "n t c"], k: nn.Linear, v: nn.Linear
    ) -> Float[Tensor, "n c"]:
        """What all heads hear of the cells."""
        by_head = (self.num_heads, -1, tokens.shape[2])
        asked = torch.einsum("nhd,hdc->nhc", query[:, :, 0], k.weight.reshape(by_head))
        cells = tokens[:, None]
        heard = F.scaled_dot_product_attention(asked[:, None], cells, cells, scale=query.shape[3] ** -0.5)[:, 0]
        return torch.einsum("nhc,hdc->nhd", heard, v.weight.reshape(by_head)).flatten(1) + v.bias

    def _heads(self, tokens: Float[Tensor, "n t c"]) -> Float[Tensor, "n heads t c_head"]:
        return tokens.reshape(*tokens.shape[:2], self.num_heads, -1).transpose(1, 2)

    def _position(self, grid: tuple[int, int]) -> Tensor:
        side = round((len(self.positional_embedding) - 1) ** 0.5)
        if grid == (side, side):
            return self.positional_embedding
        if not self.interpolate:
            raise ConfigError(
                f"this backbone takes {side * 32}×{side * 32} images, not {grid[0] * 32}×{grid[1] * 32}; resize them, "
                "or build it with attention_pool_position=False or interpolate_position=True"
            )
        return interpolate_position(self.positional_embedding, grid)
