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
    known = opinions[np.isfinite(opinions)]
    if len(known) < FEWEST:
        raise ConfigError(f"at least {FEWEST} rated pictures are needed to fit, found {len(known)}; 25 give a start")
    if known.min() == known.max():
        raise ConfigError(f"all {len(known)} opinions are {known[0]:g}: nothing can be learned from them")
    return opinions if direction == "mos" else known.min() + known.max() - opinions


def weights_from(mos_std: npt.ArrayLike | None, count: int) -> Vector:
    """Weights, with mean 1, of opinions whose raters differed by `mos_std`: 1 / (typical variance + own variance).

    Raises:
        ConfigError: another number of them, or negative ones.
    """
    if mos_std is None:
        return np.ones(count)
    spread = np.asarray(mos_std, dtype=np.float64)
    if spread.shape != (count,) or (spread < 0).any():
        raise ConfigError(f"mos_std must be {count} deviations of 0 or more, one a picture; NaN where unknown")
    typical = float(np.nanmedian(spread)) if np.isfinite(spread).any() else 0.0
    if typical == 0:
        return np.ones(count)
    weights = 1 / (typical**2 + np.where(np.isfinite(spread), spread, typical) ** 2)
    return weights / weights.mean()


def numbered(groups: npt.ArrayLike | None, count: int) -> npt.NDArray[np.intp]:
    """A number for each row, the same for rows of one group.

    Raises:
        ConfigError: another number of them, or fewer than two groups.
    """
    if groups is None:
        return np.arange(count)
    names = np.asarray(groups).astype(str)
    if names.shape != (count,):
        raise ConfigError(f"groups must name one group for each of {count} pictures, found shape {names.shape}")
    group = np.unique(names, return_inverse=True)[1]
    if group.max() < 1:
        raise ConfigError("all pictures are of one group, so that nothing is left to judge a fit by; give others too")
    return group


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
