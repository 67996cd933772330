"""Shares of the choices one makes in how well sentences agree with opinions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlqa.evaluation import Estimate
from vlqa.fewshot.prompt_lab.rated import flat, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = ("srcc", "plcc", "mean_srcc")
_NAMES = {"srcc": "SRCC of a pair", "plcc": "PLCC of a pair", "mean_srcc": "SRCC of the mean of all pairs"}


@dataclass(frozen=True)
class Factor:
    """A choice one has to make, and its share of the variance over all combinations of choices.

    Attributes:
        name: "positive word", "negative word", "words together", "template", "temperature" or "rest".
        levels: how many there were to choose from; 0 for what choices do only together.
        srcc: share of the variance of the pairs' SRCC, with its 95 % interval.
        plcc: share of the variance of the pairs' PLCC.
        mean_srcc: share of the variance of the SRCC of the mean of all pairs, which knows no single words.
    """

    name: str
    levels: int
    srcc: Estimate
    plcc: Estimate
    mean_srcc: Estimate


@dataclass(frozen=True)
class Level:
    """One of the choices of a factor.

    Attributes:
        factor: its name.
        level: the word, template or temperature.
        srcc: mean SRCC of the pairs with it.
        plcc: mean PLCC of the pairs with it.
        mean_srcc: mean SRCC of the means of all pairs with it; NaN for words.
    """

    factor: str
    level: str
    srcc: float
    plcc: float
    mean_srcc: float


@dataclass(frozen=True)
class Sensitivity:
    """How much agreement with opinions depends on wording, template and temperature.

    Temperature does not change the order of one pair's scores, so that its share of SRCC is 0 there, unless scores are
    so extreme that they become equal; it changes their mean over pairs, and PLCC.

    Attributes:
        words: name of the word lists.
        model: whose features and sentences.
        n: pictures compared.
        dropped: pictures without features or opinion.
        combinations: of words, templates and temperatures.
        spread: (lowest, highest) value of each measure over them.
        factors: shares of the variance, which sum to 1 in each measure.
        levels: means of each choice.
    """

    words: str
    model: str
    n: int
    dropped: int
    combinations: int
    spread: dict[str, tuple[float, float]]
    factors: tuple[Factor, ...]
    levels: tuple[Level, ...]

    def table(self) -> list[dict[str, Any]]:
        """One flat record a factor, as pandas.DataFrame takes them."""
        return [
            {"factor": each.name, "levels": each.levels}
            | {key: part for name in MEASURES for key, part in flat(name, getattr(each, name)).items()}
            for each in self.factors
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        factors = [{field.name: getattr(row, field.name) for field in dataclasses.fields(row)} for row in self.factors]
        return plain(fields | {"factors": factors, "levels": [dataclasses.asdict(row) for row in self.levels]})

    def plot(self, axes: Axes) -> None:
        """Draw the shares of the variance with their intervals."""
        for number, (measure, colour) in enumerate(zip(MEASURES, ("tab:blue", "tab:orange", "tab:green"), strict=True)):
            shares: list[Estimate] = [getattr(factor, measure) for factor in self.factors]
            known = [place for place, share in enumerate(shares) if np.isfinite(share.value)]
            values = [shares[place].value for place in known]
            low = [max(0.0, shares[place].value - shares[place].low) for place in known]
            high = [max(0.0, shares[place].high - shares[place].value) for place in known]
            lowest, highest = self.spread[measure]
            axes.barh(
                [place + 0.27 * (number - 1) for place in known],
                values,
                0.25,
                xerr=[low, high],
                color=colour,
                capsize=2,
                label=f"{_NAMES[measure]}: {lowest:.2f} … {highest:.2f}",
            )
        axes.set_yticks(range(len(self.factors)), [factor.name for factor in self.factors])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the variance, with 95 % interval")
        axes.set_title(f"{self.words}: {self.combinations} combinations on {self.n} pictures, {self.model}")
        axes.legend(loc="best", fontsize="small")
