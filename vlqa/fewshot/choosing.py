"""Which columns and which head: by what each predicts for labels it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlqa.fewshot.columns import SCORE, Columns, balanced, choices
from vlqa.fewshot.fitting import HEADS, Fit, Labelled
from vlqa.fewshot.heads import Head, Matrix, Vector

_FEW_FOR_CURVES = 40
"""Labels below which only ridge is tried: at 25 a choice among more costs what it gains."""

_MANY_FOR_KERNELS = 1000
"""Labels above which kernels take minutes and gained nothing on ridge."""


@dataclass(frozen=True)
class Table:
    """Features of labelled pictures beside the predictor's own scores, before columns are chosen.

    Attributes:
        labelled: with all features.
        score: (n,) of the predictor; None where it has none.
        slices: of the features.
    """

    labelled: Labelled
    score: Vector | None
    slices: Mapping[str, slice]

    def rows(self, chosen: np.ndarray) -> Table:
        """Some of the rows."""
        score = None if self.score is None else self.score[chosen]
        return Table(self.labelled.rows(chosen), score, self.slices)

    def read(self, parts: Sequence[str]) -> tuple[Columns, Labelled]:
        """These columns, and the labels with nothing else."""
        columns = balanced(parts, self.labelled.features, self.score, self.slices)
        read = columns.of(self.labelled.features, self.score, self.slices)
        return columns, replace(self.labelled, features=read)


@dataclass(frozen=True)
class Chosen:
    """A head with the columns it reads.

    Attributes:
        name: of the kind of head.
        columns: that it reads.
        fit: the head and what it predicts for each label from the others.
    """

    name: str
    columns: Columns
    fit: Fit

    @property
    def head(self) -> Head:
        """What turns columns into opinions."""
        return self.fit.head

    def __call__(self, features: Matrix, score: Vector | None, slices: Mapping[str, slice]) -> Vector:
        """Opinions (n,) of features (n, all) and the predictor's scores (n,)."""
        return self.head(self.columns.of(features, score, slices))


def choose(table: Table, head: str) -> Chosen:
    """The head of a kind, or for "auto" of any, on the columns where it does best.

    Ridge regression judges the columns. The most of them stay unless fewer do better by more than a standard error of
    the difference: with 25 labels the smallest error alone picks at random.
    """
    if head == "calibration":
        return _fitted(table, (SCORE,), head)
    first = "ridge" if head == "auto" else head
    sets = choices(table.slices, table.score is not None)
    best = _fitted(table, sets[0], "ridge")
    parts = sets[0]
    for fewer in sets[1:]:
        tried = _fitted(table, fewer, "ridge")
        if _better(tried, best, table.labelled):
            best, parts = tried, fewer
    if first != "ridge":
        return _fitted(table, parts, first)
    count = len(table.labelled.mos)
    if head == "auto" and _FEW_FOR_CURVES <= count <= _MANY_FOR_KERNELS:
        tried = _fitted(table, parts, "gp")  # support vectors were never ahead of it on clive_train, at twice its time
        if _better(tried, best, table.labelled):
            best = tried
    return best


def _fitted(table: Table, parts: Sequence[str], head: str) -> Chosen:
    columns, labelled = table.read(parts)
    return Chosen(head, columns, HEADS[head](labelled))


def _better(tried: Chosen, best: Chosen, labelled: Labelled) -> bool:
    """Whether its squared errors are smaller by more than a standard error of the difference."""
    gained = np.square(best.fit.predicted - labelled.mos) - np.square(tried.fit.predicted - labelled.mos)
    gained = gained * labelled.weights
    return bool(gained.mean() > gained.std() / np.sqrt(len(gained)))
