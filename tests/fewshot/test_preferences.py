from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlqa.fewshot import preferences
from vlqa.fewshot.heads import Matrix, Vector
from vlqa.fewshot.preferences import fit_worth, wins

ROWS = np.random.default_rng(0).normal(size=(40, 60))


def pairs(pictures: int, count: int, seed: int) -> npt.NDArray[np.intp]:
    """(2, count) numbers of different pictures."""
    numbers = np.random.default_rng(seed)
    return np.array([numbers.permutation(pictures)[:2] for _ in range(count)]).T


def agreement(worth: Vector, count: int, seed: int) -> float:
    """Of choices between the first rows, one for each worth."""
    a, b = pairs(len(worth), count, seed)
    return fit_worth(ROWS[a], ROWS[b], np.where(worth[a] > worth[b], 1.0, 0.0), seed)[1]


def test_a_pair_is_not_judged_by_what_is_known_of_its_pictures() -> None:
    # A worth that features do not tell, of few pictures that are compared again and again: folds of pairs say 0.9.
    numbers = np.random.default_rng(1)
    assert np.mean([agreement(numbers.normal(size=20), 150, seed) for seed in range(4)]) < 0.65
    assert np.mean([agreement(ROWS @ numbers.normal(size=60), 400, seed) for seed in range(4)]) > 0.65


def test_no_head_that_judges_a_pair_saw_its_pictures() -> None:
    picture = pairs(40, 120, 0)
    shares = (picture[:, None, :, None] == picture[None, :, None, :]).any(axis=(0, 1)).astype(float)
    gap = np.concatenate([shares, np.eye(120)], axis=1)
    learned_from: list[float] = []

    def fit(gaps: Matrix, _: Vector) -> Vector:
        pairs = gaps[:, 120:].sum(axis=0)
        learned_from.append(pairs.sum())
        return np.concatenate([pairs, np.zeros(120)])

    shared = preferences._unseen_margins(gap, np.ones(120), picture, fit, 0)
    np.testing.assert_array_equal(shared, np.zeros(120))  # pairs learned from that share a picture with each
    assert min(learned_from) > 50


def test_pairs_that_share_no_picture_are_judged_by_tenfold_cross_validation() -> None:
    sizes: list[int] = []

    def fit(gaps: Matrix, _: Vector) -> Vector:
        sizes.append(len(gaps))
        return np.zeros(60)

    picture = np.arange(200).reshape(2, 100)
    margin = preferences._unseen_margins(np.zeros((100, 60)), np.ones(100), picture, fit, 0)
    assert sizes == [90] * 10 and np.isfinite(margin).all()


def test_where_all_pairs_share_a_picture_none_is_judged() -> None:
    worth, agreement = fit_worth(np.repeat(ROWS[:1], 30, axis=0), ROWS[1:31], wins(["a", "b"] * 15), 0)
    assert np.isnan(agreement) and np.isfinite(worth(ROWS)).all()
