from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from vlqa.errors import ConfigError
from vlqa.fewshot import selection
from vlqa.fewshot.heads import squared_distances
from vlqa.fewshot.selection import STRATEGIES, Candidates, ranks_apart, select

NUMBERS = np.random.default_rng(0)
FEATURES = NUMBERS.normal(size=(60, 4))
FULL = Candidates(FEATURES, FEATURES[:, 0], np.abs(FEATURES[:, 1]), [("a", "x"), ("b", "y"), ("b", "z")] * 20)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_choices_are_distinct_and_repeatable(strategy: str) -> None:
    chosen = select(FULL, 25, strategy)
    assert len(set(chosen.tolist())) == 25
    np.testing.assert_array_equal(chosen, select(FULL, 25, strategy))
    np.testing.assert_array_equal(chosen[:10], select(FULL, 10, strategy))
    assert sorted(select(FULL, 60, strategy).tolist()) == list(range(60))


@pytest.mark.parametrize("strategy", ["facility", "k-centre"])
def test_each_of_several_clusters_is_represented(strategy: str) -> None:
    centres = 20 * np.random.default_rng(1).normal(size=(6, 5))
    rows = np.repeat(centres, 30, axis=0) + np.random.default_rng(2).normal(size=(180, 5))
    assert {row // 30 for row in select(Candidates(rows), 6, strategy)} == set(range(6))


def test_kinds_come_in_turn() -> None:
    kinds = [("city", "blur")] * 50 + [("forest", "noise")] * 8 + [("forest", "blur")] * 2
    chosen = select(Candidates(FEATURES, kinds=kinds), 6, "kinds")
    assert [sum(kinds[row] == kind for row in chosen) for kind in dict.fromkeys(kinds)] == [2, 2, 2]


def test_disagreement_takes_the_largest_first() -> None:
    assert FULL.disagreement is not None
    np.testing.assert_array_equal(select(FULL, 3, "disagreement"), np.argsort(-FULL.disagreement)[:3])


def test_ranks_apart() -> None:
    apart = ranks_apart([(1.0, 30.0), (2.0, 20.0), (None, None), (3.0, 10.0)])
    np.testing.assert_allclose(apart, [2 / 3, 0, 0, 2 / 3])
    assert ranks_apart([(1.0, None), (None, None)]) is None


def test_pictures_that_failed_are_never_chosen() -> None:
    rows = FEATURES.copy()
    rows[::2] = np.nan
    assert all(row % 2 for row in select(Candidates(rows), 30))
    with pytest.raises(ConfigError, match="cannot choose 31 of 30 pictures"):
        select(Candidates(rows), 31)


@pytest.mark.parametrize("strategy", ["disagreement", "kinds", "best"])
def test_what_cannot_be_served(strategy: str) -> None:
    with pytest.raises(ConfigError, match="strategy"):
        select(Candidates(FEATURES), 3, strategy)


def test_facility_location_in_blocks_is_the_greedy_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_REFERENCES", 80)
    monkeypatch.setattr(selection, "_BLOCK", 7)
    rows = np.random.default_rng(4).normal(size=(300, 6))
    references = rows[np.random.default_rng(0).permutation(300)[:80]]
    typical = np.median(squared_distances(references, references))
    near = np.exp(-squared_distances(rows, references) / (2 * typical))
    served, expected = np.zeros(80), []
    for _ in range(30):
        worth = np.maximum(near, served).sum(axis=1)
        worth[expected] = -np.inf
        expected.append(int(worth.argmax()))
        served = np.maximum(served, near[expected[-1]])
    np.testing.assert_array_equal(select(Candidates(rows), 30, "facility"), expected)


def test_facility_location_of_many_pictures_takes_little_memory() -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 4))
    tracemalloc.start()
    try:
        select(Candidates(rows), 2, "facility")
        assert tracemalloc.get_traced_memory()[1] < 150e6  # all similarities at once are 320 MB
    finally:
        tracemalloc.stop()
