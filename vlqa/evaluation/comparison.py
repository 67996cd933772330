"""Which of two models agrees better with the same people on the same pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from vlqa.errors import ConfigError
from vlqa.evaluation.correlations import Vector
from vlqa.evaluation.resamples import Correlation, Matrix, bootstrap_columns, column_correlations, percentiles
from vlqa.evaluation.significance import difference_p_values, holm


class Difference(NamedTuple):
    """By how much one model correlates better with opinions than another, with its interval.

    Attributes:
        value: of the first less of the second, positive where the first is better.
        low: lower end of the interval.
        high: upper end.
        p_value: two-sided, of no difference.
        corrected: the same after Holm's correction for all comparisons of the call.
    """

    value: float
    low: float
    high: float
    p_value: float
    corrected: float


def paired_differences(
    scores: npt.ArrayLike,
    against: npt.ArrayLike,
    mos: npt.ArrayLike,
    statistic: Correlation = "srcc",
    *,
    seed: int = 0,
    resamples: int = 1000,
    coverage: float = 0.95,
) -> list[Difference]:
    """Each model compared with one other on the same pictures, by a paired bootstrap over pictures.

    The interval holds `coverage` of the resampled differences; the p-value is `difference_p_values`.

    Args:
        scores: (n, k) of k models, or (n,) of one.
        against: (n,) of the model they are compared with.
        mos: (n,) opinions.
        statistic: "srcc" or "plcc".
        seed: decides the resamples.
        resamples: how many.
        coverage: of the intervals.

    Raises:
        ConfigError: see `bootstrap_columns`.
    """
    models, other = np.asarray(scores, np.float64), np.asarray(against, np.float64)
    models = models[:, None] if models.ndim == 1 else models
    if models.ndim != 2 or other.shape != models.shape[:1]:
        shapes = f"{models.shape} and {other.shape}"
        raise ConfigError(f"expected (n, k) scores and (n,) of another model on the same pictures, found {shapes}")
    columns = np.column_stack([models, other])
    found = column_correlations(columns, mos, statistic)
    resampled = bootstrap_columns(columns, mos, statistic, seed=seed, resamples=resamples)
    values = found[:-1] - found[-1]
    spread = resampled[:, :-1] - resampled[:, -1:]
    low, high = percentiles(spread, coverage)
    return _corrected(values, low, high, difference_p_values(values, spread))


def split_differences(
    scores: npt.ArrayLike,
    against: npt.ArrayLike,
    mos: npt.ArrayLike,
    statistic: Correlation = "srcc",
    *,
    seed: int = 0,
    resamples: int = 300,
    coverage: float = 0.95,
) -> list[Difference]:
    """As `paired_differences`, of models that were fitted anew on each of several splits of the pictures.

    The difference is the mean over splits. Two things make it vary: which pictures were labelled, seen in the spread
    over splits, and which pictures there are at all, which all splits share and a bootstrap over pictures tells. Their
    variances are added. A t-test over splits knows the first alone: of two models equally good, fitted on 20 of 80
    pictures in 8 splits, it called 40 % different at the 5 % level, and this 5 %.

    Args:
        scores: (k, splits, n) of k models, or (splits, n) of one; NaN for the pictures a split was fitted on.
        against: (splits, n) of the model they are compared with, NaN for the same pictures.
        mos: (n,) opinions.
        statistic: "srcc" or "plcc".
        seed: decides the resamples.
        resamples: how many.
        coverage: of the intervals.

    Raises:
        ConfigError: shapes or NaN that do not fit, or fewer than 3 pictures to test on in a split.
    """
    models, other, opinions = (np.asarray(values, np.float64) for values in (scores, against, mos))
    models = models[None] if models.ndim == 2 else models
    if models.ndim != 3 or other.shape != models.shape[1:] or opinions.shape != models.shape[2:]:
        raise ConfigError(
            f"expected (k, splits, n) scores, (splits, n) others and (n,) mos, "
            f"found {models.shape}, {other.shape}, {opinions.shape}"
        )
    everything = np.concatenate([models, other[None]])  # (k + 1, splits, n)
    tested = np.isfinite(other)
    if (np.isfinite(everything) != tested).any() or tested.sum(axis=1).min() < 3:
        raise ConfigError("each split needs scores of all models for the same pictures, 3 or more, and NaN elsewhere")
    splits = list(zip(everything.swapaxes(0, 1), tested, strict=True))

    def differences(rows: npt.NDArray[np.intp]) -> Matrix:
        """(splits, k) on some of the pictures."""
        return np.stack(
            [_of_split(scored[:, rows], known[rows], opinions[rows], statistic) for scored, known in splits]
        )

    count, generator = len(opinions), np.random.default_rng(seed)
    of_splits = differences(np.arange(count))
    drawn = [differences(generator.integers(0, count, count)).mean(axis=0) for _ in range(resamples)]
    values = of_splits.mean(axis=0)
    variance = np.nanvar(drawn, axis=0, ddof=1)
    if len(of_splits) > 1:
        variance += of_splits.var(axis=0, ddof=1) / len(of_splits)
    deviation = np.sqrt(variance)
    reach = stats.norm.ppf((1 + coverage) / 2) * deviation
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = np.where(deviation > 0, 2 * stats.norm.sf(np.abs(values) / deviation), np.where(values == 0, 1.0, 0))
    return _corrected(values, values - reach, values + reach, p_values)


def _of_split(scored: Matrix, tested: npt.NDArray[np.bool_], mos: Vector, statistic: Correlation) -> Vector:
    """Correlation of each model but the last, less that of the last; NaN where a side is constant."""
    x, y = scored[:, tested], mos[tested]
    if statistic == "srcc":
        x, y = stats.rankdata(x, axis=1), stats.rankdata(y)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        found = x @ y / np.sqrt(np.square(x).sum(axis=1) * (y @ y))
    return found[:-1] - found[-1]


def _corrected(values: Vector, low: Vector, high: Vector, p_values: Vector) -> list[Difference]:
    columns = np.column_stack([values, low, high, p_values, holm(p_values)])
    return [Difference(*row) for row in columns.tolist()]
