from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlqa.functional.similarity import antonym_probability, cosine_logits, label_probability, unit


def random_unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return unit(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


def test_antonym_probability_equals_the_formula_written_out():
    images, anchors = random_unit(4, 8), random_unit(3, 2, 8, seed=1)
    for n in range(4):
        for k in range(3):
            good, bad = (math.exp(10 * float(images[n] @ anchors[k, side])) for side in (0, 1))
            got = float(antonym_probability(images, anchors, 10.0)[n, k])
            assert got == pytest.approx(good / (good + bad), abs=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(2, 9), st.floats(0, 200), st.integers(0, 99))
def test_antonym_probability_lies_in_0_1_and_swaps(n, k, d, scale, seed):
    images, anchors = random_unit(n, d, seed=seed), random_unit(k, 2, d, seed=seed + 1)
    p = antonym_probability(images, anchors, scale)
    assert p.shape == (n, k)
    assert bool(((p >= 0) & (p <= 1)).all())
    torch.testing.assert_close(antonym_probability(images, anchors.flip(1), scale), 1 - p)


def test_label_probability_is_the_softmax_of_the_logits():
    images, texts = random_unit(5, 7), random_unit(3, 7, seed=2)
    p = label_probability(images, texts, 20.0)
    torch.testing.assert_close(p.sum(1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(p.log() - p.log()[:, :1], 20 * images @ (texts - texts[:1]).T)


def test_logits_of_a_mean_are_the_mean_of_the_logits():
    patches, texts = random_unit(15, 6), random_unit(4, 6, seed=3)
    pooled = cosine_logits(patches.mean(0, keepdim=True), texts, 100.0)
    torch.testing.assert_close(pooled[0], cosine_logits(patches, texts, 100.0).mean(0))


def test_unit_has_a_right_gradient_and_survives_zero():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit, x)
    zero = torch.zeros(2, 5, requires_grad=True)
    out = unit(zero)
    out.sum().backward()
    assert out.abs().sum() == 0
    assert zero.grad is not None and bool(zero.grad.isfinite().all())


def test_unit_raises_half_precision():
    x = torch.randn(2, 1024).bfloat16()
    assert unit(x).dtype == torch.float32
    torch.testing.assert_close(unit(x).norm(dim=-1), torch.ones(2))
