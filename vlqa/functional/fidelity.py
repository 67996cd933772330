"""Fidelity losses: how little two distributions overlap, for order, classes and labels (LIQE, arXiv 2303.14968).

A missing label is masked: it adds nothing, and a batch without any gives 0 with zero gradient.
Half precision is raised to float32, where ε = 1e-8 does not vanish.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

EPSILON = 1e-8
"""Added under each root; the published constant. It also bounds the gradient, which would be infinite at 0."""


def pairwise_fidelity(
    quality: Float[Tensor, " n"],
    mos: Float[Tensor, " n"],
    sets: Int[Tensor, " n"] | None = None,
    mask: Bool[Tensor, " n"] | None = None,
) -> Float[Tensor, ""]:
    """Loss of the order of predicted qualities against that of human scores, within each data set.

    For a pair i < j, p = Φ((q_i − q_j)/√2) under Thurstone's model and g = ½(1 + sign(mos_i − mos_j)); its loss is
    1 − √(p·g + ε) − √((1−p)(1−g) + ε) (LIQE, arXiv 2303.14968). Averaged over the pairs of a set, then over
    the sets that have pairs: scores of different sets are on different scales and never compared.

    Args:
        quality: predicted scores, higher is better.
        mos: human scores, higher is better; NaN is a missing score.
        sets: number of the data set of each image; all one set when left out.
        mask: False where an image has no score to compare.

    Returns:
        Loss in [−2e-4, 1]; 0 is a certain and right order. A tie in `mos` asks for p = ½.
    """
    quality, mos = _exact(quality), mos.to(quality.device)
    labelled = ~mos.isnan() if mask is None else mask.to(quality.device) & ~mos.isnan()
    first, second = torch.triu_indices(len(quality), len(quality), offset=1, device=quality.device)
    compared = labelled[first] & labelled[second]
    if sets is not None:
        sets = sets.to(quality.device)
        compared = compared & (sets[first] == sets[second])
    first, second = first[compared], second[compared]
    if not len(first):
        return (quality * 0).sum()
    difference = (quality[first] - quality[second]) / 2**0.5
    preferred = 0.5 * (1 + torch.sign(mos[first] - mos[second]).to(quality.dtype))
    # Φ(−x) rather than 1 − Φ(x), which float32 rounds to 0 beyond 5.5 standard deviations
    loss = _binary(torch.special.ndtr(difference), torch.special.ndtr(-difference), preferred)
    if sets is None:
        return loss.mean()
    _, number, pairs = torch.unique(sets[first], return_inverse=True, return_counts=True)
    return (loss / pairs[number]).sum() / len(pairs)


def categorical_fidelity(
    probabilities: Float[Tensor, "n k"], labels: Int[Tensor, " n"], mask: Bool[Tensor, " n"] | None = None
) -> Float[Tensor, ""]:
    """Loss of one label out of k, such as the distortion: 1 − Σ_k √(p_k·g_k + ε) (LIQE, arXiv 2303.14968).

    Args:
        probabilities: rows that sum to 1.
        labels: index of the true label; a negative index is a missing label.
        mask: False where an image has no label.

    Returns:
        Mean over the labelled images, in [−1e-4·k, 1]; 0 when none is labelled.
    """
    probabilities, labels = _exact(probabilities), labels.to(probabilities.device)
    labelled = labels >= 0 if mask is None else mask.to(probabilities.device) & (labels >= 0)
    truth = torch.nn.functional.one_hot(labels[labelled].long(), probabilities.shape[-1])
    loss = 1 - (probabilities[labelled] * truth + EPSILON).sqrt().sum(dim=-1)
    return _mean(loss, probabilities)


def multilabel_fidelity(
    probabilities: Float[Tensor, "n k"], targets: Float[Tensor, "n k"], mask: Bool[Tensor, " n"] | None = None
) -> Float[Tensor, ""]:
    """Loss of k labels of which several may hold, such as the scene: mean binary fidelity (LIQE, arXiv 2303.14968).

    Of one label: 1 − √(p·g + ε) − √((1−p)(1−g) + ε).

    Args:
        probabilities: probability of each label, in [0, 1].
        targets: 1 where the label holds, else 0 (or a probability); a row with a NaN is missing.
        mask: False where an image has no labels.

    Returns:
        Mean over the k labels and the labelled images, in [−2e-4, 1]; 0 when none is labelled.
    """
    probabilities = _exact(probabilities)
    targets = targets.to(probabilities)
    labelled = ~targets.isnan().any(dim=-1)
    if mask is not None:
        labelled = labelled & mask.to(probabilities.device)
    chosen, truth = probabilities[labelled], targets[labelled]
    # a marginal summed in float32 may exceed 1 by a rounding error, and the root of a negative number is NaN
    return _mean(_binary(chosen, (1 - chosen).clamp_min(0), truth), probabilities)


def dynamic_weights(history: Float[Tensor, "epochs n"], temperature: float = 2.0) -> Float[Tensor, " n"]:
    """Weight of each of n losses in the next epoch: more for the one that falls least.

    λ_i = n·softmax(w_i / T) with w_i = L_i(e−1) / L_i(e−2) (dynamic weight average, Liu et al.,
    arXiv 1803.10704, eq. 7; with T = 2 as in LIQE, arXiv 2303.14968).

    Args:
        history: mean loss of every finished epoch, oldest first; (0, n) before the first.
        temperature: T; larger makes the weights more equal.

    Returns:
        Weights that sum to n; all 1 in epochs 0 and 1.
    """
    count = history.shape[1]
    if len(history) < 2:
        return torch.ones(count, dtype=history.dtype, device=history.device)
    last, before = history[-1], history[-2]
    ratio = torch.where(before != 0, last / torch.where(before != 0, before, 1.0), 1.0)  # a task without labels stays 0
    return count * (ratio / temperature).softmax(dim=0)


def _binary(p: Tensor, complement: Tensor, g: Tensor) -> Tensor:
    return 1 - (p * g + EPSILON).sqrt() - (complement * (1 - g) + EPSILON).sqrt()


def _mean(loss: Tensor, source: Tensor) -> Tensor:
    return loss.mean() if loss.numel() else (source * 0).sum()  # an empty mean is NaN


def _exact(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
