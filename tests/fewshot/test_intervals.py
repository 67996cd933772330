from __future__ import annotations

import numpy as np
import pytest

from vlqa.errors import ConfigError
from vlqa.fewshot.choosing import Table
from vlqa.fewshot.fitted import cross_validated
from vlqa.fewshot.fitting import Labelled
from vlqa.fewshot.intervals import cv_plus
from vlqa.fewshot.strangers import Strangers


def test_ends_are_the_order_statistics_of_the_paper() -> None:
    predicted = np.array([[1.0, 2.0]])
    fold, residuals = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    low, high = cv_plus(predicted, fold, residuals, 0.6)[0]  # ⌈0.6·5⌉ = 3rd of 1.1 1.2 2.3 2.4; 2nd of 0.8 0.9 1.6 1.7
    assert (low, high) == (pytest.approx(0.9), pytest.approx(2.3))


def test_too_few_labels_promise_nothing() -> None:
    ends = cv_plus(np.zeros((2, 2)), np.array([0, 1]), np.ones(2), 0.9)
    assert np.isinf(ends).all()
    assert (ends[:, 0] < ends[:, 1]).all()


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90.0, -1.0])
def test_coverage_is_a_share(coverage: float) -> None:
    with pytest.raises(ConfigError, match=r"0\.9 holds nine"):
        cv_plus(np.zeros((1, 1)), np.zeros(3, np.int64), np.ones(3), coverage)


@pytest.mark.parametrize("head", ["ridge", "auto"])
def test_intervals_keep_their_promise(head: str) -> None:
    """Ninety of a hundred, on average over draws of a hundred labels."""
    held = []
    for seed in range(40 if head == "ridge" else 12):
        numbers = np.random.default_rng(seed)
        x = numbers.normal(size=(500, 30))
        y = x[:, 0] + 0.5 * x[:, 1] ** 2 + numbers.standard_t(5, 500)
        data = Labelled(x, y, np.ones(500), np.arange(500), 0)
        slices = {"high": slice(0, 20), "low": slice(20, 30)}
        _, cross = cross_validated(Table(data.rows(np.arange(500) < 100), x[:100, 0], slices), head)
        told = [reader.head(reader.columns.of(x[100:], x[100:, 0], slices)) for reader in cross.readers]
        ends = cross.intervals(np.stack(told, axis=1), 0.9)
        held.append(np.mean((ends[:, 0] <= y[100:]) & (y[100:] <= ends[:, 1])))
    assert 0.88 <= np.mean(held) <= 0.93


def test_strangers_lie_far_from_all() -> None:
    numbers = np.random.default_rng(0)
    known = numbers.normal(size=(50, 6))
    strangers = Strangers.of(known, 0)
    assert strangers(numbers.normal(size=(200, 6))).mean() < 0.1
    assert strangers(10 + numbers.normal(size=(20, 6))).all()
    assert not strangers(known).any()
