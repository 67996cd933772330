"""What a search for sentences found, and what of it held on pictures that chose nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlqa.evaluation import Estimate
from vlqa.fewshot.prompt_lab.rated import flat, plain
from vlqa.prompts import PromptSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Contender:
    """Sentences that were chosen before test was looked at.

    Attributes:
        label: what it is.
        pairs: (positive, negative) sentences whose mean probability is the score; empty for the model's own prompts.
        train: SRCC on the pictures that candidates were ranked on.
        dev: SRCC on those that chose among the best.
        test: SRCC on those that chose nothing, with its 95 % interval: the honest value.
        test_plcc: Pearson's correlation on the same.
    """

    label: str
    pairs: tuple[tuple[str, str], ...]
    train: float
    dev: float
    test: Estimate
    test_plcc: Estimate

    @property
    def overfit_train(self) -> float:
        """SRCC on train − on test: by how much the search flatters itself."""
        return self.train - self.test.value

    @property
    def overfit_dev(self) -> float:
        """SRCC on dev − on test."""
        return self.dev - self.test.value


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        words: name of the word lists.
        model: whose features and sentences.
        pictures: how many there are in train, dev and test.
        dropped: pictures without features or opinion.
        candidates: pairs that were ranked.
        kept: (label, SRCC on train, SRCC on dev) of the best on train, by dev, falling.
        contenders: the best pair, the mean of several where it is better on dev, and the model's own prompts.
        prompts: the winner, the best on dev of what was searched.
        gain: SRCC of the winner − that of the model's own prompts on test, with its 95 % interval.
        p: of the gain, two-sided.
    """

    words: str
    model: str
    pictures: dict[str, int]
    dropped: int
    candidates: int
    kept: tuple[tuple[str, float, float], ...]
    contenders: tuple[Contender, ...]
    prompts: PromptSet
    gain: Estimate
    p: float

    @property
    def winner(self) -> Contender:
        """The contender that `prompts` holds."""
        return self.contenders[-2]

    def table(self) -> list[dict[str, Any]]:
        """One flat record a contender, as pandas.DataFrame takes them."""
        return [
            {"label": each.label, "pairs": len(each.pairs), "train": each.train, "dev": each.dev}
            | flat("test", each.test)
            | flat("test_plcc", each.test_plcc)
            | {"overfit_train": each.overfit_train, "overfit_dev": each.overfit_dev}
            for each in self.contenders
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        kept = [{"label": label, "train": train, "dev": dev} for label, train, dev in self.kept]
        contenders = [
            dataclasses.asdict(each) | {"test": each.test, "test_plcc": each.test_plcc}
            | {"overfit_train": each.overfit_train, "overfit_dev": each.overfit_dev}
            for each in self.contenders
        ]  # fmt: skip
        return plain(fields | {"kept": kept, "contenders": contenders, "prompts": self.prompts.as_dict()})

    def plot(self, axes: Axes) -> None:
        """Draw SRCC on dev over that on train of the candidates kept, and what the contenders reach on test."""
        _, train, dev = zip(*self.kept, strict=True)
        axes.plot(train, dev, "o", color="tab:blue", alpha=0.6, label=f"{len(self.kept)} best of {self.candidates}")
        for each, colour in zip(
            self.contenders, ("tab:green", "tab:red", "black")[-len(self.contenders) :], strict=True
        ):
            error = [[max(0, each.test.value - each.test.low)], [max(0, each.test.high - each.test.value)]]
            axes.errorbar(each.train, each.test.value, yerr=error, fmt="D", color=colour, capsize=3, label=each.label)
        low, high = (bound([*axes.get_xlim(), *axes.get_ylim()]) for bound in (min, max))
        axes.plot([low, high], [low, high], color="lightgray", zorder=0)
        axes.set_xlabel("SRCC on train, which ranked the candidates")
        axes.set_ylabel("SRCC on dev (dots), on test with 95 % interval (diamonds)")
        axes.set_title(f"{self.words} on {sum(self.pictures.values())} pictures, {self.model}")
        axes.legend(loc="best", fontsize="small")
