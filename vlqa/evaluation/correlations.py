"""Agreement of scores with opinions, each as one number."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from vlqa.errors import ConfigError

Vector: TypeAlias = npt.NDArray[np.float64]


def paired(
    scores: npt.ArrayLike, mos: npt.ArrayLike, *, minimum: int = 3, varying: bool = True
) -> tuple[Vector, Vector]:
    """Both as float64 vectors that a statistic can be computed from.

    Args:
        scores: (n,) predictions.
        mos: (n,) opinions.
        minimum: fewest pairs that are accepted.
        varying: whether a constant vector is refused, as correlations have to.

    Raises:
        ConfigError: other shapes or lengths, values that are not finite, too few pairs, or a constant vector.
    """
    pair = vectors(scores, mos)
    if len(pair[0]) < minimum:
        raise ConfigError(f"at least {minimum} pairs are needed to compare scores with opinions, found {len(pair[0])}")
    for name, values in zip(("scores", "mos"), pair, strict=True):
        if not np.isfinite(values).all():
            where = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ConfigError(f"{name} must be finite, found {values[where]} at index {where}; leave such pairs out")
        if varying and values.min() == values.max():
            raise ConfigError(f"all {len(values)} {name} are {values[0]:g}: a correlation with a constant is undefined")
    return pair


def vectors(scores: npt.ArrayLike, mos: npt.ArrayLike) -> tuple[Vector, Vector]:
    """Both as float64 vectors of one length, any values allowed; ConfigError otherwise."""
    pair = _vector("scores", scores), _vector("mos", mos)
    if len(pair[0]) != len(pair[1]):
        raise ConfigError(f"expected one score for each mos, found {len(pair[0])} scores and {len(pair[1])} mos")
    return pair


def _vector(name: str, values: npt.ArrayLike) -> Vector:
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} must be numbers") from None
    if vector.ndim != 1:
        raise ConfigError(f"{name} must be a vector, one number an image, found shape {vector.shape}")
    return vector


def standardised(values: Vector) -> Vector:
    """Mean 0 and deviation 1, without overflow for values as large as float64 holds."""
    centred = values / np.abs(values).max()
    centred -= centred.mean()
    return centred / centred.std()


def plcc(scores: npt.ArrayLike, mos: npt.ArrayLike) -> float:
    """Pearson's linear correlation, Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)² Σ(y−ȳ)²), in [−1, 1].

    Raises:
        ConfigError: see `paired`.
    """
    x, y = paired(scores, mos)
    return _pearson(x, y)


def _pearson(x: Vector, y: Vector) -> float:
    return float(np.clip(np.mean(standardised(x) * standardised(y)), -1, 1))


def srcc(scores: npt.ArrayLike, mos: npt.ArrayLike) -> float:
    """Spearman's rank correlation in [−1, 1]: Pearson's of the ranks, ties sharing their mean rank.

    Raises:
        ConfigError: see `paired`.
    """
    x, y = paired(scores, mos)
    return _pearson(stats.rankdata(x), stats.rankdata(y))


def krcc(scores: npt.ArrayLike, mos: npt.ArrayLike) -> float:
    """Kendall's τ_b in [−1, 1]: (concordant − discordant) / √((N − ties of x)(N − ties of y)) over N pairs of pairs.

    M. G. Kendall, "The treatment of ties in ranking problems", Biometrika 1945.

    Raises:
        ConfigError: see `paired`.
    """
    x, y = paired(scores, mos)
    return float(stats.kendalltau(x, y, method="asymptotic").statistic)


def rmse(scores: npt.ArrayLike, mos: npt.ArrayLike) -> float:
    """Root of the mean squared difference, in units of the opinions; scores must already be on their scale.

    Raises:
        ConfigError: see `paired`; one pair is enough and constants are allowed.
    """
    x, y = paired(scores, mos, minimum=1, varying=False)
    return float(np.sqrt(np.mean((x - y) ** 2)))
