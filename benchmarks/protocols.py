"""What is measured of few labels: agreement on splits, strategies of labelling, coverage of intervals, time to fit.

Nothing is printed here and no picture is opened; every function gives plain data for JSON.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from learners import Array, Learner, Rows
from scipy import stats

from vlqa.evaluation import (
    Difference,
    evaluate_scores,
    fit_logistic,
    paired_differences,
    plcc,
    repeated_splits,
    split_differences,
    srcc,
)
from vlqa.fewshot.selection import STRATEGIES, select

Splits = Sequence[tuple[Rows, Rows]]
ZERO_SHOT = "zero-shot"


def agreement(learners: Sequence[Learner], mos: Array, splits: Splits, groups: Sequence[str] | None) -> dict[str, Any]:
    """Correlations of each learner on the test pictures of each split, and its difference to the first.

    PLCC is taken as it is, and after the logistic of four parameters fitted on the labels of the split alone: on what
    fits without each label say of it. A learner with a score of its own is shown without any label as well.
    """
    scores: dict[str, Array] = {}
    table: dict[str, Any] = {}
    for learner in learners:
        shape = (len(splits), len(mos))
        fitted, mapped, heads = np.full(shape, np.nan), np.full(shape, np.nan), []
        for number, (rows, test) in enumerate(splits):
            learned = learner.fit(rows, mos, groups)
            heads.append(learned.head)
            fitted[number, test] = learned.predict(learner.features[test])
            mapped[number, test] = _mapped(learned.held_out, mos[rows], fitted[number, test])
        scores[learner.name] = fitted
        table[learner.name] = _row(fitted, mapped, mos, splits) | {"heads": dict(Counter(heads))}
        if learner.score is not None:
            name = f"{learner.name.split(',')[0]}, {ZERO_SHOT}"
            if name in table:
                continue
            own, mapped = np.full(shape, np.nan), np.full(shape, np.nan)
            for number, (rows, test) in enumerate(splits):
                own[number, test] = learner.score[test]
                mapped[number, test] = _mapped(learner.score[rows], mos[rows], learner.score[test])
            scores[name] = own
            table[name] = _row(own, mapped, mos, splits)
    first, *others = scores
    if others:
        found = _differences([scores[name] for name in others], scores[first], mos, splits)
        for name, difference in zip(others, found, strict=True):
            table[name]["difference"] = difference._asdict()
    return table


def _mapped(held_out: Array, mos: Array, scores: Array) -> Array:
    """Scores on the scale of opinions; as they are where labels show no trend."""
    return scores if np.ptp(held_out) == 0 else fit_logistic(held_out, mos)(scores)


def _row(scores: Array, mapped: Array, mos: Array, splits: Splits) -> dict[str, Any]:
    if len(splits) == 1:  # intervals over pictures, for there are no quartiles over splits
        test = splits[0][1]
        found = evaluate_scores(scores[0, test], mos[test]).as_dict()
        row = {name: [found[name][key] for key in ("value", "low", "high")] for name in ("srcc", "plcc")}
    else:
        row = {
            name: np.quantile(_of_splits(measure, scores, mos, splits), [0.5, 0.25, 0.75]).tolist()
            for name, measure in (("srcc", srcc), ("plcc", plcc))
        }
    return row | {"plcc_logistic": float(np.median(_of_splits(plcc, mapped, mos, splits)))}


def _of_splits(measure: Any, scores: Array, mos: Array, splits: Splits) -> list[float]:
    values = zip(scores, splits, strict=True)
    return [measure(row[test], mos[test]) if np.ptp(row[test]) > 0 else 0.0 for row, (_, test) in values]


def _differences(others: list[Array], first: Array, mos: Array, splits: Splits) -> list[Difference]:
    """Of the first less each other, positive where the first is better."""
    if len(splits) == 1:
        test = splits[0][1]
        columns = np.stack([other[0, test] for other in others], axis=1)
        found = paired_differences(columns, first[0, test], mos[test])
    else:
        found = split_differences(np.stack(others), first, mos)
    return [Difference(-each.value, -each.high, -each.low, each.p_value, each.corrected) for each in found]


def selection(
    learner: Learner, mos: Array, counts: Sequence[int], repeats: int, groups: Sequence[str] | None
) -> dict[str, Any]:
    """SRCC by strategy and count of labels, chosen among two thirds of the pictures, tested on the last third.

    Pool and test are the same for all strategies of a repeat; the difference to random is paired, its 95 % interval is
    Student's over the repeats: it tells what to expect of other draws from these pictures.
    """
    splits = list(repeated_splits(len(mos) if groups is None else groups, 2 / 3, repeats))
    served = [name for name in STRATEGIES if name not in _unserved(learner)]
    found = {name: np.zeros((len(counts), repeats)) for name in served}
    for repeat, (pool, test) in enumerate(splits):
        candidates = learner.candidates(pool, repeat)
        for place, count in enumerate(counts):
            for name in served:
                chosen = pool[select(candidates, count, name)]
                predicted = learner.fit(chosen, mos, groups).predict(learner.features[test])
                found[name][place, repeat] = srcc(predicted, mos[test]) if np.ptp(predicted) > 0 else 0.0
    own = [] if learner.score is None else [srcc(learner.score[test], mos[test]) for _, test in splits]
    return {
        "labels": list(counts),
        "strategies": {
            name: {
                "median": np.median(values, axis=1).tolist(),
                "mean": values.mean(axis=1).tolist(),
                "quartiles": np.quantile(values, [0.25, 0.75], axis=1).T.tolist(),
                "above_random": [_mean_interval(row) for row in values - found["random"]],
            }
            for name, values in found.items()
        },
        ZERO_SHOT: float(np.median(own)) if own else None,
    }


def _unserved(learner: Learner) -> set[str]:
    return {name for name, missing in (("disagreement", learner.views), ("kinds", learner.kinds)) if missing is None}


def _mean_interval(values: Array) -> list[float]:
    """Mean, and its 95 % interval."""
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return [float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)]


def coverage(learner: Learner, mos: Array, count: int, repeats: int, promised: float = 0.9) -> dict[str, Any]:
    """How often intervals hold the opinion of other pictures, and how wide they are, over splits."""
    held, width = np.zeros(repeats), np.zeros(repeats)
    for repeat, (rows, test) in enumerate(repeated_splits(len(mos), count, repeats, seed=1)):
        learned = learner.fit(rows, mos)
        assert learned.interval is not None
        ends = learned.interval(learner.features[test], promised)
        held[repeat] = np.mean((ends[:, 0] <= mos[test]) & (mos[test] <= ends[:, 1]))
        width[repeat] = np.mean(ends[:, 1] - ends[:, 0])
    return {
        "splits": repeats,
        "promised": promised,
        "mean": float(held.mean()),
        "of splits": np.quantile(held, [0.05, 0.95]).tolist(),
        "width": float(width.mean()),
        "width of a constant": float(np.diff(np.quantile(mos, [(1 - promised) / 2, (1 + promised) / 2]))[0]),
    }


def fit_times(learner: Learner, mos: Array, counts: Sequence[int], repeats: int) -> dict[str, Any]:
    """Seconds to fit with intervals, on features that are there: median and fastest of several, and processor time.

    More labels than there are pictures are drawn with replacement, features and opinions a little moved.
    """
    generator = np.random.default_rng(0)
    times = {}
    for count in counts:
        wall, processor = [], []
        for _ in range(repeats if count <= 200 else max(1, repeats // 2)):
            rows = generator.choice(len(mos), count, replace=count > len(mos))
            moved = learner.features[rows] + 0.01 * learner.features.std(axis=0) * generator.normal(
                size=(count, learner.features.shape[1])
            )
            opinions = mos[rows] + 0.01 * mos.std() * generator.normal(size=count)
            again = Learner(learner.name, learner.head, moved, learner.predictor)
            start = time.perf_counter(), time.process_time()
            again.fit(np.arange(count), opinions)
            wall.append(time.perf_counter() - start[0])
            processor.append(time.process_time() - start[1])
        times[str(count)] = {"median": float(np.median(wall)), "fastest": min(wall), "cpu": float(np.median(processor))}
    return times
