"""One head of each kind from features and opinions, and what it predicts for labels it has not seen."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError
from vlqa.evaluation import group_folds
from vlqa.fewshot.heads import Head, KernelHead, LinearHead, Matrix, MonotoneHead, Vector, squared_distances
from vlqa.fewshot.smoothing import Smoother

GREPQ_ALPHAS = (0.1, 1.0, 10.0, 100.0)
"""GRepQ's α of ridge regression on raw features (arXiv 2312.04838)."""

_RELATIVE_ALPHAS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Further α, times the variance of the features: GRepQ's four fit features of its own size only."""

_NOISES = (0.05, 0.15, 0.4, 1.0)
_REACHES = (0.5, 1.0, 2.0, 4.0, 8.0)
_LARGEST_GAUSSIAN = 4000
_INNER_FOLDS = 5
_LEAST_SLOPE = 1e-3  # opinion over the range of the scores, where labels do not rise with them: ranks stay all the same


@dataclass(frozen=True)
class Labelled:
    """What heads are fitted on.

    Attributes:
        features: (n, d).
        mos: (n,) opinions.
        weights: (n,) positive, with mean 1.
        groups: (n,) numbers; versions of one scene share theirs.
        seed: decides the folds.
    """

    features: Matrix
    mos: Vector
    weights: Vector
    groups: npt.NDArray[np.intp]
    seed: int

    def rows(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Labelled:
        """Some of the rows; where only one group is left, its rows are parted after all, for want of another."""
        weights, groups = self.weights[chosen], self.groups[chosen]
        if (groups == groups[0]).all():
            groups = np.arange(len(groups))
        return Labelled(self.features[chosen], self.mos[chosen], weights / weights.mean(), groups, self.seed)

    def folds(self, count: int) -> npt.NDArray[np.int64]:
        """(n,) a fold for every row, groups whole; fewer where there are fewer groups."""
        return group_folds(self.groups, min(count, len(np.unique(self.groups))), self.seed)

    @property
    def apart(self) -> npt.NDArray[np.intp] | None:
        """The groups, None where each row is one of its own."""
        return None if len(np.unique(self.groups)) == len(self.groups) else self.groups


@dataclass(frozen=True)
class Fit:
    """A head, and what its kind predicts for each label from the others.

    Attributes:
        head: fitted on all labels.
        predicted: (n,) each from a fit without it and its group, with the settings of the head.
        settings: that were chosen, for people.
    """

    head: Head
    predicted: Vector
    settings: dict[str, float]


def fit_ridge(labelled: Labelled) -> Fit:
    """Ridge regression; α of GRepQ's grid, or of one relative to the features, by the squared error left out."""
    x, y, weights = labelled.features, labelled.mos, labelled.weights
    centre = np.average(x, axis=0, weights=weights)
    x = x - centre
    size = float(np.average(np.square(x).sum(axis=1), weights=weights))
    alphas = sorted({*GREPQ_ALPHAS, *(share * size for share in _RELATIVE_ALPHAS)} - {0.0})
    smoother = Smoother.of_features(x, weights, labelled.apart)
    predicted = [smoother.left_out(y, alpha) for alpha in alphas]
    best = int(np.argmin([_error(labelled, guess) for guess in predicted]))
    coefficients = smoother.dual(y, alphas[best]) @ x
    intercept = float(np.average(y, weights=weights) - coefficients @ centre)
    return Fit(LinearHead(coefficients, intercept), predicted[best], {"alpha": alphas[best]})


def fit_elastic_net(labelled: Labelled) -> Fit:
    """Elastic net, as Re-IQA's regressors; penalty and mixture by folds."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import ElasticNet

    x = labelled.features - labelled.features.mean(axis=0)
    y = labelled.mos - labelled.mos.mean()
    strongest = float(np.abs(x.T @ y).max()) / len(y)

    def fit(rows: Labelled, share: float, l1_ratio: float) -> LinearHead:
        model = ElasticNet(alpha=share * strongest / l1_ratio, l1_ratio=l1_ratio, max_iter=2000, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the weakest penalties; folds judge them as they are
            model.fit(rows.features, rows.mos, sample_weight=rows.weights)
        return LinearHead(model.coef_, float(model.intercept_))

    grid = [{"share": share, "l1_ratio": ratio} for share in (0.3, 0.1, 0.03, 0.01) for ratio in (0.1, 0.5)]
    return _best_of(labelled, [(fit, settings) for settings in grid])


def fit_gaussian_process(labelled: Labelled) -> Fit:
    """Mean of a Gaussian process with a squared-exponential kernel; reach and noise by the error left out."""
    x, y, weights = labelled.features, labelled.mos, labelled.weights
    if len(x) > _LARGEST_GAUSSIAN:
        raise ConfigError(f"a Gaussian process compares all pairs of {len(x)} labels; beyond 4000 use head='ridge'")
    distances = squared_distances(x, x)
    typical = float(np.median(distances[np.triu_indices(len(x), 1)])) or 1.0
    best: tuple[float, Fit] | None = None
    for reach in _REACHES:
        gamma = 1 / (2 * reach * typical)
        kernel = np.exp(-gamma * distances)
        smoother = Smoother.of_kernel(kernel, weights, labelled.apart)
        for noise in _NOISES:
            predicted = smoother.left_out(y, noise / reach)
            error = _error(labelled, predicted)
            if best is None or error < best[0]:
                dual = smoother.dual(y, noise / reach)
                head = KernelHead(x, dual, gamma, float(np.average(y - kernel @ dual, weights=weights)))
                best = error, Fit(head, predicted, {"reach": reach, "noise": noise})
    assert best is not None
    return best[1]


def fit_support_vectors(labelled: Labelled) -> Fit:
    """ε-support vector regression with a squared-exponential kernel; C by folds."""
    from sklearn.svm import SVR

    spread = float(labelled.mos.std()) or 1.0
    variance = float(labelled.features.var(axis=0).sum()) or 1.0

    def fit(rows: Labelled, penalty: float) -> KernelHead:
        gamma = 0.5 / variance
        model = SVR(C=penalty * spread, gamma=gamma, epsilon=0.1 * spread)
        model.fit(rows.features, rows.mos, sample_weight=rows.weights)
        return KernelHead(model.support_vectors_, model.dual_coef_[0], gamma, float(model.intercept_[0]))

    return _best_of(labelled, [(fit, {"penalty": penalty}) for penalty in (0.3, 1.0, 3.0)])


def fit_monotone(labelled: Labelled) -> Fit:
    """A rising curve through the opinions, of the first column alone, so that ranks stay.

    Isotonic regression has steps; the lines between the centres of its steps rise throughout (Oron and Flournoy,
    "Centered isotonic regression", Statistics in Biopharmaceutical Research 2017). Outside they go on with the mean
    slope.
    """
    from sklearn.isotonic import IsotonicRegression

    def fit(rows: Labelled) -> MonotoneHead:
        x, y, weights = rows.features[:, 0], rows.mos, rows.weights
        level = IsotonicRegression().fit_transform(x, y, sample_weight=weights)
        steps = [level == value for value in np.unique(level)]
        centres = np.array([np.average(x[step], weights=weights[step]) for step in steps])
        opinions = np.array([np.average(y[step], weights=weights[step]) for step in steps])
        reach = float(np.ptp(x)) or 1.0
        slope = max(float(np.polyfit(x, y, 1, w=np.sqrt(weights))[0]) if np.ptp(x) > 0 else 0.0, _LEAST_SLOPE / reach)
        ends = np.array([-reach, reach])
        centres = np.concatenate([centres[:1] + ends[:1], centres, centres[-1:] + ends[1:]])
        opinions = np.concatenate([opinions[:1] + slope * ends[:1], opinions, opinions[-1:] + slope * ends[1:]])
        return MonotoneHead(centres, opinions)

    return _best_of(labelled, [(fit, {})])


HEADS: dict[str, Callable[[Labelled], Fit]] = {
    "ridge": fit_ridge,
    "elastic-net": fit_elastic_net,
    "svr": fit_support_vectors,
    "gp": fit_gaussian_process,
    "calibration": fit_monotone,
}
"""By name; `calibration` reads the predictor's own score only. Preferences have a fit of their own."""


def _error(labelled: Labelled, predicted: Vector) -> float:
    return float(np.average(np.square(predicted - labelled.mos), weights=labelled.weights))


def _best_of(labelled: Labelled, tried: list[tuple[Callable[..., Head], dict[str, float]]]) -> Fit:
    """The settings with the smallest squared error over folds, and the head they give on all labels."""
    fold = labelled.folds(_INNER_FOLDS)
    best: tuple[float, Callable[..., Head], dict[str, float], Vector] | None = None
    for fit, settings in tried:
        predicted = np.empty_like(labelled.mos)
        for number in np.unique(fold):
            head = fit(labelled.rows(fold != number), **settings)
            predicted[fold == number] = head(labelled.features[fold == number])
        error = _error(labelled, predicted)
        if best is None or error < best[0]:
            best = error, fit, settings, predicted
    assert best is not None
    _, fit, settings, predicted = best
    return Fit(fit(labelled, **settings), predicted, settings)
