"""Search for sentences that agree with opinions, and an honest account of how much of that is luck."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError, TextWarning
from vlqa.evaluation import Estimate, bootstrap_columns, column_correlations, difference_p_values, group_folds
from vlqa.fewshot.prompt_lab.found import Contender, SearchResult
from vlqa.fewshot.prompt_lab.ranking import estimates
from vlqa.fewshot.prompt_lab.rated import FEWEST, Columns, PairScores, Rated
from vlqa.fewshot.prompt_lab.words import Candidate, WordLists, Words
from vlqa.predictors.base import ImagePredictor
from vlqa.prompts import PromptSet

_QUARTERS = {"train": (0, 1), "dev": (2,), "test": (3,)}
_GAIN = 0.001  # of SRCC on dev that a further pair must bring; less is noise at any number of pictures

Rows = npt.NDArray[np.intp]


def search_prompts(
    predictor: ImagePredictor,
    features: npt.ArrayLike,
    mos: npt.ArrayLike,
    words: Words,
    *,
    groups: Sequence[Any] | None = None,
    keep: int = 20,
    most_pairs: int = 5,
    seed: int = 0,
    resamples: int = 1000,
) -> SearchResult:
    """Find the pair, or the mean of a few pairs, that agrees best with opinions.

    Pictures are divided by groups into train (half), dev and test (a quarter each). All pairs of the lists are ranked
    by their SRCC on train; the best are ranked again on dev, where pairs are added to the best one as long as the mean
    gains; test, which chose nothing, tells what the winner is worth. One part may be easier than another by chance: the
    model's own prompts, which nothing was fitted for here, show by how much.

    Args:
        predictor: a model with a text tower.
        features: (n, d) stored rows of its `embed`; NaN for pictures that failed.
        mos: (n,) opinions, higher is better, on any scale; NaN where unknown.
        words: word lists, their file, or a mapping with its keys.
        groups: (n,) names of what must not be divided, such as versions of one photograph.
        keep: candidates that go from train to dev.
        most_pairs: largest number of pairs in a mean.
        seed: decides the division and the resamples.
        resamples: of the intervals on test.

    Raises:
        ConfigError: fewer than 10 usable pictures in a part, opinions that are all the same, or no candidate that
            rises with the opinions.
    """
    if keep < 1 or most_pairs < 1:
        raise ConfigError(f"expected keep ≥ 1 and most_pairs ≥ 1, found {keep} and {most_pairs}")
    lists = WordLists.of(words)
    rated = Rated.of(predictor, features, mos, fewest=4 * FEWEST)
    parts = _parts(rated, groups, seed)
    candidates = lists.candidates()
    scores = PairScores(rated, [candidate.pair for candidate in candidates])
    on_train = _ranked(scores, rated, parts["train"], lists, predictor.name)
    best = np.argsort(-np.where(np.isnan(on_train), -np.inf, on_train), kind="stable")[:keep]
    best = best[on_train[best] > 0]
    if not best.size:
        highest = np.nanmax(on_train)
        raise ConfigError(
            f"no candidate of {lists.name} rises with the opinions (best SRCC {highest:.3f} on train); "
            "check that higher is better in mos, and which side the words stand on"
        )
    columns = scores(best, temperature=lists.temperature)
    on_dev = _correlations(columns, rated, parts["dev"])
    order = np.argsort(-on_dev, kind="stable")
    chosen = _grown(columns, rated, parts["dev"], int(order[0]), most_pairs)
    groups_of_pairs = [chosen[:1]] + ([chosen] if len(chosen) > 1 else [])
    own = rated.view.predict_features(rated.features)
    compared = np.column_stack([*(columns[:, pairs].mean(axis=1) for pairs in groups_of_pairs), own])
    labels = [candidates[best[chosen[0]]].label, f"mean of {len(chosen)} pairs"][: len(groups_of_pairs)]
    sentences = [tuple(candidates[best[pair]].pair for pair in pairs) for pairs in groups_of_pairs]
    contenders, gain, p = _judged(
        compared, [*labels, f"own prompts, {rated.view.prompts.name}"], [*sentences, ()], rated, parts, seed, resamples
    )
    winner = contenders[-2]
    told = [candidates[best[pair]] for pair in groups_of_pairs[-1]]
    kept = ((candidates[best[k]].label, float(on_train[best[k]]), float(on_dev[k])) for k in order)
    return SearchResult(
        words=lists.name,
        model=predictor.name,
        pictures={name: len(rows) for name, rows in parts.items()},
        dropped=rated.dropped,
        candidates=len(candidates),
        kept=tuple(kept),
        contenders=contenders,
        prompts=_prompts(lists, told, winner, parts, len(candidates)),
        gain=gain,
        p=p,
    )


def _parts(rated: Rated, groups: Sequence[Any] | None, seed: int) -> dict[str, Rows]:
    if groups is None:
        fold = group_folds(len(rated), 4, seed)
    else:
        if len(groups) != len(rated) + rated.dropped:
            raise ConfigError(f"expected one group for each of {len(rated) + rated.dropped} rows, got {len(groups)}")
        names = [str(groups[row]) for row in rated.rows]
        if len(set(names)) < 4:
            raise ConfigError(f"four groups or more are needed for train, dev and test, found {len(set(names))}")
        fold = group_folds(names, 4, seed)
    parts = {name: np.flatnonzero(np.isin(fold, quarters)) for name, quarters in _QUARTERS.items()}
    for name, rows in parts.items():
        if len(rows) < FEWEST:
            raise ConfigError(f"at least {FEWEST} pictures are needed in each part, {name} has {len(rows)}")
        if np.ptp(rated.mos[rows]) == 0:
            raise ConfigError(f"all {len(rows)} opinions of {name} are {rated.mos[rows[0]]:g}; try another seed")
    return parts


def _ranked(scores: PairScores, rated: Rated, rows: Rows, lists: WordLists, model: str) -> npt.NDArray[np.float64]:
    """SRCC of every candidate on some rows."""
    found = np.empty(len(scores))
    for pairs, columns in scores.in_blocks(rows, lists.temperature):
        found[pairs] = column_correlations(columns, rated.mos[rows])
    constant = int(np.isnan(found).sum())
    if constant == len(found):
        raise ConfigError(f"{model} tells no picture from another by any pair of {lists.name}; use words it was taught")
    if constant:
        message = f"both sentences of {constant} of {len(found)} pairs say the same to {model}; they are left out"
        warnings.warn(message, TextWarning, stacklevel=3)
    return found


def _correlations(columns: Columns, rated: Rated, rows: Rows) -> npt.NDArray[np.float64]:
    """SRCC of each column on some rows; −1 where it is constant there."""
    return np.nan_to_num(column_correlations(columns[rows], rated.mos[rows]), nan=-1.0)


def _grown(columns: Columns, rated: Rated, rows: Rows, first: int, most: int) -> list[int]:
    """Columns whose mean agrees best on some rows, added one by one to a first one as long as it gains."""
    chosen = [first]
    reached = _correlations(columns[:, chosen], rated, rows)[0]
    while len(chosen) < min(most, columns.shape[1]):
        others = [column for column in range(columns.shape[1]) if column not in chosen]
        means = (columns[:, chosen].sum(axis=1, keepdims=True) + columns[:, others]) / (len(chosen) + 1)
        found = _correlations(means, rated, rows)
        if found.max() < reached + _GAIN:
            break
        reached = found.max()
        chosen.append(others[int(found.argmax())])
    return chosen


def _judged(
    columns: Columns,
    labels: Sequence[str],
    pairs: Sequence[tuple[tuple[str, str], ...]],
    rated: Rated,
    parts: dict[str, Rows],
    seed: int,
    resamples: int,
) -> tuple[tuple[Contender, ...], Estimate, float]:
    """The contenders, and by how much the last but one exceeds the last on test."""
    points = {name: column_correlations(columns[rows], rated.mos[rows]) for name, rows in parts.items()}
    test = parts["test"]
    plcc = column_correlations(columns[test], rated.mos[test], "plcc")
    resampled, of_plcc = (
        bootstrap_columns(columns[test], rated.mos[test], name, seed=seed, resamples=resamples)
        for name in ("srcc", "plcc")
    )
    contenders = tuple(
        Contender(*row)
        for row in zip(
            labels,
            pairs,
            points["train"].tolist(),
            points["dev"].tolist(),
            estimates(points["test"], resampled),
            estimates(plcc, of_plcc),
            strict=True,
        )
    )
    gain = points["test"][[-2]] - points["test"][[-1]]
    differences = resampled[:, [-2]] - resampled[:, [-1]]
    return contenders, estimates(gain, differences)[0], float(difference_p_values(gain, differences)[0])


def _prompts(
    lists: WordLists, told: Sequence[Candidate], winner: Contender, parts: dict[str, Rows], count: int
) -> PromptSet:
    value, low, high = winner.test
    sizes = "/".join(str(len(rows)) for rows in parts.values())
    found = f"found among {count} pairs on {sizes} pictures; SRCC on test {value:.3f} ({low:.3f} … {high:.3f})"
    document: dict[str, Any] = {
        "kind": "antonyms" if len(told) == 1 else "ensemble",
        "name": lists.name,
        "description": found,
        "pairs": {candidate.label: list(candidate.pair) for candidate in told},
    }
    if lists.temperature is not None:
        document["temperature"] = lists.temperature
    return PromptSet.from_dict(document)
