"""What the choice of words, template and temperature is worth: how much of the spread of agreement each explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError
from vlqa.evaluation import Estimate, bootstrap_columns, column_correlations
from vlqa.fewshot.prompt_lab.factors import MEASURES, Factor, Level, Sensitivity
from vlqa.fewshot.prompt_lab.ranking import estimates
from vlqa.fewshot.prompt_lab.rated import Columns, PairScores, Rated
from vlqa.fewshot.prompt_lab.words import WordLists, Words
from vlqa.predictors.base import ImagePredictor

_MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
_MOST_CELLS = 5000  # a tenth of a second each on a thousand pictures


def prompt_sensitivity(
    predictor: ImagePredictor,
    features: npt.ArrayLike,
    mos: npt.ArrayLike,
    words: Words,
    *,
    temperatures: Sequence[float] | None = None,
    seed: int = 0,
    resamples: int = 200,
) -> Sensitivity:
    """Shares of wording, template and temperature in the variance of agreement over all their combinations.

    All combinations are scored, so that the sums of squares of the factors add up. Their intervals come from resampled
    pictures; with few pictures chance adds to every share but most to "rest".

    Args:
        predictor: a model with a text tower.
        features: (n, d) stored rows of its `embed`; NaN for pictures that failed.
        mos: (n,) opinions, higher is better, on any scale; NaN where unknown.
        words: word lists, their file, or a mapping with its keys.
        temperatures: that divide cosines; ¼ to 4 times that of the lists, or of the model, otherwise.
        seed: decides the resamples.
        resamples: how many.

    Raises:
        ConfigError: too many combinations, words that the model cannot tell apart, temperatures that are not above 0,
            and as `rank_prompts`.
    """
    lists = WordLists.of(words)
    rated = Rated.of(predictor, features, mos)
    own = 1 / rated.view.logit_scale(lists.temperature)
    chosen = [own * multiple for multiple in _MULTIPLES] if temperatures is None else list(temperatures)
    if not chosen or not all(np.isfinite(value) and value > 0 for value in chosen):
        raise ConfigError(f"temperatures must be above 0, found {temperatures}")
    candidates = lists.candidates()
    combinations = len(candidates) * len(chosen)
    if not 2 <= combinations <= _MOST_CELLS:
        raise ConfigError(
            f"{lists.name} and {len(chosen)} temperatures make {combinations} combinations; expected 2 to {_MOST_CELLS}"
        )
    scores = PairScores(rated, [candidate.pair for candidate in candidates])
    pairs = [scores(temperature=temperature) for temperature in chosen]
    shape = (len(lists.templates), len(lists.positive), len(lists.negative))
    means = [columns.reshape(len(rated), shape[0], -1).mean(axis=2) for columns in pairs]
    constant = np.flatnonzero(np.ptp(np.concatenate(pairs, axis=1), axis=0) == 0)
    if constant.size:
        label = candidates[constant[0] % len(candidates)].label
        raise ConfigError(f"{label}: all pictures score alike; use words that {predictor.name} was taught")
    cells = {"srcc": (pairs, "srcc", shape), "plcc": (pairs, "plcc", shape), "mean_srcc": (means, "srcc", shape[:1])}
    shares: dict[str, dict[str, Estimate]] = {}
    points = {}
    for measure, (columns, statistic, form) in cells.items():
        points[measure], shares[measure] = _shares(columns, rated.mos, statistic, form, seed, resamples)
    counts = {
        "positive word": len(lists.positive),
        "negative word": len(lists.negative),
        "words together": 0,
        "template": len(lists.templates),
        "temperature": len(chosen),
        "rest": 0,
    }
    unknown = Estimate(np.nan, np.nan, np.nan)
    return Sensitivity(
        words=lists.name,
        model=predictor.name,
        n=len(rated),
        dropped=rated.dropped,
        combinations=combinations,
        spread={measure: (float(values.min()), float(values.max())) for measure, values in points.items()},
        factors=tuple(
            Factor(name, count, **{measure: shares[measure].get(name, unknown) for measure in MEASURES})
            for name, count in counts.items()
        ),
        levels=_levels(lists, chosen, points),
    )


def _shares(
    columns: Sequence[Columns],
    mos: npt.NDArray[np.float64],
    statistic: Any,
    form: tuple[int, ...],
    seed: int,
    resamples: int,
) -> tuple[Columns, dict[str, Estimate]]:
    """The measure (temperature, template[, positive, negative]), and the share of each factor in its variance."""
    scores = np.concatenate(columns, axis=1)
    point = column_correlations(scores, mos, statistic).reshape(1, len(columns), *form)
    resampled = bootstrap_columns(scores, mos, statistic, seed=seed, resamples=resamples)
    of_point, of_resampled = (_decomposed(values) for values in (point, resampled.reshape(-1, len(columns), *form)))
    return point[0], {name: estimates(of_point[name], of_resampled[name][:, None])[0] for name in of_point}


def _decomposed(values: Columns) -> dict[str, npt.NDArray[np.float64]]:
    """Shares (b,) in the variance of each of b full designs (b, temperature, template[, positive, negative])."""
    axes = tuple(range(1, values.ndim))
    names = ("temperature", "template", "positive word", "negative word")[: len(axes)]

    def explained(*kept: int) -> npt.NDArray[np.float64]:
        means = values.mean(axis=tuple(axis for axis in axes if axis not in kept))
        return means.reshape(len(values), -1).var(axis=1)

    parts = {name: explained(axis) for name, axis in zip(names, axes, strict=True)}
    if values.ndim == 5:
        parts["words together"] = explained(3, 4) - parts["positive word"] - parts["negative word"]
    total = explained(*axes)
    parts["rest"] = total - sum(parts.values())
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: np.where(total > 1e-12, np.clip(part / total, 0, 1), np.nan) for name, part in parts.items()}


def _levels(lists: WordLists, temperatures: Sequence[float], points: dict[str, Columns]) -> tuple[Level, ...]:
    choices = {
        "temperature": [f"{value:.3g}" for value in temperatures],
        "template": lists.templates,
        "positive word": lists.positive,
        "negative word": lists.negative,
    }
    found = []
    for axis, (factor, names) in enumerate(choices.items()):
        means = {
            measure: np.moveaxis(values, axis, 0).reshape(len(names), -1).mean(axis=1) if axis < values.ndim else None
            for measure, values in points.items()
        }
        found += [
            Level(factor, name, *(np.nan if column is None else float(column[row]) for column in means.values()))
            for row, name in enumerate(names)
        ]
    return tuple(found)
