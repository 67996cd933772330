"""Losses on labels of which any may be missing: what is not known costs nothing and gives no gradient."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def opinion_loss(score: Float[Tensor, n], mos: Float[Tensor, n]) -> Float[Tensor, ""]:
    """Huber loss, δ = 0.5, of scores on opinions; NaN is not known."""
    rated = ~mos.isnan()
    return F.huber_loss(score[rated], mos[rated].float(), delta=0.5) if rated.any() else (score * 0).sum()


def type_loss(logits: Float[Tensor, "n t"], types: Int[Tensor, n]) -> Float[Tensor, ""]:
    """Cross-entropy of logits on the type of damage; −1 is not known."""
    if not (types >= 0).any():
        return (logits * 0).sum()
    return F.cross_entropy(logits, types, ignore_index=-1)


def claim_loss(probabilities: Float[Tensor, "n a"], targets: Float[Tensor, "n a"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of probabilities on how far each claim holds, 0–1; NaN is not known."""
    known = ~targets.isnan()
    if not known.any():
        return (probabilities * 0).sum()
    # not torch's own function: that raises on NaN, which is for the loop to tell; in bf16 1 − 1e-6 would be 1
    chosen, target = probabilities[known].float().clamp(1e-6, 1 - 1e-6), targets[known].float()
    return -(target * chosen.log() + (1 - target) * (1 - chosen).log()).mean()
