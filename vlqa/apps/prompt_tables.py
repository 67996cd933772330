"""Tables of what the prompt laboratory finds, for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vlqa.evaluation import Estimate
    from vlqa.fewshot.prompt_lab import PromptRanking, SearchResult, Sensitivity


def print_ranking(result: PromptRanking) -> None:
    """One line a pair, the best first."""
    rows = [
        (
            row.label,
            _number(row.srcc.value),
            _interval(row.srcc),
            _number(row.plcc.value),
            _interval(row.plcc),
            "" if row.label == result.reference else _number(row.difference.value),
            "" if np.isnan(row.p_holm) else _p(row.p_holm),
        )
        for row in result.rows
    ]
    title = f"{result.prompts}: {result.model} on {_pictures(result.n, result.dropped)}; against {result.reference!r}"
    _table(title, ("pair", "SRCC", "95 % interval", "PLCC", "95 % interval", "differs", "p (Holm)"), rows)


def print_search(result: SearchResult) -> None:
    """One line a contender, and what the winner gains."""
    parts = "/".join(str(size) for size in result.pictures.values())
    title = f"{result.words}: {result.candidates} pairs, {result.model} on {parts} pictures (train/dev/test)"
    rows = [
        (
            each.label,
            _number(each.train),
            _number(each.dev),
            _number(each.test.value),
            _interval(each.test),
            _number(each.overfit_train),
            _number(each.overfit_dev),
        )
        for each in result.contenders
    ]
    _table(title, ("SRCC of", "train", "dev", "test", "95 % interval", "train − test", "dev − test"), rows)
    gain = f"{_number(result.gain.value)} ({_interval(result.gain)}), p {_p(result.p)}"
    _line(f"On test the winner, {result.winner.label!r}, gains {gain} over the model's own prompts.")


def print_sensitivity(result: Sensitivity) -> None:
    """One line a factor, and the choices of each."""
    title = (
        f"{result.words}: {result.combinations} combinations, {result.model} on {_pictures(result.n, result.dropped)}"
    )
    measures = ("srcc", "plcc", "mean_srcc")
    shares = [
        (each.name, str(each.levels or ""), *(_share(getattr(each, measure)) for measure in measures))
        for each in result.factors
    ]
    spread = [f"{_number(low)} … {_number(high)}" for low, high in (result.spread[measure] for measure in measures)]
    head = ("share of the variance", "choices", "SRCC of a pair", "PLCC of a pair", "SRCC of the mean")
    _table(title, head, [*shares, ("lowest … highest", "", *spread)])
    levels = [
        (each.factor, each.level, *(_number(getattr(each, measure)) for measure in measures)) for each in result.levels
    ]
    _table("", ("mean over all others", "", *head[2:]), levels, texts=2)


def _pictures(n: int, dropped: int) -> str:
    return f"{n} pictures" + (f"; {dropped} failed and are left out" if dropped else "")


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def _interval(estimate: Estimate) -> str:
    return "" if np.isnan(estimate.low) else f"{estimate.low:.3f} … {estimate.high:.3f}"


def _share(estimate: Estimate) -> str:
    return "" if np.isnan(estimate.value) else f"{estimate.value:.0%} ({estimate.low:.0%} … {estimate.high:.0%})"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _line(text: str) -> None:
    from rich.console import Console

    Console(highlight=False).print(text, markup=False)


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], texts: int = 1) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, box=None, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        text = number < texts
        table.add_column(column, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: brackets in a sentence are no markup
    Console().print(table)
