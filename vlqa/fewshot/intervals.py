"""Prediction intervals that keep their promise, whatever the head: CV+."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError
from vlqa.fewshot.heads import Matrix, Vector


def cv_plus(
    predicted: Matrix, fold: npt.NDArray[np.int64], residuals: Vector, coverage: float
) -> npt.NDArray[np.float64]:
    """Intervals that hold the opinion of a new picture in at least about `coverage` of the cases.

    CV+ of Barber, Candès, Ramdas and Tibshirani ("Predictive inference with the jackknife+", Annals of Statistics 2021,
    eq. 4.1): with R_i = |y_i − μ_{−k(i)}(x_i)| the interval of x goes from the ⌊α(n+1)⌋-th smallest of
    μ_{−k(i)}(x) − R_i to the ⌈(1−α)(n+1)⌉-th smallest of μ_{−k(i)}(x) + R_i. It promises 1 − 2α against the worst case
    and gives about 1 − α; pictures must come from where the labelled ones came from.

    Args:
        predicted: (m, K) what the heads that lack each fold say of m new pictures.
        fold: (n,) number of each label's fold, 0 … K − 1.
        residuals: (n,) R_i.
        coverage: 1 − α, in (0, 1).

    Returns:
        (m, 2) lower and upper end; infinite where n is too small for the coverage.

    Raises:
        ConfigError: a coverage outside (0, 1).
    """
    if not 0 < coverage < 1:
        raise ConfigError(f"coverage must lie between 0 and 1, found {coverage:g}; 0.9 holds nine opinions of ten")
    n = len(residuals)
    rank = math.ceil(coverage * (n + 1) - 1e-9)
    ends = np.full((len(predicted), 2), np.inf) * [-1, 1]
    if rank > n:
        return ends
    for block in np.array_split(np.arange(len(predicted)), max(1, len(predicted) * n // 1_000_000)):
        centres = predicted[block][:, fold]
        ends[block, 0] = np.partition(centres - residuals, n - rank, axis=1)[:, n - rank]
        ends[block, 1] = np.partition(centres + residuals, rank - 1, axis=1)[:, rank - 1]
    return ends
