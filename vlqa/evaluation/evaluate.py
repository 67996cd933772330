"""The table that papers print: four correlations and an error, each with its interval."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError
from vlqa.evaluation.correlations import krcc, paired, plcc, rmse, srcc, vectors
from vlqa.evaluation.intervals import bootstrap_interval
from vlqa.evaluation.mapping import ScoreMapping, fit_logistic


class Estimate(NamedTuple):
    """A statistic with its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluation:
    """How well scores agree with opinions.

    Attributes:
        n: pairs compared.
        dropped: pairs left out because the score is NaN or infinite (an image that failed).
        srcc: Spearman's rank correlation.
        plcc: Pearson's correlation of the scores as they are.
        plcc_logistic: Pearson's correlation after the logistic of four parameters.
        krcc: Kendall's τ_b.
        rmse: root mean squared error after the mapping, in units of the opinions.
        mapping: "linear" where no logistic was better than a line.
    """

    n: int
    dropped: int
    srcc: Estimate
    plcc: Estimate
    plcc_logistic: Estimate
    krcc: Estimate
    rmse: Estimate
    mapping: Literal["logistic", "linear"]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: each statistic as {"value", "low", "high"}; null where an interval is undefined."""
        record = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, value in record.items():
            if isinstance(value, Estimate):
                record[name] = {key: part if np.isfinite(part) else None for key, part in value._asdict().items()}
        return record


_LARGEST = 1e100


def evaluate_scores(
    scores: npt.ArrayLike,
    mos: npt.ArrayLike,
    seed: int = 0,
    resamples: int = 1000,
    *,
    mapping: ScoreMapping | None = None,
) -> Evaluation:
    """Compare scores with opinions.

    Intervals hold 95 % of the bootstrap values. The logistic is fitted once on all pairs, to the pairs it is judged on
    as the literature does, and kept over the resamples; `mapping` is one fitted on other pairs, such as those a model
    was trained on, and gives PLCC and RMSE that a user would meet.

    Args:
        scores: (n,) predictions, higher is better; NaN for images that failed.
        mos: (n,) opinions, higher is better.
        seed: decides the resamples.
        resamples: how many bootstrap resamples.
        mapping: what brings scores onto the scale of opinions; fitted here when left out.

    Raises:
        ConfigError: lengths that differ, opinions that are no numbers, fewer than 3 scores left, or a constant side.
    """
    predicted, opinions = vectors(scores, mos)
    scored = np.isfinite(predicted)
    dropped = int((~scored).sum())
    if scored.sum() < 3:
        raise ConfigError(f"at least 3 scored images are needed, found {scored.sum()} ({dropped} have no score)")
    x, y = paired(predicted[scored], opinions[scored])
    if np.abs(y).max() > _LARGEST:
        raise ConfigError(f"opinions up to {np.abs(y).max():g} overflow in squares; check the column, or scale it")
    mapping = fit_logistic(x, y) if mapping is None else mapping
    mapped = mapping(x)
    flat = np.ptp(mapped) <= 1e-12 * np.abs(y).max()  # scores without any trend map to one opinion

    def estimate(statistic: Literal["srcc", "plcc", "krcc", "rmse"], x: npt.NDArray[np.float64]) -> Estimate:
        value = {"srcc": srcc, "plcc": plcc, "krcc": krcc, "rmse": rmse}[statistic](x, y)
        return Estimate(value, *bootstrap_interval(x, y, statistic, seed=seed, resamples=resamples))

    return Evaluation(
        n=len(x),
        dropped=dropped,
        srcc=estimate("srcc", x),
        plcc=estimate("plcc", x),
        plcc_logistic=Estimate(0.0, np.nan, np.nan) if flat else estimate("plcc", mapped),
        krcc=estimate("krcc", x),
        rmse=estimate("rmse", mapped),
        mapping=mapping.kind,
    )
