"""Opinions as they come, checked before anything is fitted on them."""

from __future__ import annotations

import warnings
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError
from vlqa.evaluation import srcc
from vlqa.fewshot.heads import Vector

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


def weights_from(mos_std: npt.ArrayLike | None, count: int) -> Vector:
    """Weights, with mean 1, of opinions whose raters differed by `mos_std`: 1 / (typical variance + own variance).

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
    typical = float(np.median(spread[known])) if known.any() else 0.0
    if typical == 0:
        return np.ones(count)
    ratio = np.clip(np.where(known, spread, typical), 0, _WIDEST * typical) / typical
    weights = 1 / (1 + ratio**2)
    return weights / weights.mean()


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


def warn_of_direction(score: Vector | None, mos: Vector) -> None:
    """Say so where opinions fall as the model's own score rises: they may be DMOS."""
    if score is None or len(mos) < 10 or np.ptp(score) == 0:
        return
    agreement = srcc(score, mos)
    if agreement < min(_DISAGREES, -3 / np.sqrt(len(mos))):  # not by chance
        warnings.warn(
            f"the labels fall as the model's own score rises (SRCC {agreement:.2f}): did you mean DMOS? "
            "Then give direction='dmos' (--direction dmos)",
            stacklevel=4,
        )
