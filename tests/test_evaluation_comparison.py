from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vlqa.errors import ConfigError
from vlqa.evaluation import (
    Difference,
    evaluate_scores,
    fit_logistic,
    holm,
    paired_differences,
    plcc,
    repeated_splits,
    rmse,
    split_differences,
    srcc,
)

Array = npt.NDArray[np.float64]


def rated(n: int = 120, noises: tuple[float, ...] = (0.5, 0.8, 2.0), seed: int = 0) -> tuple[Array, Array]:
    """Opinions, and scores (n, k) that agree with them the less the more noise they have."""
    generator = np.random.default_rng(seed)
    mos = generator.normal(size=n)
    return mos[:, None] + generator.normal(size=(n, len(noises))) * noises, mos


# One set of pictures


@pytest.mark.parametrize("statistic", ["srcc", "plcc"])
def test_paired_differences_against_brute_force(statistic: str) -> None:
    x, mos = rated()
    compute = {"srcc": srcc, "plcc": plcc}[statistic]
    found = paired_differences(x[:, 1:], x[:, 0], mos, statistic, seed=4, resamples=200)  # type: ignore[arg-type]
    rows = np.random.default_rng(4).integers(0, 120, (200, 120))
    p_values = []
    for column, difference in zip((1, 2), found, strict=True):
        drawn = [compute(x[row, column], mos[row]) - compute(x[row, 0], mos[row]) for row in rows]
        value = compute(x[:, column], mos) - compute(x[:, 0], mos)
        p_values.append(2 * stats.norm.sf(abs(value) / np.std(drawn, ddof=1)))
        expected = (value, *np.quantile(drawn, [0.025, 0.975]), p_values[-1])
        assert difference[:4] == pytest.approx(expected, abs=1e-9)
    assert [difference.corrected for difference in found] == pytest.approx(holm(p_values))


def test_a_worse_model_is_told_from_an_equal_one() -> None:
    x, mos = rated(400, (0.8, 0.8, 2.0))
    equal, worse = paired_differences(x[:, 1:], x[:, 0], mos)
    assert worse.high < 0 and worse.corrected < 1e-6
    assert equal.low < 0 < equal.high and equal.corrected > 0.05
    assert paired_differences(x[:, 0], x[:, 0], mos) == [Difference(0, 0, 0, 1, 1)]
    (turned,) = paired_differences(x[:, 0], x[:, 2], mos)
    assert turned.value == pytest.approx(-worse.value) and turned.low > 0


def test_wrong_pairs() -> None:
    with pytest.raises(ConfigError, match=r"found \(4, 1\) and \(3,\)"):
        paired_differences([1, 2, 3, 4], [1, 2, 3], [1, 2, 3, 4])
    with pytest.raises(ConfigError, match=r"found \(1, 2, 3\), \(2, 4\), \(3,\)"):
        split_differences(np.ones((2, 3)), np.ones((2, 4)), np.ones(3))
    with pytest.raises(ConfigError, match="same pictures, 3 or more"):
        split_differences(np.array([[1.0, 2, 3, np.nan]]), np.array([[1.0, 2, 3, 4]]), np.arange(4))


# Several splits


def fitted_anew(mos: Array, own: Array, splits: int, labels: int, generator: np.random.Generator) -> Array:
    """Scores (splits, n) of a model with its own errors for pictures and for what it was fitted on."""
    scores = mos + own + 0.5 * generator.normal(size=(splits, 1)) * generator.normal(size=(splits, len(mos)))
    for split, (train, _) in enumerate(repeated_splits(len(mos), labels, splits)):
        scores[split, train] = np.nan
    return scores


def test_split_differences_against_brute_force() -> None:
    generator = np.random.default_rng(0)
    mos, other = generator.normal(size=(2, 60))
    models = np.stack([fitted_anew(mos, noise * other, 4, 20, generator) for noise in (0.5, 1.0)])
    against = fitted_anew(mos, 0.8 * generator.normal(size=60), 4, 20, generator)
    found = split_differences(models, against, mos, seed=2, resamples=60)

    def mean(model: Array, rows: npt.NDArray[np.intp]) -> list[float]:
        kept = [rows[np.isfinite(against[split, rows])] for split in range(4)]
        return [
            srcc(model[split, k], mos[k]) - srcc(against[split, k], mos[k])
            for split, k in zip(range(4), kept, strict=True)
        ]

    drawing = np.random.default_rng(2)
    resamples = [drawing.integers(0, 60, 60) for _ in range(60)]
    for model, difference in zip(models, found, strict=True):
        of_splits = mean(model, np.arange(60))
        variance = np.var([np.mean(mean(model, rows)) for rows in resamples], ddof=1) + np.var(of_splits, ddof=1) / 4
        assert difference.value == pytest.approx(np.mean(of_splits))
        assert difference.high - difference.low == pytest.approx(2 * stats.norm.ppf(0.975) * np.sqrt(variance))
        assert difference.p_value == pytest.approx(2 * stats.norm.sf(abs(difference.value) / np.sqrt(variance)))
    assert split_differences(against, against, mos, resamples=5)[0].p_value == 1
    linear = split_differences(models[0], against, mos, "plcc", resamples=5)[0].value
    expected = [
        plcc(models[0][split][known], mos[known]) - plcc(against[split][known], mos[known])
        for split, known in enumerate(np.isfinite(against))
    ]
    assert linear == pytest.approx(np.mean(expected))


def test_equal_models_rarely_differ_over_splits() -> None:
    """A t-test over splits finds a difference in two of five such cases, for all splits share the pictures."""
    falsely = naively = 0
    for seed in range(30):
        generator = np.random.default_rng(seed)
        mos = generator.normal(size=80)
        first, second = (fitted_anew(mos, generator.normal(size=80), 8, 20, generator) for _ in range(2))
        falsely += split_differences(first, second, mos, seed=seed, resamples=30)[0].p_value < 0.05
        known = np.isfinite(first)
        of_splits = [
            srcc(first[split, rows], mos[rows]) - srcc(second[split, rows], mos[rows])
            for split, rows in enumerate(known)
        ]
        naively += stats.ttest_1samp(of_splits, 0).pvalue < 0.05
    assert falsely <= 4 and naively > 4


# A mapping from elsewhere


def test_a_mapping_fitted_on_other_pairs() -> None:
    x, mos = rated(200, (0.5,))
    scores, opinions = x[:, 0], 50 + 20 * np.tanh(mos)
    mapping = fit_logistic(scores[:100], opinions[:100])
    found = evaluate_scores(scores[100:], opinions[100:], resamples=20, mapping=mapping)
    own = evaluate_scores(scores[100:], opinions[100:], resamples=20)
    assert found.plcc_logistic.value == pytest.approx(plcc(mapping(scores[100:]), opinions[100:]))
    assert found.rmse.value == pytest.approx(rmse(mapping(scores[100:]), opinions[100:]))
    assert found.rmse.value > own.rmse.value and found.plcc_logistic.value < own.plcc_logistic.value
    assert (found.srcc, found.plcc, found.mapping) == (own.srcc, own.plcc, mapping.kind)


# Splits


@given(
    st.lists(st.integers(0, 12), min_size=10, max_size=60), st.sampled_from([0.2, 0.5, 0.8, 1, 3, 7]), st.integers(0, 5)
)
def test_repeated_splits_hold_groups_together(groups: list[int], train: float, seed: int) -> None:
    try:
        found = list(repeated_splits(groups, train, 3, seed))
    except ConfigError as error:
        assert "leaves a side empty" in str(error)
        return
    names = np.array(groups)
    for rows, test in found:
        assert not set(names[rows]) & set(names[test])
        if train < 1:
            assert len(rows) + len(test) == len(groups)
            assert len(set(names[rows])) == round(train * len(set(groups)))
        else:
            assert len(rows) == train
    again = list(repeated_splits(groups, train, 2, seed))
    assert all(
        (a == b).all() for one, other in zip(again, found, strict=False) for a, b in zip(one, other, strict=True)
    )


def test_repeated_splits_of_single_rows() -> None:
    found = list(repeated_splits(813, 100, 20))
    assert all((len(rows), len(test)) == (100, 713) for rows, test in found)
    assert all(len(np.union1d(rows, test)) == 813 for rows, test in found)
    assert len({tuple(rows) for rows, _ in found}) == 20
    rows, test = next(repeated_splits(10, 0.8))
    assert (len(rows), len(test)) == (8, 2)
    assert (next(repeated_splits(50, 25, seed=1))[0] != next(repeated_splits(50, 25, seed=2))[0]).any()
    with pytest.raises(ConfigError, match="10 rows of 10 rows in 10 groups leaves a side empty"):
        next(repeated_splits(10, 10))
