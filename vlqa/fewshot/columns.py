"""Which columns of a predictor's features a head reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vlqa.errors import ConfigError
from vlqa.fewshot.heads import Matrix, Vector

SCORE = "score"
"""The predictor's own score among the columns."""

_SHARE_OF_SCORE = 0.1
"""Variance of the score among the columns, as a share of the variance of all others together.

With 256 features of `mini-zero` and 25 to 200 labels of clive_train, 0.05 to 0.5 made no difference that could be told
from chance; left as it is, the score drowned in the features.
"""


@dataclass(frozen=True)
class Columns:
    """What a head reads of a row of features.

    Attributes:
        parts: names of feature slices, and perhaps `SCORE`.
        gain: by which the score is multiplied.
    """

    parts: tuple[str, ...]
    gain: float = 1.0

    def of(self, features: Matrix, score: Vector | None, slices: Mapping[str, slice]) -> Matrix:
        """(n, d) columns of features (n, all) and scores (n,), in the order of the parts."""
        read = [features[:, slices[part]] for part in self.parts if part != SCORE]
        if SCORE in self.parts:
            if score is None:
                raise ConfigError("this head reads the predictor's own score, which the predictor cannot give here")
            read.append(self.gain * score[:, None])
        return np.concatenate(read, axis=1)


def balanced(parts: Sequence[str], features: Matrix, score: Vector | None, slices: Mapping[str, slice]) -> Columns:
    """These parts, with a gain by which the score is heard among the features."""
    if SCORE not in parts or len(parts) == 1 or score is None:
        return Columns(tuple(parts))
    others = sum(float(features[:, slices[part]].var(axis=0).sum()) for part in parts if part != SCORE)
    spread = float(score.var())
    return Columns(tuple(parts), float(np.sqrt(_SHARE_OF_SCORE * others / spread)) if spread > 0 else 1.0)


def choices(slices: Mapping[str, slice], scored: bool) -> list[tuple[str, ...]]:
    """The columns a head may read, the most first: all views, each view, both with and without the score."""
    views = [name for name in ("high", "low") if name in slices] or list(slices)
    sets = [tuple(views), *((view,) for view in views if len(views) > 1)]
    return [(*parts, *own) for parts in sets for own in (((SCORE,), ()) if scored else ((),))]
