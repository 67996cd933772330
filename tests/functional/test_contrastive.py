from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from vlqa.functional.contrastive import (
    group_contrastive,
    info_nce,
    multi_class_nt_xent,
    nt_xent,
    quality_aware_contrastive,
)

NUMBERS = torch.Generator().manual_seed(0)


def vectors(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=NUMBERS, dtype=torch.float64)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(cosine_similarity(a, b, dim=0))


def similarity(n: int) -> Tensor:
    m = torch.rand(n, n, generator=NUMBERS, dtype=torch.float64)
    return ((m + m.T) / 2).fill_diagonal_(1.0)


def test_quality_aware_contrastive_equals_its_formula() -> None:
    features, augmented, matrix, tau = vectors(5, 7), vectors(5, 7), similarity(5), 0.5
    total = 0.0
    for i in range(5):
        for row in (True, False):
            pairs = [(features[i], augmented[j]) if row else (features[j], augmented[i]) for j in range(5)]
            exponents = [math.exp(cosine(a, b) / tau) for a, b in pairs]
            weights = [2 - 2 / (1 + float(matrix[i, j]) ** 2) for j in range(5)]
            total -= math.log(sum(w * e for w, e in zip(weights, exponents, strict=True)) / sum(exponents)) / 5
    assert float(quality_aware_contrastive(features, augmented, matrix, tau)) == pytest.approx(total, rel=1e-9)
    stacked = quality_aware_contrastive(
        features[None].repeat(3, 1, 1), augmented.expand(3, 5, 7), matrix.expand(3, 5, 5)
    )
    assert float(stacked) == pytest.approx(total, rel=1e-9)


def test_versions_that_all_look_alike_cost_nothing() -> None:
    assert float(quality_aware_contrastive(vectors(4, 3), vectors(4, 3), torch.ones(4, 4))) == pytest.approx(
        0, abs=1e-9
    )


def test_photos_side_by_side_are_negatives_of_each_other() -> None:
    features, augmented = vectors(4, 3), vectors(4, 3)
    block = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).double()
    together = float(quality_aware_contrastive(features, augmented, block))
    apart = float(quality_aware_contrastive(features.view(2, 2, 3), augmented.view(2, 2, 3), torch.ones(2, 2, 2)))
    assert together > apart + 0.1


def multi_class(projections: Tensor, labels: list[int], tau: float) -> float:
    losses = []
    for a in range(len(labels)):
        positives = [p for p in range(len(labels)) if p != a and labels[p] == labels[a]]
        if not positives:
            continue
        others = [math.exp(cosine(projections[a], projections[b]) / tau) for b in range(len(labels)) if b != a]
        near = sum(cosine(projections[a], projections[p]) / tau for p in positives) / len(positives)
        losses.append(math.log(sum(others)) - near)
    return sum(losses) / len(losses)


def test_multi_class_nt_xent_equals_its_formula() -> None:
    labels = [0, 1, 0, 2, 1, 0, 3]
    projections = vectors(7, 5)
    found = multi_class_nt_xent(projections, torch.tensor(labels), 0.1)
    assert float(found) == pytest.approx(multi_class(projections, labels, 0.1), rel=1e-9)


def test_without_any_positive_the_loss_is_zero_and_has_a_gradient() -> None:
    projections = vectors(4, 5).requires_grad_()
    loss = multi_class_nt_xent(projections, torch.arange(4))
    loss.backward()
    assert loss.item() == 0 and projections.grad is not None and not projections.grad.any()


def test_nt_xent_has_one_positive_a_view() -> None:
    first, second = vectors(4, 6), vectors(4, 6)
    expected = multi_class(torch.cat([first, second]), [0, 1, 2, 3, 0, 1, 2, 3], 0.2)
    assert float(nt_xent(first, second, 0.2)) == pytest.approx(expected, rel=1e-9)
    assert float(nt_xent(first[:1], second[:1], 0.2)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("own", [0, 3])
def test_info_nce_equals_its_formula(own: int) -> None:
    query, key, queue, tau = vectors(4, 6), vectors(4, 6), vectors(9, 6), 0.2
    alone = vectors(4, own, 6) if own else None
    losses = []
    for i in range(4):
        positive = math.exp(cosine(query[i], key[i]) / tau)
        negatives = [*queue, *(alone[i] if alone is not None else [])]
        rest = sum(math.exp(cosine(query[i], other) / tau) for other in negatives)
        losses.append(-math.log(positive / (positive + rest)))
    assert float(info_nce(query, key, queue, tau, alone)) == pytest.approx(sum(losses) / 4, rel=1e-9)
    assert float(info_nce(query, key, queue[:0], tau)) == pytest.approx(0, abs=1e-9)


def test_gradients_are_those_of_finite_differences() -> None:
    labels = torch.tensor([0, 1, 0, 1])
    matrix, queue = similarity(4), vectors(5, 3)
    for loss in (
        lambda x, y: quality_aware_contrastive(x, y, matrix),
        lambda x, y: multi_class_nt_xent(torch.cat([x, y]), torch.cat([labels, labels])),
        lambda x, y: nt_xent(x, y, 0.3),
        lambda x, y: info_nce(x, y, queue, 0.2, y.unsqueeze(1) * 2 + 1),
    ):
        inputs = [vectors(4, 3).requires_grad_(), vectors(4, 3).requires_grad_()]
        assert torch.autograd.gradcheck(loss, inputs)


def test_half_precision_is_computed_in_single() -> None:
    features, other = vectors(6, 16), vectors(6, 16)
    exact = float(nt_xent(features.bfloat16().double(), other.bfloat16().double(), 0.1))
    with torch.autocast("cpu", torch.bfloat16):
        found = nt_xent(features.bfloat16(), other.bfloat16(), 0.1)
    assert found.dtype == torch.float32 and float(found) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be above 0"):
        nt_xent(vectors(2, 3), vectors(2, 3), temperature)


def test_groups_equal_a_slow_loop() -> None:
    features, quality = vectors(9, 5), torch.rand(9, generator=NUMBERS)
    order = quality.argsort().tolist()
    groups = [order[:3], order[-3:]]
    total = 0.0
    for own, other in (groups, groups[::-1]):
        for i in own:
            near = [cosine(features[i], features[j]) for j in own if j != i]
            positive = math.exp(sum(near) / len(near) / 0.5)
            far = sum(math.exp(cosine(features[i], features[k]) / 0.5) for k in other)
            total -= math.log(positive / (positive + far)) / 6
    assert float(group_contrastive(features, quality, 3)) == pytest.approx(total, rel=1e-9)
    features.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: group_contrastive(x, quality, 3), features)


@pytest.mark.parametrize("group", [1, 5])
def test_groups_that_do_not_fit_are_refused(group: int) -> None:
    with pytest.raises(ValueError, match="expected 2 to 4"):
        group_contrastive(vectors(9, 3), torch.arange(9.0), group)
