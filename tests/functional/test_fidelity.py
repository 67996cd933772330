from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlqa.functional.fidelity import (
    categorical_fidelity,
    dynamic_weights,
    multilabel_fidelity,
    pairwise_fidelity,
)

EPSILON = 1e-8
NAN = float("nan")


def slow_pairwise(quality, mos, sets, mask) -> float:
    means = []
    for number in sorted(set(sets)):
        losses = []
        for i in range(len(quality)):
            for j in range(i + 1, len(quality)):
                if sets[i] == sets[j] == number and mask[i] and mask[j] and mos[i] == mos[i] and mos[j] == mos[j]:
                    p = 0.5 * (1 + math.erf((quality[i] - quality[j]) / math.sqrt(2) / math.sqrt(2)))
                    g = 0.5 * (1 + ((mos[i] > mos[j]) - (mos[i] < mos[j])))
                    losses.append(1 - math.sqrt(p * g + EPSILON) - math.sqrt((1 - p) * (1 - g) + EPSILON))
        if losses:
            means.append(sum(losses) / len(losses))
    return sum(means) / len(means) if means else 0.0


batches = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(-6, 6), min_size=n, max_size=n),
        st.lists(st.sampled_from([1.0, 2.0, 2.5, 4.0, NAN]), min_size=n, max_size=n),
        st.lists(st.integers(-3, 7), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.permutations(range(n)),
    )
)


@settings(deadline=None, max_examples=60)
@given(batches)
def test_pairwise_equals_a_loop_and_ignores_order(batch):
    quality, mos, sets, mask, order = batch
    tensors = [torch.tensor(quality, dtype=torch.float64), torch.tensor(mos), torch.tensor(sets), torch.tensor(mask)]
    loss = float(pairwise_fidelity(*tensors))
    assert loss == pytest.approx(slow_pairwise(quality, mos, sets, mask), abs=1e-9)
    assert float(pairwise_fidelity(*(tensor[list(order)] for tensor in tensors))) == pytest.approx(loss, abs=1e-9)


def test_pairwise_without_sets_is_one_set():
    quality, mos = torch.randn(6), torch.randn(6)
    torch.testing.assert_close(pairwise_fidelity(quality, mos), pairwise_fidelity(quality, mos, torch.zeros(6).long()))


def test_sets_are_never_compared_and_weigh_the_same():
    quality, mos = torch.tensor([3.0, 1.0, 2.0, 9.0, 5.0]), torch.tensor([1.0, 2.0, 3.0, 100.0, 50.0])
    sets = torch.tensor([0, 0, 0, 4, 4])
    alone = [pairwise_fidelity(quality[sets == k], mos[sets == k]) for k in (0, 4)]
    torch.testing.assert_close(pairwise_fidelity(quality, mos, sets), (alone[0] + alone[1]) / 2)
    lonely = torch.tensor([0, 0, 0, 4, 5])  # sets of one image have no pairs and do not count
    torch.testing.assert_close(pairwise_fidelity(quality, mos, lonely), alone[0])


def test_right_order_costs_nothing_and_wrong_order_everything():
    mos = torch.tensor([1.0, 2.0, 3.0])
    assert abs(float(pairwise_fidelity(10 * mos, mos))) < 2.1e-4
    assert float(pairwise_fidelity(-10 * mos, mos)) == pytest.approx(1, abs=3e-4)


def random_probabilities(n: int, k: int) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(n * k)).double().softmax(-1)


def test_categorical_equals_a_loop_with_missing_labels():
    p, labels = random_probabilities(6, 4), torch.tensor([0, 3, -1, 2, 2, 1])
    mask = torch.tensor([True, True, True, False, True, True])
    losses = []
    for n in range(6):
        if labels[n] >= 0 and mask[n]:
            losses.append(1 - sum(math.sqrt(float(p[n, k]) * (k == int(labels[n])) + EPSILON) for k in range(4)))
    assert float(categorical_fidelity(p, labels, mask)) == pytest.approx(sum(losses) / len(losses), abs=1e-9)
    order = [3, 1, 0, 5, 4, 2]
    torch.testing.assert_close(
        categorical_fidelity(p[order], labels[order], mask[order]), categorical_fidelity(p, labels, mask)
    )


def test_multilabel_equals_a_loop_with_missing_labels():
    p = random_probabilities(5, 3)
    targets = torch.tensor([[1.0, 0, 1], [0, 0, 0], [NAN, NAN, NAN], [1, 1, 1], [0, 1, 0]])
    mask = torch.tensor([True, True, True, True, False])
    losses = []
    for n in (0, 1, 3):
        for k in range(3):
            x, g = float(p[n, k]), float(targets[n, k])
            losses.append(1 - math.sqrt(x * g + EPSILON) - math.sqrt((1 - x) * (1 - g) + EPSILON))
    assert float(multilabel_fidelity(p, targets, mask)) == pytest.approx(sum(losses) / len(losses), abs=1e-9)


def test_gradients_are_those_of_the_formula():
    quality = torch.randn(7, dtype=torch.float64, requires_grad=True)
    mos, sets = torch.tensor([1.0, 2, 3, NAN, 2, 5, 1]), torch.tensor([0, 0, 0, 1, 1, 1, 1])
    assert torch.autograd.gradcheck(lambda q: pairwise_fidelity(q, mos, sets), quality)
    p = random_probabilities(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: categorical_fidelity(p, torch.tensor([0, 2, -1, 1])), p)
    assert torch.autograd.gradcheck(lambda p: multilabel_fidelity(p, (p > 0.3).double()), p)


def test_gradients_stay_finite_where_roots_meet_zero():
    certain = torch.tensor([[1.0, 0.0, 0.0], [1 + 2e-7, 0.0, 0.0]], requires_grad=True)
    far = torch.tensor([1000.0, -1000.0, 0.0, 0.0], requires_grad=True)
    loss = (
        categorical_fidelity(certain, torch.tensor([1, 0]))
        + multilabel_fidelity(certain, torch.tensor([[0.0, 1, 0], [1, 0, 0]]))
        + pairwise_fidelity(far, torch.tensor([1.0, 2, 3, 3]))
    )
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(x.grad.isfinite().all()) for x in (certain, far) if x.grad is not None)


def test_no_labels_give_zero_with_zero_gradient():
    quality, p = torch.randn(3, requires_grad=True), random_probabilities(3, 2).requires_grad_()
    missing = torch.full((3,), NAN)
    loss = (
        pairwise_fidelity(quality, missing)
        + pairwise_fidelity(quality[:0], missing[:0])
        + categorical_fidelity(p, torch.tensor([-1, -1, -1]))
        + multilabel_fidelity(p, torch.full((3, 2), NAN))
    )
    loss.backward()
    assert loss.item() == 0
    assert quality.grad is not None and p.grad is not None
    assert float(quality.grad.abs().sum() + p.grad.abs().sum()) == 0


def test_half_precision_is_raised():
    mos = torch.tensor([1.0, 2.0, 3.0])
    half = pairwise_fidelity(mos.bfloat16(), mos)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, pairwise_fidelity(mos, mos))


def test_dynamic_weights():
    history = torch.tensor([[1.0, 2.0, 4.0], [0.5, 2.0, 1.0], [0.4, 0.2, 1.0]], dtype=torch.float64)
    assert dynamic_weights(history[:0]).tolist() == [1, 1, 1]
    assert dynamic_weights(history[:1]).tolist() == [1, 1, 1]
    ratios = [0.4 / 0.5, 0.2 / 2.0, 1.0 / 1.0]
    total = sum(math.exp(ratio / 2) for ratio in ratios)
    assert dynamic_weights(history).tolist() == pytest.approx([3 * math.exp(ratio / 2) / total for ratio in ratios])
    assert float(dynamic_weights(history[:2]).sum()) == pytest.approx(3)


def test_dynamic_weights_of_a_task_without_labels():
    weights = dynamic_weights(torch.tensor([[0.5, 0.0], [0.5, 0.0]]))
    assert weights.tolist() == [1, 1]
