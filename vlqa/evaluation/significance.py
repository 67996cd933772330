"""Whether one method agrees with opinions better than another: paired differences, and many of them at once."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from scipy import stats

from vlqa.errors import ConfigError
from vlqa.evaluation.correlations import Vector


def difference_p_values(differences: npt.ArrayLike, resampled: npt.ArrayLike) -> Vector:
    """Two-sided p-values of differences of correlations, from the same differences on bootstrap resamples.

    The difference over its bootstrap deviation is compared with the normal distribution. Counting the resamples beyond
    zero instead could give no p below 2/resamples, which a correction for hundreds of methods never lets pass.

    Args:
        differences: (k,) as they were found.
        resampled: (resamples, k), of methods on the same resamples; NaN where a correlation was undefined.

    Returns:
        (k,); 1 for methods that never differ, NaN where nothing is known.

    Raises:
        ConfigError: shapes that do not fit.
    """
    found, values = np.asarray(differences, np.float64), np.asarray(resampled, np.float64)
    if found.ndim != 1 or values.ndim != 2 or values.shape[1] != len(found):
        raise ConfigError(f"expected (k,) differences and (resamples, k) of them, found {found.shape}, {values.shape}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nanstd of one value or none
        deviation = np.nanstd(values, axis=0, ddof=1)
    same = (np.abs(found) < 1e-12) & (deviation < 1e-12)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(same, 1.0, 2 * stats.norm.sf(np.abs(found) / deviation))


def holm(p_values: npt.ArrayLike) -> Vector:
    """p-values corrected for their number: the chance of any false one among those below a level stays below it.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979. NaN is
    no test and stays.

    Raises:
        ConfigError: values outside [0, 1], or no vector.
    """
    p = np.asarray(p_values, np.float64)
    tested = ~np.isnan(p)
    if p.ndim != 1 or not ((p[tested] >= 0) & (p[tested] <= 1)).all():
        raise ConfigError("p-values must be a vector of numbers from 0 to 1")
    corrected = p.copy()
    order = np.argsort(p[tested], kind="stable")
    steps = p[tested][order] * np.arange(len(order), 0, -1)
    back = np.empty(len(order))
    back[order] = np.minimum(np.maximum.accumulate(steps), 1)
    corrected[tested] = back
    return corrected
