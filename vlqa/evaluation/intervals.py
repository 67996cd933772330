"""Bootstrap intervals of the correlations: 1000 resamples of 1000 pairs take 0.04 s (rmse) to 0.25 s (krcc)."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from scipy import stats

from vlqa.errors import ConfigError
from vlqa.evaluation.correlations import Vector, paired
from vlqa.evaluation.resamples import Counts, bootstrap_columns, draw, percentiles, ties

Statistic: TypeAlias = Literal["srcc", "plcc", "krcc", "rmse"]

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
    if statistic == "srcc" or statistic == "plcc":
        values = bootstrap_columns(x[:, None], y, statistic, seed=seed, resamples=resamples)
    else:
        compute = _kendall if statistic == "krcc" else _rmse
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.concatenate([compute(x, y, counts) for counts in draw(len(x), seed, resamples)])[:, None]
    low, high = percentiles(values, coverage)
    return float(low[0]), float(high[0])


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
    n, size = counts.shape[1], ties(group, counts)
    return n * (n - 1) / 2 - np.sum(size * (size - 1), axis=1) / 2


def _rmse(x: Vector, y: Vector, counts: Counts) -> Vector:
    return np.sqrt(counts @ (x - y) ** 2 / len(x))
