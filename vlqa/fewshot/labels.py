"""Opinions as they come, checked before anything is fitted on them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError
from vlqa.evaluation import srcc
from vlqa.fewshot.heads import Matrix, Vector

Direction: TypeAlias = Literal["mos", "dmos"]

FEWEST = 5
"""Labels that can be fitted at all."""

_LARGEST = 1e100  # opinion whose square, and sums of them, are numbers still
_WIDEST = 1e3  # typical deviations beyond which a larger one makes no opinion less sure: weights must not vanish

_DISAGREES = -0.2  # SRCC with the model's own score below which labels are likely turned round


def checked_mos(mos: npt.ArrayLike, count: int, direction: str) -> Vector:
    """Opinions, higher is better.

    Args:
        mos: (n,) opinions.
        count: n that is expected.
        direction: "dmos" where higher is worse; they are turned within their range.

    Raises:
        ConfigError: another direction or number of opinions, no numbers, or all alike.
    """
    if direction not in get_args(Direction):
        raise ConfigError(f"direction must be mos (higher is better) or dmos (higher is worse), found {direction!r}")
    try:
        opinions = np.asarray(mos, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError("mos must be numbers, one a picture") from None
    if opinions.shape != (count,):
        raise ConfigError(f"expected one opinion for each of {count} pictures, found shape {opinions.shape}")
    if np.isinf(opinions).any():
        raise ConfigError(f"mos must be finite, found {opinions[np.isinf(opinions)][0]}; leave that picture out")
    if (np.abs(opinions) > _LARGEST).any():
        largest = opinions[np.nanargmax(np.abs(opinions))]
        raise ConfigError(f"mos must be within ±{_LARGEST:g}, found {largest:g}; use another unit or leave it out")
    known = opinions[np.isfinite(opinions)]
    if len(known) < FEWEST:
        raise ConfigError(f"at least {FEWEST} rated pictures are needed to fit, found {len(known)}; 25 give a start")
    if known.min() == known.max():
        raise ConfigError(f"all {len(known)} opinions are {known[0]:g}: nothing can be learned from them")
    return opinions if direction == "mos" else known.min() + known.max() - opinions


def check_options(coverage: float, mos_range: Sequence[float] | npt.NDArray[Any] | None, seed: int) -> None:
    """Raise the ConfigError of what a few-shot predictor was built with and cannot fit by.

    Args:
        coverage: in (0, 1).
        mos_range: (worst, best) opinion, ascending; None for the range of the labels.
        seed: a whole number from 0.
    """
    if not _are_numbers([coverage]) or not 0 < coverage < 1:
        raise ConfigError(f"coverage must lie between 0 and 1, found {coverage!r}; 0.9 holds nine opinions of ten")
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"seed must be a whole number, 0 or more, found {seed!r}")
    if mos_range is None:
        return
    ends = list(mos_range) if isinstance(mos_range, list | tuple | np.ndarray) else []
    if len(ends) != 2 or not _are_numbers(ends) or not ends[0] < ends[1]:
        wanted = "mos_range must be (worst, best), two finite numbers of which the first is smaller"
        raise ConfigError(f"{wanted}, found {mos_range!r}; of DMOS, which are turned round, it is (lowest, highest)")


def range_of(opinions: npt.ArrayLike) -> tuple[float, float]:
    """(lowest, highest)."""
    return float(np.min(opinions)), float(np.max(opinions))


def _are_numbers(values: Sequence[object]) -> bool:
    """Whether all are finite real numbers."""
    real = (int, float, np.integer, np.floating)
    return all(isinstance(value, real) and not isinstance(value, bool) and np.isfinite(value) for value in values)


def weights_from(mos_std: npt.ArrayLike | None, count: int) -> Vector:
    """Weights, with mean 1, of opinions whose raters differed by `mos_std`: 1 / (typical variance + own variance).

    The typical deviation is the median of those above 0: where most opinions come from one or two raters, who cannot
    differ or rarely do, that of all would be 0. With none above 0 all weigh the same.

    Raises:
        ConfigError: another number of them, no numbers, or negative ones.
    """
    if mos_std is None:
        return np.ones(count)
    wanted = f"mos_std must be {count} deviations of 0 or more, one a picture; NaN where unknown"
    try:
        spread = np.asarray(mos_std, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(wanted) from None
    if spread.shape != (count,):
        raise ConfigError(f"{wanted}; found shape {spread.shape}")
    if (spread < 0).any():
        raise ConfigError(f"{wanted}; found {np.nanmin(spread):g}")
    known = np.isfinite(spread)
    if not (spread[known] > 0).any():
        return np.ones(count)
    typical = float(np.median(spread[known & (spread > 0)]))
    ratio = np.clip(np.where(known, spread, typical), 0, _WIDEST * typical) / typical
    weights = 1 / (1 + ratio**2)
    return weights / weights.mean()


def known_rows(features: Matrix) -> npt.NDArray[np.bool_]:
    """(n,) which rows of features (n, d) are finite.

    Raises:
        ConfigError: none is, or too few to fit on although there are enough rows.
    """
    known = np.asarray(np.isfinite(features).all(axis=1))
    if known.sum() < FEWEST <= len(known):
        found = f"only {known.sum()} of {len(known)} rows" if known.any() else f"none of {len(known)} rows"
        raise ConfigError(f"{found} of features is finite; NaN is a picture that failed: mend it and embed it again")
    return known


def numbered(groups: npt.ArrayLike | None, count: int) -> npt.NDArray[np.intp]:
    """A number for each row, the same for rows of one group.

    Raises:
        ConfigError: another number of them.
    """
    if groups is None:
        return np.arange(count)
    names = np.asarray(groups).astype(str)
    if names.shape != (count,):
        raise ConfigError(f"groups must name one group for each of {count} pictures, found shape {names.shape}")
    return np.unique(names, return_inverse=True)[1]


def check_groups(groups: npt.NDArray[np.intp]) -> None:
    """Raise the ConfigError of groups without the largest of which fewer than two labels are left."""
    rest = len(groups) - int(np.bincount(np.unique(groups, return_inverse=True)[1]).max())
    if rest < 2:
        found = "all pictures are" if rest == 0 else "all pictures but one are"
        raise ConfigError(f"{found} of one group, so that nothing is left to judge a fit by; give others too")


def warn_of_direction(score: Vector | None, mos: Vector, direction: str) -> None:
    """Say so where opinions fall as the model's own score rises: they may go the other way than was said."""
    if score is None or len(mos) < 10 or np.ptp(score) == 0:
        return
    agreement = srcc(score, mos)
    if agreement < min(_DISAGREES, -3 / np.sqrt(len(mos))):  # not by chance
        hint = "did you mean DMOS? Then give direction='dmos' (--direction dmos)"
        if direction == "dmos":
            hint = (
                "taken as DMOS they were turned round; if they are MOS, leave direction='dmos' (--direction dmos) out"
            )
        found = f"the labels fall as the model's own score rises (SRCC {agreement:.2f})"
        warnings.warn(f"{found}: {hint}", stacklevel=4)
