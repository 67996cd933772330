"""The monotone curve that brings scores onto the scale of opinions before PLCC and RMSE are taken."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from vlqa.evaluation.correlations import Vector, paired

_BESIDE = 7.0  # widths from which the tail of a curve is an exponential within a thousandth


def logistic4(scores: npt.ArrayLike, b1: float, b2: float, b3: float, b4: float) -> Vector:
    """b2 + (b1 − b2) / (1 + exp(−(s − b3) / |b4|)): the curve of four parameters.

    VQEG, "Final report … on the validation of objective models of video quality assessment", phase I, 2000; as used
    for PLCC by UNIQUE (arXiv 2005.13983) and LIQE (arXiv 2303.14968).

    Args:
        scores: any real numbers.
        b1: opinion at +∞.
        b2: opinion at −∞.
        b3: score at the middle of the rise.
        b4: width of the rise, in units of the scores.
    """
    return b2 + (b1 - b2) * special.expit((np.asarray(scores, np.float64) - b3) / abs(b4))


@dataclass(frozen=True)
class ScoreMapping:
    """A fitted curve; call it on scores to get opinions.

    Attributes:
        kind: "logistic", or "linear" where no logistic could be fitted that is better than a line.
        parameters: (b1, b2, b3, b4) of `logistic4`, or (slope, intercept), of the scaled scores.
        centre: subtracted from the scores first.
        scale: divides the scores then, so that the fit does not depend on their units.
    """

    kind: Literal["logistic", "linear"]
    parameters: tuple[float, ...]
    centre: float = 0.0
    scale: float = 1.0

    def __call__(self, scores: npt.ArrayLike) -> Vector:
        """Opinions that the curve gives to scores."""
        x = np.asarray(scores, np.float64) / self.scale - self.centre / self.scale
        if self.kind == "linear":
            slope, intercept = self.parameters
            return slope * x + intercept
        return logistic4(x, *self.parameters)


def fit_logistic(scores: npt.ArrayLike, mos: npt.ArrayLike) -> ScoreMapping:
    """The least-squares logistic of four parameters, started from the data's own scale.

    Given b3 and b4 the other two parameters are a line's, so they are solved exactly after the iterations. Where these
    run away, since opinions that bend one way only are fitted best by the far tail of a curve, b3 and b4 are sought
    within bounds. The result is never worse than a line.

    Args:
        scores: (n,) predictions; rising or falling with mos.
        mos: (n,) opinions.

    Raises:
        ConfigError: see `paired`.
    """
    x, y = paired(scores, mos)
    centre, scale = _location(x)
    x = (x / scale) - (centre / scale)
    linear = _line(x, y)
    best = ScoreMapping("linear", linear, centre, scale)
    if len(x) < 5:  # four parameters pass through four points, whatever they are
        return best
    slope, b2 = _line(special.expit(x / 0.5), y)  # the best curve of a middling position and width, rising or falling
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", optimize.OptimizeWarning)  # no covariance is needed
        try:
            found, *_ = optimize.curve_fit(logistic4, x, y, p0=(b2 + slope, b2, 0.0, 0.5), maxfev=2000)
            b3, b4 = float(found[2]), abs(float(found[3]))
        except RuntimeError:  # no convergence
            b3, b4 = _within_bounds(x, y)
        rise = special.expit((x - b3) / b4)
        if not np.isfinite(rise).all() or np.ptp(rise) < 1e-9:  # nothing of the curve lies under the data
            return best
        slope, b2 = _line(rise, y)
    curve = ScoreMapping("logistic", (b2 + slope, b2, b3, b4), centre, scale)
    error = np.sum((logistic4(x, *curve.parameters) - y) ** 2)
    return curve if error <= np.sum((linear[0] * x + linear[1] - y) ** 2) else best


def _within_bounds(x: Vector, y: Vector) -> tuple[float, float]:
    """b3 and b4 of the least squares with the middle at most seven widths beside the scores: the tail is as good there.

    Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
    separate", SIAM Journal on Numerical Analysis 1973.
    """
    reach = float(np.ptp(x))

    def curve(parameters: Vector) -> tuple[float, float]:
        width = reach * float(np.exp(parameters[1]))
        first, last = x.min() - _BESIDE * width, x.max() + _BESIDE * width
        return float(first + parameters[0] * (last - first)), width

    def residuals(parameters: Vector) -> Vector:
        b3, b4 = curve(parameters)
        rise = special.expit((x - b3) / b4)
        slope, intercept = _line(rise, y) if np.ptp(rise) > 0 else (0.0, float(y.mean()))
        return slope * rise + intercept - y

    bounds = [0.0, np.log(0.005)], [1.0, np.log(5.0)]
    starts = [(place, np.log(width)) for place in (0.1, 0.5, 0.9) for width in (0.05, 0.5)]
    fits = [optimize.least_squares(residuals, start, bounds=bounds) for start in starts]
    return curve(min(fits, key=lambda fit: float(fit.cost)).x)


def _location(values: Vector) -> tuple[float, float]:
    """Mean and deviation, without overflow."""
    size = np.abs(values).max()
    return float((values / size).mean() * size), float((values / size).std() * size)


def _line(x: Vector, y: Vector) -> tuple[float, float]:
    """Slope and intercept of the least-squares line."""
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return slope, float(y.mean() - slope * x.mean())
