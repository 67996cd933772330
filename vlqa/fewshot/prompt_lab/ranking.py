"""Which pair of sentences agrees best with opinions, and which of the others are told apart from it."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vlqa.errors import ConfigError, TextWarning, did_you_mean
from vlqa.evaluation import (
    Estimate,
    bootstrap_columns,
    column_correlations,
    difference_p_values,
    holm,
    percentiles,
)
from vlqa.fewshot.prompt_lab.rated import PairScores, Rated, flat, plain
from vlqa.predictors.base import ImagePredictor
from vlqa.prompts import Prompts, PromptSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVEL = 0.05
"""Corrected p-value below which two pairs count as told apart."""


@dataclass(frozen=True)
class RankedPrompt:
    """A pair of opposite sentences, or the mean of all pairs, against opinions.

    Attributes:
        label: its name.
        positive: the sentence of good pictures; empty for the mean.
        negative: the sentence of bad ones; empty for the mean.
        srcc: Spearman's rank correlation with its 95 % interval; NaN where every picture gets the same score.
        plcc: Pearson's correlation of the probabilities as they are.
        difference: of the SRCC to the reference's.
        p: of this difference, two-sided; NaN for the reference.
        p_holm: corrected for the number of pairs.
    """

    label: str
    positive: str
    negative: str
    srcc: Estimate
    plcc: Estimate
    difference: Estimate
    p: float
    p_holm: float


@dataclass(frozen=True)
class PromptRanking:
    """The pairs of a prompt file and the mean of all, the best first.

    A test against the best of many, which luck helped to choose, finds too many differences; one against a pair that
    was named beforehand does not.

    Attributes:
        prompts: name of the prompt set.
        model: whose features and sentences.
        n: pictures compared.
        dropped: pictures without features or opinion.
        reference: label of what the others are compared with.
        rows: by SRCC, falling; what has none comes last.
    """

    prompts: str
    model: str
    n: int
    dropped: int
    reference: str
    rows: tuple[RankedPrompt, ...]

    def table(self) -> list[dict[str, Any]]:
        """One flat record a row, as pandas.DataFrame takes them."""
        return [
            {"label": row.label, "positive": row.positive, "negative": row.negative}
            | {
                key: part
                for name in ("srcc", "plcc", "difference")
                for key, part in flat(name, getattr(row, name)).items()
            }
            | {"p": plain(row.p), "p_holm": plain(row.p_holm)}
            for row in self.rows
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; null where something is undefined."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        rows = [{field.name: getattr(row, field.name) for field in dataclasses.fields(row)} for row in self.rows]
        return plain(fields | {"rows": rows})

    def plot(self, axes: Axes, most: int = 30) -> None:
        """Draw SRCC with intervals, and PLCC, of the best pairs.

        Args:
            axes: of matplotlib.
            most: rows shown.
        """
        shown = [row for row in self.rows if np.isfinite(row.srcc.value)][:most]
        for place, row in enumerate(shown):
            apart = row.p_holm < LEVEL
            colour = "black" if row.label == self.reference else "tab:gray" if apart else "tab:blue"
            low, high = max(0, row.srcc.value - row.srcc.low), max(0, row.srcc.high - row.srcc.value)
            axes.errorbar(row.srcc.value, place, xerr=[[low], [high]], fmt="o", color=colour, capsize=2)
            axes.plot(row.plcc.value, place, "d", color=colour, fillstyle="none", markersize=5)
        axes.set_yticks(range(len(shown)), [row.label for row in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.axvline(0, color="lightgray", zorder=0)
        axes.set_xlabel("SRCC with 95 % interval (dot), PLCC (diamond)")
        more = f", best {len(shown)} of {len(self.rows)}" if len(shown) < len(self.rows) else ""
        axes.set_title(f"{self.prompts} on {self.n} pictures, {self.model}{more}")
        legend = (
            ("black", "reference"),
            ("tab:blue", "not told apart from it"),
            ("tab:gray", "told apart (Holm, 5 %)"),
        )
        for colour, text in legend:
            axes.plot([], [], "o", color=colour, label=text)
        axes.legend(loc="best", fontsize="small")


def rank_prompts(
    predictor: ImagePredictor,
    features: npt.ArrayLike,
    mos: npt.ArrayLike,
    prompts: Prompts,
    *,
    against: str = "best",
    seed: int = 0,
    resamples: int = 1000,
) -> PromptRanking:
    """Score every pair of a prompt set, and the mean of all, against opinions.

    All are compared on the same bootstrap resamples of the pictures.

    Args:
        predictor: a model with a text tower.
        features: (n, d) stored rows of its `embed`; NaN for pictures that failed.
        mos: (n,) opinions, higher is better, on any scale; NaN where unknown.
        prompts: pairs of opposite sentences: a PromptSet, a bundled name, a path, or a list of pairs.
        against: what the others are tested against: "best", "first" (pair of the set), or the name of a pair.
        seed: decides the resamples.
        resamples: how many.

    Raises:
        ConfigError: joint prompts, fewer than 10 usable pictures, opinions that are all the same, or pairs of which
            none tells pictures apart.
    """
    chosen = PromptSet.of(prompts)
    if chosen.kind == "joint":
        raise ConfigError(f"prompts {chosen.name!r} are of kind joint; pairs of opposite sentences can be ranked")
    rated = Rated.of(predictor, features, mos)
    labels = list(chosen.pair_labels)
    scores = PairScores(rated, chosen.pairs)(temperature=chosen.temperature)
    if len(labels) > 1:
        labels.append(f"mean of all {len(labels)}")
        scores = np.column_stack([scores, scores.mean(axis=1)])
    srcc, plcc = column_correlations(scores, rated.mos), column_correlations(scores, rated.mos, "plcc")
    _warn_of_constants(chosen, srcc, predictor.name)
    reference = _reference(against, labels, srcc)
    resampled = bootstrap_columns(scores, rated.mos, seed=seed, resamples=resamples)
    differences = resampled - resampled[:, [reference]]
    p_values = difference_p_values(srcc - srcc[reference], differences)
    p_values[reference] = np.nan
    of_plcc = bootstrap_columns(scores, rated.mos, "plcc", seed=seed, resamples=resamples)
    columns = [
        estimates(srcc, resampled),
        estimates(plcc, of_plcc),
        estimates(srcc - srcc[reference], differences),
        p_values.tolist(),
        holm(p_values).tolist(),
    ]
    sentences = [*chosen.pairs, ("", "")]
    rows = [RankedPrompt(labels[k], *sentences[k], *(column[k] for column in columns)) for k in range(len(labels))]
    rows.sort(key=lambda row: -np.inf if np.isnan(row.srcc.value) else row.srcc.value, reverse=True)
    if not rows[0].srcc.low > 0:
        value, low, high = rows[0].srcc
        warnings.warn(
            f"no pair of {chosen.name} agrees with these opinions for certain: the best SRCC is {value:.3f} "
            f"({low:.3f} … {high:.3f}); check that higher is better in mos",
            UserWarning,
            stacklevel=2,
        )
    return PromptRanking(chosen.name, predictor.name, len(rated), rated.dropped, labels[reference], tuple(rows))


def estimates(values: npt.NDArray[np.float64], resampled: npt.NDArray[np.float64]) -> list[Estimate]:
    """Each value with the 95 % interval of its column of resampled values."""
    low, high = percentiles(resampled)
    return [Estimate(*row) for row in zip(values.tolist(), low.tolist(), high.tolist(), strict=True)]


def _reference(against: str, labels: list[str], srcc: npt.NDArray[np.float64]) -> int:
    if against == "best":
        return int(np.nanargmax(srcc))
    if against != "first" and against not in labels:
        hint = (
            did_you_mean(against, labels)
            or f"; there are best, first, {', '.join(labels[:10])}{', …' if len(labels) > 10 else ''}"
        )
        raise ConfigError(f"no pair is called {against!r}{hint}")
    number = 0 if against == "first" else labels.index(against)
    if np.isnan(srcc[number]):
        raise ConfigError(f"{labels[number]!r} gives every picture the same score; compare with another pair")
    return number


def _warn_of_constants(prompts: PromptSet, srcc: npt.NDArray[np.float64], model: str) -> None:
    constant = [label for label, value in zip(prompts.pair_labels, srcc, strict=False) if np.isnan(value)]
    if len(constant) == len(prompts.pairs):
        raise ConfigError(f"{model} tells no picture from another by prompts {prompts.name!r}: both sides say the same")
    if constant:
        listed = ", ".join(map(repr, constant[:5])) + (", …" if len(constant) > 5 else "")
        message = f"both sentences say the same to {model}, so that all pictures score alike: {listed}"
        warnings.warn(message, TextWarning, stacklevel=3)
