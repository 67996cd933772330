"""Contrastive losses of the low-level encoders: which features must lie near each other and which apart.

All scale features to length 1 themselves and compute cosines in float32 (float64 for float64 features), also for
half-precision features and under autocast: a bf16 cosine divided by a temperature of 0.1 is wrong in the second digit.
They see one process; a caller with several gathers the features, with gradient, first.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlqa.functional.similarity import unit


def quality_aware_contrastive(
    features: Float[Tensor, "*b n d"],
    augmented: Float[Tensor, "*b n d"],
    similarity: Float[Tensor, "*b n n"],
    temperature: float = 0.5,
) -> Float[Tensor, ""]:
    """Loss that draws versions of a photo together as far as they look alike (GRepQ, arXiv 2312.04838, L_in).

    With S_ij = cos(f_i, f'_j)/τ and w_ij = 2 − 2/(1 + M_ij²), the mean over i of
    −log(Σ_j w_ij·e^{S_ij} / Σ_j e^{S_ij}) plus the same over columns.

    The reference contrasts the versions of each photo among themselves (GRepQ 61dd615, losses.py): that is a batch
    axis, (photos, versions, d) with (photos, versions, versions). With photos in one (n, d) and M = 0 between
    versions of different photos, these take the weight w(0) = 0: they are negatives, which the reference has none of.

    Args:
        features: of n versions under one draw of fragments.
        augmented: of the same versions under another draw.
        similarity: M, how alike two versions look, in [0, 1] (FSIM); 1 on the diagonal. No gradient flows into it.
        temperature: τ > 0, of cosines.

    Returns:
        Mean over the batch, ≥ 0; 0 where every M is 1.

    Raises:
        ValueError: the temperature is not positive.
    """
    logits = _cosine(features, augmented, temperature)
    squared = similarity.detach().to(logits).square()
    weighted = logits + (2 * squared / (1 + squared)).log()  # −∞ for a weight of 0, which logsumexp leaves out
    losses = [logits.logsumexp(axis) - weighted.logsumexp(axis) for axis in (-1, -2)]
    return losses[0].mean() + losses[1].mean() if logits.numel() else logits.sum()


def multi_class_nt_xent(
    projections: Float[Tensor, "n d"], labels: Int[Tensor, " n"], temperature: float = 0.1
) -> Float[Tensor, ""]:
    """Loss that draws projections of one class together, away from all others (CONTRIQUE, arXiv 2110.13266, eq. 1).

    Mean over anchors a of log Σ_{b≠a} e^{s_ab/τ} − (1/|P_a|)·Σ_{p∈P_a} s_ap/τ, where s are cosines and P_a the other
    members of a's class. An anchor alone in its class is nobody's anchor but everybody's negative.

    Args:
        projections: one row a patch or picture.
        labels: class of each row.
        temperature: τ > 0, of cosines.

    Returns:
        Mean over the anchors that have a positive, ≥ 0; 0 with zero gradient where none has.

    Raises:
        ValueError: the temperature is not positive.
    """
    logits = _cosine(projections, projections, temperature)
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    labels = labels.to(logits.device)
    positive = (labels[:, None] == labels) & ~itself
    count = positive.sum(dim=1)
    anchors = count > 0
    if not anchors.any():
        return (logits * 0).sum()
    nearness = (logits * positive).sum(dim=1) / count.clamp_min(1)
    loss = logits.masked_fill(itself, -torch.inf).logsumexp(dim=1) - nearness
    return loss[anchors].mean()


def nt_xent(first: Float[Tensor, "n d"], second: Float[Tensor, "n d"], temperature: float) -> Float[Tensor, ""]:
    """Loss that tells the two views of each picture from those of all others (SimCLR, arXiv 2002.05709, eq. 1).

    Each of the 2n views is an anchor, its only positive the other view of its picture, the 2n − 2 others negatives.

    Args:
        first: one view of each picture.
        second: another view of the same pictures, in the same order.
        temperature: τ > 0, of cosines.

    Returns:
        Mean over the 2n anchors, ≥ 0; 0 for one picture, which has no negatives.

    Raises:
        ValueError: the temperature is not positive.
    """
    pictures = torch.arange(len(first), device=first.device)
    return multi_class_nt_xent(torch.cat([first, second]), torch.cat([pictures, pictures]), temperature)


def info_nce(
    query: Float[Tensor, "n d"],
    key: Float[Tensor, "n d"],
    negatives: Float[Tensor, "m d"],
    temperature: float,
    anchor_negatives: Float[Tensor, "n k d"] | None = None,
) -> Float[Tensor, ""]:
    """Loss that tells the key of each query from negatives (MoCo, arXiv 1911.05722, eq. 1).

    −log(e^{q·k⁺/τ} / (e^{q·k⁺/τ} + Σ_negatives e^{q·k/τ})). QPT (arXiv 2303.00521) adds negatives of each query's own,
    its picture under other degradations, to those of the queue in the same sum.

    Args:
        query: one row a view.
        key: the positive of each query. Gradient flows into it as into all: detach what a momentum encoder made.
        negatives: shared by all queries, such as the queue; m may be 0.
        temperature: τ > 0, of cosines.
        anchor_negatives: k more for each query alone.

    Returns:
        Mean over the queries, ≥ 0; 0 where there are no negatives.

    Raises:
        ValueError: the temperature is not positive.
    """
    alone = query.unsqueeze(1)
    logits = [_cosine(alone, key.unsqueeze(1), temperature).squeeze(1), _cosine(query, negatives, temperature)]
    if anchor_negatives is not None:
        logits.append(_cosine(alone, anchor_negatives, temperature).squeeze(1))
    every = torch.cat(logits, dim=1)
    loss = every.logsumexp(dim=1) - every[:, 0]
    return loss.mean() if len(loss) else every.sum()


def group_contrastive(
    features: Float[Tensor, "n d"], quality: Float[Tensor, " n"], group: int, temperature: float = 0.5
) -> Float[Tensor, ""]:
    """Loss that draws the best of a batch together and the worst, and both apart (GRepQ, arXiv 2312.04838, §3.2).

    Sorted by quality, the `group` lowest and the `group` highest are two groups, the rest takes no part. Of a member i
    with pos_i the mean cosine to the others of its group: −log(e^{pos_i/τ} / (e^{pos_i/τ} + Σ_k e^{cos(i, k)/τ})) with
    k over the other group.

    Args:
        features: one row a picture.
        quality: how good each is thought to be, such as a pseudo-label from prompts; no gradient flows into it.
        group: members of each group; at least 2, and at most half of the batch.
        temperature: τ > 0, of cosines.

    Returns:
        Mean over the members of both groups, ≥ 0.

    Raises:
        ValueError: groups that are too small or too large, or the temperature is not positive.
    """
    if not 2 <= group <= len(features) // 2:
        raise ValueError(f"groups of {group} in a batch of {len(features)}: expected 2 to {len(features) // 2}")
    order = quality.detach().argsort()
    members = torch.cat([order[:group], order[-group:]])
    cosines = _cosine(features[members], features[members], temperature)
    best = torch.arange(2 * group, device=cosines.device) >= group
    same = best[:, None] == best
    itself = torch.eye(2 * group, dtype=torch.bool, device=cosines.device)
    positive = (cosines * (same & ~itself)).sum(dim=1) / (group - 1)
    negatives = cosines.masked_fill(same, -torch.inf)
    return (torch.cat([positive[:, None], negatives], dim=1).logsumexp(dim=1) - positive).mean()


def _cosine(a: Float[Tensor, "*b n d"], b: Float[Tensor, "*b m d"], temperature: float) -> Float[Tensor, "*b n m"]:
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    a = unit(a)
    with torch.autocast(a.device.type, enabled=False):
        return a @ unit(b).to(a.dtype).mT / temperature
