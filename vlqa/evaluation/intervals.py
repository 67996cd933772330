"""Bootstrap intervals of the correlations, all resamples at once.

A resample is held as how often each pair was drawn. Then ranks are sums of counts in one fixed order, correlations are
matrix products, and nothing is sorted again: 1000 resamples of 1000 pairs take 0.04 s (rmse) to 0.25 s (krcc).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from scipy import stats

from vlqa.errors import ConfigError
from vlqa.evaluation.correlations import Vector, paired, standardised

Statistic: TypeAlias = Literal["srcc", "plcc", "krcc", "rmse"]
Counts: TypeAlias = npt.NDArray[np.float64]
"""(resamples, n): how often each pair was drawn."""

_CELLS = 2_000_000  # entries of one array; bounds memory at any n
_KENDALL_MATRIX = 4000  # above this many pairs n² costs more than a sort a resample


def bootstrap_interval(
    scores: npt.ArrayLike,
    mos: npt.ArrayLike,
    statistic: Statistic = "srcc",
    *,
    seed: int = 0,
    resamples: int = 1000,
    coverage: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a statistic under resampling of the pairs with replacement.

    B. Efron, "Nonparametric standard errors and confidence intervals", Canadian Journal of Statistics 1981. Resamples
    in which a side is constant (a matter of very few pairs) are left out.

    Args:
        scores: (n,) predictions; for "rmse" on the scale of mos.
        mos: (n,) opinions.
        statistic: "srcc", "plcc", "krcc" or "rmse".
        seed: decides the resamples; equal seeds and n give equal resamples.
        resamples: how many.
        coverage: share of the resampled values inside.

    Returns:
        (low, high); NaN where no resample gave a value.

    Raises:
        ConfigError: see `correlations.paired`; an unknown statistic, no resamples, a coverage outside (0, 1).
    """
    if statistic not in get_args(Statistic):
        raise ConfigError(f"statistic must be one of {', '.join(get_args(Statistic))}, found {statistic!r}")
    if resamples < 1 or not 0 < coverage < 1:
        raise ConfigError(f"expected resamples ≥ 1 and 0 < coverage < 1, found {resamples} and {coverage}")
    x, y = paired(scores, mos, varying=statistic != "rmse")
    compute = {"srcc": _spearman, "plcc": _pearson, "krcc": _kendall, "rmse": _rmse}[statistic]
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        values = np.concatenate([compute(x, y, counts) for counts in _draw(len(x), seed, resamples)])
        warnings.simplefilter("ignore", RuntimeWarning)  # nanquantile of nothing
        low, high = np.nanquantile(values, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)


def _draw(n: int, seed: int, resamples: int) -> Iterator[Counts]:
    """Resamples in blocks of bounded size."""
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _pearson(x: Vector, y: Vector, counts: Counts) -> Vector:
    # Centred before it is squared: E[x²] − E[x]² loses all digits in a resample that misses a far outlier.
    x, y = standardised(x), standardised(y)
    n = len(x)
    return _correlation(x - (counts @ x / n)[:, None], y - (counts @ y / n)[:, None], counts)


def _spearman(x: Vector, y: Vector, counts: Counts) -> Vector:
    n = len(x)
    return _correlation(_ranks(x, counts) - (n + 1) / 2, _ranks(y, counts) - (n + 1) / 2, counts)


def _correlation(x: Counts, y: Counts, counts: Counts) -> Vector:
    """Pearson's correlation of each resample from centred values; NaN where a side does not vary."""
    weighted_x, weighted_y = counts * x, counts * y
    variance_x, variance_y = np.einsum("bn,bn->b", weighted_x, x), np.einsum("bn,bn->b", weighted_y, y)
    # A constant leaves 1e-16 of itself after centring; values are of the order of 1, so their squares are below this.
    varying = np.minimum(variance_x, variance_y) > 1e-26 * x.shape[1]
    covariance = np.einsum("bn,bn->b", weighted_x, y)
    return np.where(varying, np.clip(covariance / np.sqrt(variance_x * variance_y), -1, 1), np.nan)


def _ranks(values: Vector, counts: Counts) -> Counts:
    """Mean rank of each value within each resample: those below it, and half of its own ties."""
    _, group = np.unique(values, return_inverse=True)
    size = _ties(group, counts)
    middle = np.cumsum(size, axis=1) - (size - 1) / 2
    return middle[:, group]


def _ties(group: npt.NDArray[np.intp], counts: Counts) -> Counts:
    """(resamples, groups): how often any member of a group of equal values was drawn."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    return np.add.reduceat(counts[:, order], starts, axis=1)


def _kendall(x: Vector, y: Vector, counts: Counts) -> Vector:
    n = len(x)
    if n > _KENDALL_MATRIX:
        drawn = (np.repeat(np.arange(n), row.astype(np.int64)) for row in counts)
        return np.array([stats.kendalltau(x[rows], y[rows], method="asymptotic").statistic for rows in drawn])
    signs = (np.sign(x[:, None] - x) * np.sign(y[:, None] - y)).astype(np.float32)
    # Sums of counts stay far below 2²⁴, so float32 products are exact.
    concordance = np.einsum("bn,bn->b", counts.astype(np.float32) @ signs, counts) / 2
    untied = [_untied(np.unique(values, return_inverse=True)[1], counts) for values in (x, y)]
    return concordance / np.sqrt(untied[0] * untied[1])  # 0 / 0 where a side does not vary


def _untied(group: npt.NDArray[np.intp], counts: Counts) -> Vector:
    n, size = counts.shape[1], _ties(group, counts)
    return n * (n - 1) / 2 - np.sum(size * (size - 1), axis=1) / 2


def _rmse(x: Vector, y: Vector, counts: Counts) -> Vector:
    return np.sqrt(counts @ (x - y) ** 2 / len(x))
