"""Which pictures to have rated: those from which most is learned about the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError
from vlqa.fewshot.heads import Matrix, Vector, squared_distances

_REFERENCES = 2000
_BLOCK = 1024  # pictures compared with the references at once
_ROUNDING = 1e-6  # of a worth of at most 2000: no picture is passed over for it
_SHARE_OF_SCORE = 0.25
"""Variance of the score beside that of all features: pictures of every quality are asked for.

Mean SRCC with 50 labels of clive_train over 20 draws: .697 at 0.1, .706 at 0.25, .696 at 0.5, .683 at 1; random .667.
"""


@dataclass(frozen=True)
class Candidates:
    """Pictures among which one chooses.

    Attributes:
        features: (n, d) of `embed`.
        score: (n,) of the predictor; None where it has none.
        disagreement: (n,) by how much the two views differ, in ranks; None where there is one view.
        kinds: (n,) scene and distortion of each; None where the predictor names none.
        seed: decides what is random.
    """

    features: Matrix
    score: Vector | None = None
    disagreement: Vector | None = None
    kinds: Sequence[tuple[str, str]] | None = None
    seed: int = 0


def facility_location(candidates: Candidates, count: int) -> npt.NDArray[np.intp]:
    """Greedily the pictures that together resemble all others most: Σ_j max_i s(i, j) (Krause and Golovin 2014, §1).

    Of thousands of others a sample. What a picture adds only falls while more are chosen, so that just those whose
    last known worth is above the best's are looked at again (Minoux 1978): similarities are computed in blocks, and
    100 000 pictures take 0.1 GB beside their features.
    """
    x = _with_score(candidates)
    references = x
    if len(x) > _REFERENCES:
        references = x[np.random.default_rng(candidates.seed).permutation(len(x))[:_REFERENCES]]
    typical = np.median(squared_distances(references, references)) or 1.0

    def similar(rows: npt.NDArray[np.intp]) -> Matrix:
        """(rows, references)."""
        return np.exp(-squared_distances(x[rows], references) / (2 * typical))

    every = similar(np.arange(len(x))) if len(x) <= _REFERENCES else None
    served = np.zeros(len(references))
    adds = np.full(len(x), np.inf)  # at most
    chosen: list[int] = []
    for _ in range(count):
        current = np.zeros(len(x), bool)
        best = -np.inf
        while len(rows := _promising(adds, current, best)):
            near = similar(rows) if every is None else every[rows]
            adds[rows] = np.maximum(near, served).sum(axis=1) - served.sum()
            current[rows] = True
            best = max(best, float(adds[rows].max()))
        chosen.append(int(np.where(current, adds, -np.inf).argmax()))
        served = np.maximum(served, similar(np.array(chosen[-1:]))[0])
        adds[chosen[-1]] = -np.inf
    return np.array(chosen)


def _promising(adds: Vector, current: npt.NDArray[np.bool_], best: float) -> npt.NDArray[np.intp]:
    """Rows not looked at in this turn that may add as much as the best, a block of those that may add most."""
    rows = np.flatnonzero(~current & (adds > best - _ROUNDING) & (adds > -np.inf))
    if len(rows) > _BLOCK:
        rows = rows[np.argpartition(-adds[rows], _BLOCK)[:_BLOCK]]
    return rows


def k_centre(candidates: Candidates, count: int) -> npt.NDArray[np.intp]:
    """The middle one, then always the one farthest from all chosen (Gonzalez 1985)."""
    x = _with_score(candidates)
    chosen = [int(squared_distances(x, x.mean(axis=0, keepdims=True)).argmin())]
    apart = np.full(len(x), np.inf)
    while len(chosen) < count:
        apart = np.minimum(apart, squared_distances(x, x[chosen[-1:]])[:, 0])
        apart[chosen] = -np.inf
        chosen.append(int(apart.argmax()))
    return np.array(chosen)


def by_disagreement(candidates: Candidates, count: int) -> npt.NDArray[np.intp]:
    """Those on which the vision-language and the low-level view differ most."""
    if candidates.disagreement is None:
        raise ConfigError(
            "strategy 'disagreement' needs a model of two views that both score; mini and grepq have them"
        )
    return np.argsort(-candidates.disagreement, kind="stable")[:count]


def by_kind(candidates: Candidates, count: int) -> npt.NDArray[np.intp]:
    """As many of each scene and distortion as there are, in turn; within one kind by facility location."""
    if candidates.kinds is None:
        raise ConfigError("strategy 'kinds' needs a model that names scenes and distortions; mini and liqe do")
    x = _with_score(candidates)
    names = np.array(["|".join(kind) for kind in candidates.kinds])
    queues = []
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        own = Candidates(x[rows], seed=candidates.seed)
        queues.append(rows[facility_location(own, min(count, len(rows)))].tolist())
    queues.sort(key=len, reverse=True)
    turns = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    return np.array(turns[:count])


def at_random(candidates: Candidates, count: int) -> npt.NDArray[np.intp]:
    """Any, by the seed."""
    return np.random.default_rng(candidates.seed).permutation(len(candidates.features))[:count]


STRATEGIES: dict[str, Callable[[Candidates, int], npt.NDArray[np.intp]]] = {
    "k-centre": k_centre,
    "facility": facility_location,
    "disagreement": by_disagreement,
    "kinds": by_kind,
    "random": at_random,
}
"""By name; the first is the default, which won on clive_train (`make few-shot`)."""


def select(candidates: Candidates, count: int, strategy: str = "k-centre") -> npt.NDArray[np.intp]:
    """Rows of the pictures to have rated, the most useful first; the same for the same candidates.

    Rows whose features are not finite (pictures that failed) are never chosen.

    Raises:
        ConfigError: an unknown strategy, one that the model cannot serve, or more pictures than there are.
    """
    if strategy not in STRATEGIES:
        raise ConfigError(f"no strategy {strategy!r}; there are {', '.join(STRATEGIES)}")
    usable = np.flatnonzero(np.isfinite(candidates.features).all(axis=1))
    if not 1 <= count <= len(usable):
        raise ConfigError(f"cannot choose {count} of {len(usable)} pictures that could be read")
    kinds = candidates.kinds
    chosen = STRATEGIES[strategy](
        Candidates(
            np.asarray(candidates.features, np.float64)[usable],
            None if candidates.score is None else candidates.score[usable],
            None if candidates.disagreement is None else candidates.disagreement[usable],
            None if kinds is None else [kinds[row] for row in usable.tolist()],
            candidates.seed,
        ),
        count,
    )
    return usable[chosen]


def _with_score(candidates: Candidates) -> Matrix:
    x, score = candidates.features, candidates.score
    if score is None or np.ptp(score) == 0:
        return x
    gain = np.sqrt(_SHARE_OF_SCORE * x.var(axis=0).sum() / score.var())
    return np.column_stack([x, gain * score])


def ranks_apart(scores: Sequence[tuple[float | None, float | None]]) -> Vector | None:
    """By how much two scores of each picture differ in rank, in [0, 1]; None where there are not two.

    Pictures that failed, which have neither, count as 0.
    """
    from scipy.stats import rankdata

    known = np.array([None not in pair for pair in scores], bool)
    if not known.any():
        return None
    values = np.array([pair for pair, both in zip(scores, known, strict=True) if both], np.float64)
    ranks = rankdata(values, axis=0) / len(values)
    apart = np.zeros(len(scores))
    apart[known] = np.abs(ranks[:, 0] - ranks[:, 1])
    return apart
