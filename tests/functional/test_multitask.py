from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlqa.functional.multitask import expected_quality, joint_probabilities, marginal, marginals


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 4), st.floats(0, 200), st.integers(0, 99))
def test_marginals_sum_to_1(shape, n, spread, seed):
    logits = spread * torch.randn(n, math.prod(shape), generator=torch.Generator().manual_seed(seed))
    joint = joint_probabilities(logits, shape)
    assert joint.shape == (n, *shape)
    for p, size in zip(marginals(joint), shape, strict=True):
        assert p.shape == (n, size)
        torch.testing.assert_close(p.sum(1), torch.ones(n))
        assert bool((p >= 0).all())


def test_joint_and_marginals_equal_loops():
    logits = torch.randn(2, 2 * 3 * 4, dtype=torch.float64)
    joint = joint_probabilities(logits, (2, 3, 4))
    for n in range(2):
        total = sum(math.exp(float(value)) for value in logits[n])
        by_scene = [0.0, 0.0, 0.0]
        column = 0
        for quality in range(2):
            for scene in range(3):
                for distortion in range(4):  # product order: the last label varies fastest
                    p = math.exp(float(logits[n, column])) / total
                    assert float(joint[n, quality, scene, distortion]) == pytest.approx(p, abs=1e-12)
                    by_scene[scene] += p
                    column += 1
        assert marginal(joint, 1)[n].tolist() == pytest.approx(by_scene, abs=1e-12)


def test_one_task_is_a_plain_softmax():
    logits = torch.randn(3, 5)
    torch.testing.assert_close(marginal(joint_probabilities(logits, (5,)), 0), logits.softmax(-1))


def test_expected_quality():
    p = torch.tensor([[0, 0, 1.0], [0.5, 0.5, 0]])
    assert expected_quality(p).tolist() == [3.0, 1.5]
    assert expected_quality(p, (0, 10, 100)).tolist() == [100.0, 5.0]


def test_half_precision_logits_give_exact_probabilities():
    assert joint_probabilities(torch.randn(2, 495).bfloat16(), (5, 9, 11)).dtype == torch.float32


def test_marginal_of_no_such_task():
    with pytest.raises(ValueError, match="axis must lie in 0…1"):
        marginal(torch.ones(1, 2, 2), 2)
