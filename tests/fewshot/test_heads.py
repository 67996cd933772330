from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import Ridge

from vlqa.errors import CheckpointError, ConfigError
from vlqa.fewshot.fitting import HEADS, Labelled
from vlqa.fewshot.heads import LinearHead, MonotoneHead, head_from
from vlqa.fewshot.smoothing import Smoother


def labelled(count: int = 60, width: int = 8, seed: int = 0, groups: np.ndarray | None = None) -> Labelled:
    numbers = np.random.default_rng(seed)
    x = numbers.normal(size=(count, width))
    y = 40 + 8 * x[:, 0] + 4 * np.sin(2 * x[:, 1]) + 2 * numbers.normal(size=count)
    weights = numbers.uniform(0.5, 1.5, count)
    return Labelled(x, y, weights / weights.mean(), np.arange(count) if groups is None else groups, 0)


@pytest.mark.parametrize("width", [8, 90], ids=["by features", "by pairs"])
@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(20), 3)], ids=["one", "groups"])
def test_left_out_is_what_a_fit_without_the_group_predicts(groups: np.ndarray | None, width: int) -> None:
    data, alpha = labelled(width=width), 3.0
    found = Smoother.of_features(data.features, data.weights, groups).left_out(data.mos, alpha)
    for group in range(20):
        inside = (np.arange(60) if groups is None else groups) == group
        model = Ridge(alpha=alpha).fit(data.features[~inside], data.mos[~inside], data.weights[~inside])
        np.testing.assert_allclose(found[inside], model.predict(data.features[inside]), rtol=1e-8)


@pytest.mark.parametrize("width", [8, 90])
def test_the_fit_is_ridge_regression(width: int) -> None:
    data = labelled(width=width)
    coefficients = Smoother.of_features(data.features, data.weights).dual(data.mos, 3.0) @ data.features
    np.testing.assert_allclose(coefficients, Ridge(alpha=3.0).fit(data.features, data.mos, data.weights).coef_)
    fit = HEADS["ridge"](data)
    model = Ridge(alpha=fit.settings["alpha"]).fit(data.features, data.mos, data.weights)
    np.testing.assert_allclose(fit.head(data.features), model.predict(data.features), rtol=1e-8)


def test_a_kernel_smoother_is_the_mean_of_a_gaussian_process() -> None:
    data = labelled()
    kernel = RBF(2.0)
    # a constant kernel that is large leaves the intercept of the process free
    process = GaussianProcessRegressor(kernel + ConstantKernel(1e6) + WhiteKernel(0.1), optimizer=None)
    process.fit(data.features, data.mos)
    fitted = Smoother.of_kernel(kernel(data.features), np.ones(60)).dual(data.mos, 0.1)
    told = kernel(data.features) @ fitted
    np.testing.assert_allclose(told - told.mean() + data.mos.mean(), process.predict(data.features), atol=1e-3)


@pytest.mark.parametrize("name", sorted(HEADS))
def test_heads_learn_what_there_is_and_survive_storage(name: str) -> None:
    data = labelled(120)
    fit = HEADS[name](data)
    new = labelled(200, seed=1)
    assert np.corrcoef(fit.head(new.features), new.mos)[0, 1] > 0.85
    assert np.corrcoef(fit.predicted, data.mos)[0, 1] > 0.8
    again = head_from(fit.head.tensors())
    np.testing.assert_array_equal(again(new.features), fit.head(new.features))


@pytest.mark.parametrize("name", sorted(HEADS))
def test_groups_are_never_on_both_sides(name: str) -> None:
    # three copies of each picture: whoever sees one knows the others by heart
    numbers = np.random.default_rng(0)
    x = np.repeat(numbers.normal(size=(30, 40)), 3, axis=0) + 1e-3 * numbers.normal(size=(90, 40))
    mos = np.repeat(numbers.normal(size=30), 3)
    apart = HEADS[name](Labelled(x, mos, np.ones(90), np.repeat(np.arange(30), 3), 0))
    assert np.corrcoef(apart.predicted, mos)[0, 1] < 0.5


def test_heads_of_another_kind_are_refused() -> None:
    with pytest.raises(CheckpointError, match="fit it again"):
        head_from({"coefficients": np.zeros(2)})


@pytest.mark.parametrize("noise", [0.0, 20.0])
def test_a_curve_rises_throughout(noise: float) -> None:
    data = labelled(100)
    mos = data.mos + noise * np.random.default_rng(3).normal(size=100)
    head = HEADS["calibration"](Labelled(data.features, mos, data.weights, data.groups, 0)).head
    assert isinstance(head, MonotoneHead)
    assert (np.diff(head(np.linspace(-4, 4, 100)[:, None])) > 0).all()


def test_a_curve_passes_through_the_steps_of_isotonic_regression() -> None:
    data = labelled(50)
    order = np.argsort(data.features[:, 0])
    x, y, weights = data.features[order, 0], data.mos[order], data.weights[order]
    level = [  # Robertson, Wright and Dykstra 1988, theorem 1.4.4
        max(min(np.average(y[s:t], weights=weights[s:t]) for t in range(i + 1, 51)) for s in range(i + 1))
        for i in range(50)
    ]
    _, step = np.unique(np.round(level, 9), return_inverse=True)
    head = HEADS["calibration"](Labelled(x[:, None], y, weights, np.arange(50), 0)).head
    centres = np.bincount(step, weights * x) / np.bincount(step, weights)
    np.testing.assert_allclose(head(centres[:, None]), np.unique(np.round(level, 9)), atol=1e-8)


def test_labels_that_fall_with_the_score_leave_its_ranks() -> None:
    data = labelled(50)
    head = HEADS["calibration"](Labelled(data.features, -data.features[:, 0], data.weights, data.groups, 0)).head
    assert (np.diff(head(np.linspace(-3, 3, 50)[:, None])) > 0).all()


def test_ten_thousand_labels_need_no_pairs() -> None:
    fit = HEADS["ridge"](labelled(10_000, 30))
    assert isinstance(fit.head, LinearHead)
    assert np.corrcoef(fit.predicted, labelled(10_000, 30).mos)[0, 1] > 0.85


def test_a_gaussian_process_of_too_many_labels_is_refused() -> None:
    many = Labelled(np.zeros((4001, 1)), np.zeros(4001), np.ones(4001), np.arange(4001), 0)
    with pytest.raises(ConfigError, match="use head='ridge'"):
        HEADS["gp"](many)
