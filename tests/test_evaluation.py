from __future__ import annotations

import itertools
import json
import time
import warnings

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

import vlqa.evaluation as evaluation
from vlqa.errors import ConfigError
from vlqa.evaluation import (
    bootstrap_columns,
    bootstrap_interval,
    column_correlations,
    difference_p_values,
    evaluate_scores,
    fit_logistic,
    group_folds,
    holm,
    krcc,
    logistic4,
    percentiles,
    plcc,
    rmse,
    splits,
    srcc,
)

Vector = npt.NDArray[np.float64]
CORRELATIONS = (srcc, plcc, krcc)


def sample(n: int = 200, noise: float = 1.0, ties: bool = False, seed: int = 0) -> tuple[Vector, Vector]:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=n)
    y = x + noise * generator.normal(size=n)
    return (x.round(), y.round()) if ties else (x, y)


# Against SciPy


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_correlations_equal_scipys(ties: bool, seed: int) -> None:
    x, y = sample(ties=ties, seed=seed)
    assert srcc(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert plcc(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert krcc(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_rmse_by_hand() -> None:
    assert rmse([1, 2, 3], [1, 2, 6]) == pytest.approx(np.sqrt(3))
    assert rmse([1], [3]) == 2
    assert rmse([2, 2], [2, 2]) == 0


# Properties

numbers = st.integers(-1000, 1000).map(float)
pairs = (
    st.integers(3, 30)
    .flatmap(lambda n: st.tuples(*[hnp.arrays(np.float64, n, elements=numbers)] * 2))
    .filter(lambda pair: np.ptp(pair[0]) > 0 and np.ptp(pair[1]) > 0)
)


@given(pairs)
def test_range_symmetry_and_sign(pair: tuple[Vector, Vector]) -> None:
    x, y = pair
    for correlation in CORRELATIONS:
        value = correlation(x, y)
        assert -1 <= value <= 1
        assert correlation(y, x) == pytest.approx(value, abs=1e-9)
        assert correlation(-x, y) == pytest.approx(-value, abs=1e-9)
        assert correlation(x, x) == pytest.approx(1)


@given(pairs)
def test_rank_correlations_ignore_monotone_changes(pair: tuple[Vector, Vector]) -> None:
    x, y = pair
    for change in (lambda v: v**3, np.exp2, np.arctan):
        changed = change(x / 50)  # mild enough to stay strictly monotone in float64
        assert srcc(changed, y) == pytest.approx(srcc(x, y), abs=1e-9)
        assert krcc(changed, y) == pytest.approx(krcc(x, y), abs=1e-9)
    assert plcc(3 * x - 7, y) == pytest.approx(plcc(x, y), abs=1e-9)


@given(pairs)
def test_the_mapping_is_never_worse_than_a_line_and_never_fails(pair: tuple[Vector, Vector]) -> None:
    x, y = pair
    mapping = fit_logistic(x, y)
    mapped = mapping(x)
    assert np.isfinite(mapped).all()
    line = np.polyval(np.polyfit(x, y, 1), x)
    assert rmse(mapped, y) <= rmse(line, y) * (1 + 1e-6) + 1e-9
    flattened = np.unique(mapped.round(9)).size < np.unique(x).size  # by a slope of nothing, or in a curve's tail
    assert flattened or abs(srcc(mapped, x)) == pytest.approx(1)


@given(pairs, st.integers(0, 3))
def test_evaluation_is_always_finite_and_ordered(pair: tuple[Vector, Vector], seed: int) -> None:
    found = evaluate_scores(*pair, seed=seed, resamples=20)
    for estimate in (found.srcc, found.plcc, found.plcc_logistic, found.krcc, found.rmse):
        assert np.isfinite(estimate.value)
        assert np.isnan(estimate.low) or estimate.low <= estimate.high
    assert found.plcc_logistic.value >= abs(found.plcc.value) - 1e-6
    json.dumps(found.as_dict(), allow_nan=False)


# The logistic


def test_the_logistic_is_recovered() -> None:
    x = np.linspace(-3, 5, 60)
    y = logistic4(x, 90, 20, 1.0, 0.7)
    mapping = fit_logistic(x, y)
    assert mapping.kind == "logistic"
    np.testing.assert_allclose(mapping(x), y, atol=1e-4)
    b1, b2, _, _ = mapping.parameters
    assert (b1, b2) == pytest.approx((90, 20), abs=1e-3)
    assert logistic4(1.0, 90, 20, 1.0, 0.7) == pytest.approx(55)
    assert logistic4(1e9, 90, 20, 1.0, -0.7) == pytest.approx(90)


@pytest.mark.parametrize("seed", [26, 34, 58])
@pytest.mark.parametrize("turn", [1, -1])
def test_opinions_that_bend_one_way_are_fitted_by_the_tail_of_a_curve(seed: int, turn: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=100)
    bent = turn * np.exp(turn * x)
    y = bent + 0.3 * generator.normal(size=100)
    mapping = fit_logistic(x, y)
    assert mapping.kind == "logistic"
    assert rmse(mapping(x), y) < 1.01 * rmse(np.polynomial.Polynomial.fit(bent, y, 1)(bent), y)


@pytest.mark.parametrize(("scale", "shift"), [(1e-9, 0), (1e9, 0), (1.0, 1e6), (-1.0, 0), (1e300, 0), (1e-300, 0)])
def test_the_mapping_does_not_depend_on_the_units_of_scores(scale: float, shift: float) -> None:
    x, y = sample(100, 0.3)
    y = 1 / (1 + np.exp(-3 * y))
    expected = fit_logistic(x, y)(x)
    np.testing.assert_allclose(fit_logistic(scale * x + shift, y)(scale * x + shift), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2, 3], [1, 2, 4]),
        ([1, 2, 3, 4], [1, 2, 4, 3]),
        ([0, 0, 0, 0, 0, 1], [1, 2, 3, 4, 5, 6]),
        ([0, 1, 0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 0, 0, 1, 1]),
        (np.arange(50), np.arange(50)),
        (np.r_[np.arange(50), 1e15], np.arange(51)),
        (np.arange(50), np.arange(50) > 25),
    ],
    ids=["three", "four", "one apart", "no trend", "a line", "an outlier", "a step"],
)
def test_awkward_data(x: npt.ArrayLike, y: npt.ArrayLike) -> None:
    found = evaluate_scores(x, y, resamples=50)
    assert np.isfinite(found.rmse.value)
    assert found.plcc_logistic.value >= abs(found.plcc.value) - 1e-6


def test_too_few_points_give_a_line() -> None:
    assert fit_logistic([1, 2, 3, 4], [1, 2, 4, 3]).kind == "linear"


def test_no_trend_at_all() -> None:
    found = evaluate_scores([0, 1, 0, 1], [0, 0, 1, 1], resamples=50)
    assert (found.mapping, found.plcc_logistic.value) == ("linear", 0.0)
    assert found.as_dict()["plcc_logistic"] == {"value": 0.0, "low": None, "high": None}


# Intervals


def naive(name: str, x: Vector, y: Vector, seed: int, resamples: int) -> tuple[float, float]:
    """The same resamples, one at a time, by SciPy."""
    statistic = {
        "srcc": lambda x, y: stats.spearmanr(x, y).statistic,
        "plcc": lambda x, y: stats.pearsonr(x, y).statistic,
        "krcc": lambda x, y: stats.kendalltau(x, y).statistic,
        "rmse": lambda x, y: np.sqrt(np.mean((x - y) ** 2)),
    }[name]
    rows = np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = [statistic(x[row], y[row]) for row in rows]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("name", ["srcc", "plcc", "krcc", "rmse"])
@pytest.mark.parametrize(("n", "ties"), [(40, False), (40, True), (4, True)])
def test_intervals_equal_one_by_one_resampling(name: str, n: int, ties: bool) -> None:
    x, y = sample(n, ties=ties, seed=3)
    expected = naive(name, x, y, seed=5, resamples=200)
    found = bootstrap_interval(x, y, name, seed=5, resamples=200)  # type: ignore[arg-type]
    assert found == pytest.approx(expected, abs=1e-9)


def test_long_vectors_take_the_other_road_of_kendall(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sample(60, ties=True)
    expected = bootstrap_interval(x, y, "krcc", resamples=50)
    monkeypatch.setattr("vlqa.evaluation.intervals._KENDALL_MATRIX", 10)
    assert bootstrap_interval(x, y, "krcc", resamples=50) == pytest.approx(expected, abs=1e-9)


def test_blocks_do_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sample(60)
    expected = bootstrap_interval(x, y, resamples=101)
    monkeypatch.setattr("vlqa.evaluation.resamples._CELLS", 60 * 7)
    assert bootstrap_interval(x, y, resamples=101) == expected


def test_an_outlier_does_not_spoil_the_interval() -> None:
    # 37 % of the resamples miss the outlier; their variance is then 1e-24 of the whole.
    x, y = sample(50)
    x[0] = 1e12
    assert bootstrap_interval(x, y, "plcc", resamples=200) == pytest.approx(naive("plcc", x, y, 0, 200), abs=1e-3)


def test_interval_covers_the_truth() -> None:
    # Correlation of a bivariate normal is known; 95 % intervals of 100 samples should hold it about 95 times.
    truth = 1 / np.sqrt(2)
    held = 0
    for seed in range(100):
        low, high = bootstrap_interval(*sample(100, seed=seed), "plcc", seed=seed, resamples=300)
        held += low <= truth <= high
    assert 86 <= held <= 100


def test_seed_and_coverage() -> None:
    x, y = sample()
    assert bootstrap_interval(x, y, seed=1) == bootstrap_interval(x, y, seed=1) != bootstrap_interval(x, y, seed=2)
    narrow, wide = (bootstrap_interval(x, y, coverage=coverage) for coverage in (0.5, 0.99))
    assert wide[0] < narrow[0] < srcc(x, y) < narrow[1] < wide[1]


def test_a_thousand_resamples_of_a_thousand_pairs_are_quick() -> None:
    x, y = sample(1000)
    start = time.process_time()
    bootstrap_interval(x, y, "srcc")
    assert time.process_time() - start < 1  # 0.1 s on an idle core


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistic": "r2"}, "statistic must be one of srcc, plcc, krcc, rmse, found 'r2'"),
        ({"resamples": 0}, "resamples ≥ 1"),
        ({"coverage": 1.0}, "0 < coverage < 1"),
    ],
)
def test_interval_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bootstrap_interval(*sample(), **options)  # type: ignore[arg-type]


# Many methods on the same resamples


def methods(n: int = 60, k: int = 7, seed: int = 0) -> tuple[Vector, Vector]:
    """Scores of k methods, some with ties, one constant, one of two values, one with an outlier."""
    generator = np.random.default_rng(seed)
    y = generator.normal(size=n).round(1)
    x = y[:, None] * np.linspace(-1, 1, k) + generator.normal(size=(n, k))
    x[:, 1] = x[:, 1].round()
    x[:, 2] = 3.0
    x[:, 3] = x[:, 3] > 1
    x[0, 4] = 1e12
    return x, y


@pytest.mark.parametrize("name", ["srcc", "plcc"])
@pytest.mark.parametrize("cells", [2**16, 100])
def test_columns_agree_with_one_method_at_a_time(name: str, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlqa.evaluation.resamples._CACHED", cells)
    x, y = methods()
    values = bootstrap_columns(x, y, name, seed=3, resamples=100)  # type: ignore[arg-type]
    points = column_correlations(x, y, name)  # type: ignore[arg-type]
    assert values.shape == (100, 7) and np.isnan(values[:, 2]).all() and np.isnan(points[2])
    rows = np.random.default_rng(3).integers(0, 60, (100, 60))
    compute = {"srcc": stats.spearmanr, "plcc": stats.pearsonr}[name]
    for column in (0, 1, 3, 4, 5, 6):
        assert points[column] == pytest.approx(compute(x[:, column], y).statistic, abs=1e-9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = [compute(x[row, column], y[row]).statistic for row in rows]
        np.testing.assert_allclose(values[:, column], expected, atol=1e-4 if column == 4 else 1e-9)
        found = percentiles(values)
        interval = bootstrap_interval(x[:, column], y, name, seed=3, resamples=100)  # type: ignore[arg-type]
        assert (found[0][column], found[1][column]) == pytest.approx(interval, abs=1e-12)


def test_a_thousand_methods_are_quick() -> None:
    generator = np.random.default_rng(0)
    y = generator.normal(size=1000)
    x = y[:, None] + generator.normal(size=(1000, 100))
    start = time.process_time()
    for name in ("srcc", "plcc"):
        bootstrap_columns(x, y, name)  # type: ignore[arg-type]
    assert time.process_time() - start < 3  # a tenth of them; 0.9 s on an idle core


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([1, 2, 3], [1, 2, 3], {}, "matrix"),
        ([[1], [np.nan], [3]], [1, 2, 3], {}, "finite"),
        ([[1], [2], [3]], [1, 1, 1], {}, "all 3 mos are 1"),
        ([[1], [2]], [1, 2], {}, "at least 3"),
        ([[1], [2], [3]], [1, 2], {}, "3 scores and 2 mos"),
        ([[1], [2], [3]], [1, 2, 3], {"statistic": "krcc"}, "one of srcc, plcc, found 'krcc'"),
        ([[1], [2], [3]], [1, 2, 3], {"resamples": 0}, "resamples ≥ 1"),
    ],
)
def test_wrong_columns(x: list[object], y: list[int], options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bootstrap_columns(x, y, **options)  # type: ignore[arg-type]


def test_p_values_of_differences() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal([0.0, 0.2, -0.3, 0.0], 0.1, (4000, 4))
    values[:, 3] = 0
    found = difference_p_values([0.0, 0.2, -0.3, 0.0], values)
    assert found == pytest.approx([1, 2 * stats.norm.sf(2), 2 * stats.norm.sf(3), 1], rel=0.2)
    assert np.isnan(difference_p_values([np.nan], [[np.nan], [np.nan]])).all()
    with pytest.raises(ConfigError, match=r"expected \(k,\) differences"):
        difference_p_values([0.1, 0.2], [[0.1], [0.2]])


def test_equal_methods_differ_significantly_in_one_case_of_twenty() -> None:
    falsely = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        y = generator.normal(size=80)
        x = y[:, None] + generator.normal(size=(80, 2))
        values = bootstrap_columns(x, y, seed=seed, resamples=200)
        point = column_correlations(x, y)
        falsely += difference_p_values([point[0] - point[1]], values[:, :1] - values[:, 1:])[0] < 0.05
    assert 2 <= falsely <= 20


def test_holm_by_hand_and_its_properties() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, np.nan, 0.9]).tolist() == pytest.approx([1.0, np.nan, 1.0], nan_ok=True)
    assert holm([]).size == 0
    with pytest.raises(ConfigError, match="0 to 1"):
        holm([1.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_closed_testing_by_bonferroni(p: list[float]) -> None:
    tests = range(len(p))
    sets = [chosen for size in tests for chosen in itertools.combinations(tests, size + 1)]
    expected = [max(min(1, len(each) * min(p[k] for k in each)) for each in sets if test in each) for test in tests]
    assert holm(p).tolist() == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_never_lowers(p: list[float]) -> None:
    corrected = holm(p)
    assert (corrected >= np.array(p)).all() and (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()
    assert corrected.min() == pytest.approx(min(1, min(p) * len(p)))


# The whole table


def test_evaluate_scores() -> None:
    x, y = sample(300, 0.5)
    y = 50 + 20 * np.tanh(y)
    found = evaluate_scores(x, y)
    assert (found.n, found.dropped, found.mapping) == (300, 0, "logistic")
    assert found.srcc.value == srcc(x, y)
    assert found.plcc.value == plcc(x, y)
    assert found.krcc.value == krcc(x, y)
    assert found.plcc_logistic.value > found.plcc.value
    assert found.rmse.value == pytest.approx(np.sqrt(1 - found.plcc_logistic.value**2) * y.std(), rel=1e-6)
    for estimate in (found.srcc, found.plcc, found.plcc_logistic, found.krcc, found.rmse):
        assert estimate.low < estimate.value < estimate.high
    assert evaluate_scores(x, y) == found
    record = found.as_dict()
    assert list(record) == ["n", "dropped", "srcc", "plcc", "plcc_logistic", "krcc", "rmse", "mapping"]
    assert record["srcc"] == {"value": found.srcc.value, "low": found.srcc.low, "high": found.srcc.high}


def test_failed_images_are_dropped_and_counted() -> None:
    x, y = sample(50)
    clean = evaluate_scores(x, y, resamples=20)
    holes = evaluate_scores(np.r_[x, np.nan, np.inf], np.r_[y, 1, np.nan], resamples=20)
    assert (holes.n, holes.dropped) == (50, 2)
    assert holes.srcc == clean.srcc


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 1, 1], [1, 2, 3], "all 3 scores are 1: a correlation with a constant is undefined"),
        ([1, 2, 3], [2, 2, 2], "all 3 mos are 2"),
        ([1, 2], [1, 2], "at least 3 .* found 2"),
        ([], [], "found 0"),
        ([1, np.nan, np.nan], [1, 2, 3], "at least 3 .* found 1"),
        ([1, 2, 3], [1, 2], "one score for each mos, found 3 scores and 2 mos"),
        ([1, 2, 3], [1, np.nan, 3], "mos must be finite, found nan at index 1"),
        ([[1, 2, 3]], [1, 2, 3], "must be a vector"),
        (["a", "b", "c"], [1, 2, 3], "scores must be numbers"),
        ([1, [2], 3], [1, 2, 3], "scores must be numbers"),
    ],
)
def test_wrong_input_is_said_clearly(x: list[object], y: list[object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate_scores(x, y)  # type: ignore[arg-type]
    if not any(value is np.nan for value in x):
        for function in (*CORRELATIONS, fit_logistic, bootstrap_interval):
            with pytest.raises(ConfigError, match=message):
                function(x, y)  # type: ignore[operator]


def test_plain_correlations_refuse_nan() -> None:
    for correlation in CORRELATIONS:
        with pytest.raises(ConfigError, match="scores must be finite, found nan at index 2; leave such pairs out"):
            correlation([1, 2, np.nan], [1, 2, 3])


# Folds


@given(st.lists(st.integers(0, 20), min_size=10, max_size=80), st.integers(2, 5), st.integers(0, 9))
def test_groups_stay_together(groups: list[int], folds: int, seed: int) -> None:
    if len(set(groups)) < folds:
        with pytest.raises(ConfigError, match="need at least as many groups"):
            group_folds(groups, folds, seed)
        return
    fold = group_folds(groups, folds, seed)
    assert set(fold) == set(range(folds))
    assert all(len({f for f, g in zip(fold, groups, strict=True) if g == group}) == 1 for group in groups)
    largest = max(groups.count(group) for group in groups)
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= largest
    order = np.random.default_rng(seed).permutation(len(groups))
    np.testing.assert_array_equal(group_folds([groups[i] for i in order], folds, seed), fold[order])


@pytest.mark.parametrize("seed", range(10))
def test_large_groups_are_dealt_first(seed: int) -> None:
    groups = [0] * 50 + [group for group in range(1, 11) for _ in range(5)]
    assert np.bincount(group_folds(groups, 2, seed)).tolist() == [50, 50]


def test_folds_of_single_rows() -> None:
    fold = group_folds(103, 5, seed=1)
    assert sorted(np.bincount(fold)) == [20, 20, 21, 21, 21]
    np.testing.assert_array_equal(fold, group_folds(103, 5, seed=1))
    assert (fold != group_folds(103, 5, seed=2)).any()
    with pytest.raises(ConfigError, match="at least 2 folds"):
        group_folds(10, 1)


def test_splits() -> None:
    found = [(train.tolist(), test.tolist()) for train, test in splits([4, 0, 4])]
    assert found == [([0, 2], [1]), ([1], [0, 2])]


def test_exported_names() -> None:
    assert all(hasattr(evaluation, name) for name in evaluation.__all__)
