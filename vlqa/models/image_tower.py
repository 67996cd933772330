"""Running a vision transformer without computing what nobody reads."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor


def forward_class_token(tower: Any, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
    """The features `tower(images)` gives; of the last block the class token alone where only that is pooled.

    All other tokens serve the last attention as keys and values, and no further: their queries, outputs and MLP, a
    fifteenth of ViT-B's operations, are left out. Towers that pool otherwise run whole.

    Args:
        tower: open_clip's VisionTransformer, or any module from pictures to features.
        images: normalised.

    Returns:
        Features as the tower gives them, not unit length.
    """
    if not _pools_class_token(tower):
        return tower(images)
    hidden = tower._embeds(images)
    *blocks, last = tower.transformer.resblocks
    for block in blocks:
        hidden = block(hidden)
    seen, token = last.ln_1(hidden), hidden[:, :1]
    token = token + last.ls_1(last.attention(seen[:, :1], seen, seen))
    token = token + last.ls_2(last.mlp(last.ln_2(token)))
    pooled = tower.ln_post(token)[:, 0]
    return pooled if tower.proj is None else pooled @ tower.proj


def _pools_class_token(tower: Any) -> bool:
    transformer: Any = getattr(tower, "transformer", None)
    return (
        getattr(tower, "pool_type", None) == "tok"
        and tower.attn_pool is None
        and not tower.output_tokens
        and getattr(transformer, "batch_first", False)
        and not transformer.grad_checkpointing
        and all(hasattr(transformer.resblocks[-1], part) for part in ("attention", "ls_1", "ls_2", "ln_2", "mlp"))
        and not hasattr(transformer.resblocks[-1], "ln_1_kv")
    )
