"""Opinions from choices between two pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vlqa.errors import ConfigError
from vlqa.evaluation import group_folds
from vlqa.fewshot.columns import Columns, choices
from vlqa.fewshot.fitted import Fitted, Reader
from vlqa.fewshot.heads import LinearHead, Matrix, Vector
from vlqa.fewshot.strangers import Strangers

_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_FOLDS = 5
_PARTS = 10  # of the pictures
_WINS = {"a": 1.0, "b": 0.0, "tie": 0.5}


def wins(preferred: npt.ArrayLike) -> Vector:
    """1 where a was preferred, 0 where b, ½ for a tie.

    Raises:
        ConfigError: another word.
    """
    words = [str(word).strip().lower() for word in np.asarray(preferred).ravel()]
    if strange := next((word for word in words if word not in _WINS), None):
        raise ConfigError(f"preferred must be a, b or tie, found {strange!r}")
    return np.array([_WINS[word] for word in words])


def fit_worth(first: Matrix, second: Matrix, won: Vector, seed: int) -> tuple[LinearHead, float]:
    """Bradley and Terry's model with a linear worth: P(a over b) = σ(w·(x_a − x_b)).

    "Rank analysis of incomplete block designs", Biometrika 1952; a tie counts as half of a win each. The penalty on w
    is chosen by the likelihood of pairs left out; choices between the same two pictures are left out together. How well
    the worth orders new pictures is judged by heads that saw neither picture of a pair, see `_unseen_margins`.

    Args:
        first: (n, d) features of the a of each pair.
        second: (n, d) of the b.
        won: (n,) from `wins`.
        seed: decides the folds.

    Returns:
        The worth, of no fixed origin, and the share of decided pairs left out that it orders as people did; NaN where
        every pair shares a picture with all that could be learned from.

    Raises:
        ConfigError: fewer than 5 pairs, all of the same two pictures, or of pictures that do not differ.
    """
    if len(won) < _FOLDS:
        raise ConfigError(f"at least {_FOLDS} pairs are needed to fit preferences, found {len(won)}")
    gap = first - second
    size = np.sqrt(np.square(gap).sum(axis=1).mean())
    if not size > 0:
        raise ConfigError("the two pictures of every pair have the same features; compare different pictures")
    picture = np.unique(np.concatenate([first, second]), axis=0, return_inverse=True)[1].reshape(2, -1)
    pair = np.unique(np.sort(picture, axis=0), axis=1, return_inverse=True)[1].reshape(-1)
    if pair.max() < 1:
        raise ConfigError(f"all {len(won)} choices are between the same two pictures; compare others too")
    fold = group_folds(pair, min(_FOLDS, int(pair.max()) + 1), seed)
    losses = []
    for penalty in _PENALTIES:
        margin = np.empty_like(won)
        for number in range(fold.max() + 1):
            chosen = fold != number
            margin[~chosen] = gap[~chosen] @ _worth(gap[chosen], won[chosen], penalty, size)
        losses.append(np.mean(np.logaddexp(0, margin) - won * margin))
    penalty = _PENALTIES[int(np.argmin(losses))]
    margin = _unseen_margins(gap, won, picture, lambda gaps, wins: _worth(gaps, wins, penalty, size), seed)
    judged = np.isfinite(margin) & (won != 0.5)
    right = float(np.mean((margin[judged] > 0) == (won[judged] > 0.5))) if judged.any() else np.nan
    return LinearHead(_worth(gap, won, penalty, size), 0.0), right


def fit_choices(
    pairs: Sequence[Matrix], won: Vector, scores: Vector | None, slices: Mapping[str, slice], seed: int
) -> tuple[Fitted, float]:
    """What a few-shot predictor learns from choices, and the share of pairs left out that it orders as people did.

    Scores get the mean and deviation of the predictor's own ones on these pictures, 0 and 1 where it has none.

    Args:
        pairs: features (n, all) of the a and of the b of each pair.
        won: (n,) from `wins`.
        scores: (2n,) of the predictor for all a, then all b.
        slices: of the features.
        seed: decides the folds.
    """
    columns = Columns(choices(slices, scored=False)[0])
    first, second = (columns.of(part, None, slices) for part in pairs)
    worth, right = fit_worth(first, second, won, seed)
    told = worth(np.concatenate([first, second]))
    centre, spread = (0.0, 1.0) if scores is None else (float(scores.mean()), float(scores.std()))
    if not told.std() > 1e-9 * np.abs(first - second).max():  # of a worth that is nothing but rounding
        raise ConfigError("the choices prefer no picture: ties, or as many for a as for b; compare others too")
    gain = spread / float(told.std())
    head = LinearHead(gain * worth.coefficients, centre - gain * float(told.mean()))
    strangers = Strangers.of(np.unique(np.concatenate(pairs), axis=0), seed)
    return Fitted("preference", Reader(columns, head), None, strangers, (-3.0, 3.0), len(won)), right


def _unseen_margins(
    gap: Matrix, won: Vector, picture: npt.NDArray[np.intp], fit: Callable[[Matrix, Vector], Vector], seed: int
) -> Vector:
    """(n,) what heads that saw neither picture of a pair say of it; NaN where no other pair is without both.

    Pictures are parted into ten; a pair of pictures of two parts is left to a head fitted on the pairs that have no
    picture in either. Pictures that pairs connect stay in one part where they are few, so that disjoint pairs are
    judged by tenfold cross-validation. Of 300 simulated choices among 60 pictures, folds of pairs alone, whose heads
    know each picture from other pairs, told 0.05 more agreement than there was on new pictures, these 0.00.

    Args:
        gap: (n, d) features of a less those of b.
        won: (n,) from `wins`.
        picture: (2, n) numbers of a and b.
        fit: coefficients from some of the pairs.
        seed: decides the parts.
    """
    count = int(picture.max()) + 1
    edges = coo_array((np.ones(len(won)), tuple(picture)), shape=(count, count))
    together = connected_components(edges, directed=False)[1]
    few = np.bincount(together)[together] * _PARTS <= count
    together = np.where(few, together, count + np.arange(count))
    part = group_folds(together, min(_PARTS, len(np.unique(together))), seed)
    parts = np.sort(part[picture], axis=0)
    margin = np.full(len(won), np.nan)
    for both in np.unique(parts, axis=1).T:
        inside, unseen = (parts == both[:, None]).all(axis=0), ~np.isin(parts, both).any(axis=0)
        if unseen.any():
            margin[inside] = gap[inside] @ fit(gap[unseen], won[unseen])
    return margin


def _worth(gap: Matrix, won: Vector, penalty: float, size: float) -> Vector:
    """Coefficients of a logistic regression without intercept; each pair from both sides."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=penalty, fit_intercept=False, max_iter=1000)
    both = np.concatenate([gap, gap]) / size
    model.fit(both, np.repeat([1, 0], len(gap)), sample_weight=np.maximum(np.concatenate([won, 1 - won]), 1e-12))
    return model.coef_[0] / size
