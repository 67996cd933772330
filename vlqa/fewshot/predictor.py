"""A predictor for one's own notion of quality: a small head on the features of any other."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from vlqa import artifacts
from vlqa.errors import ConfigError
from vlqa.fewshot.below import OnFeatures
from vlqa.fewshot.choosing import Table
from vlqa.fewshot.estimator import Estimator
from vlqa.fewshot.fitted import Fitted, Reader, fit_table, reads_score
from vlqa.fewshot.fitting import HEADS, Labelled
from vlqa.fewshot.heads import Matrix, Vector
from vlqa.fewshot.labels import (
    check_groups,
    check_options,
    checked_mos,
    known_rows,
    numbered,
    range_of,
    warn_of_direction,
    weights_from,
)
from vlqa.fewshot.preferences import fit_choices, wins
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.given import as_iterable
from vlqa.predictors.unfitted import not_fitted

if TYPE_CHECKING:
    from vlqa.prompts import Prompts
    from vlqa.types import Images

AUTO, PREFERENCE = "auto", "preference"


class FewShotPredictor(Estimator, OnFeatures):
    """Scores images by a head fitted on few rated pictures, with intervals; an estimator in scikit-learn's manner.

    The constructor only stores; `fit` learns, and what it learned ends in an underscore. Features are those of the
    predictor below, unscaled as GRepQ's are (arXiv 2312.04838, §3.4).

    Args:
        predictor: whose features are read: what `vlqa.load` gives.
        head: "auto", "ridge", "elastic-net", "svr", "gp", "calibration" (the predictor's own score, on the scale of the
            labels), or "preference" for `fit_preferences`. "auto" chooses features and head by what they predict for
            labels they have not seen, and keeps the predictor's own score where nothing ranks better.
        coverage: of the intervals, where a call names no other.
        mos_range: (worst, best) opinion, ascending; the range of the labels when left out.
        seed: decides the folds.

    Attributes:
        fitted_: what was learned; `fitted_.held` tells how labels left out were predicted.
        agreement_: after `fit_preferences`: share of the decided pairs that heads which saw neither of the two pictures
            order as people did; NaN where all pairs share pictures, so that there is no such head.
    """

    method: ClassVar[str] = "few-shot"

    def __init__(
        self,
        predictor: ImagePredictor,
        *,
        head: str = AUTO,
        coverage: float = 0.9,
        mos_range: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> None:
        self.predictor = predictor
        self.head = head
        self.coverage = coverage
        self.mos_range = mos_range
        self.seed = seed

    def fit(
        self,
        images: Images,
        mos: npt.ArrayLike,
        *,
        mos_std: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        direction: str = "mos",
    ) -> Self:
        """Learn from rated pictures; those that fail, with an `ImageWarning`, are left out.

        Args:
            images: as for `predict`.
            mos: (n,) opinions, higher is better; NaN leaves a picture out.
            mos_std: (n,) by how much raters differed; opinions they agreed on count for more.
            groups: (n,) names; versions of one scene, which share a name, are never on both sides of a fold.
            direction: "dmos" where higher opinions are worse.

        Raises:
            ConfigError: fewer than 5 usable labels, all alike, other lengths, an unknown head, or a coverage, range or
                seed that is none.
        """
        listed = list(as_iterable(images))
        self.check_labels(mos, direction, len(listed))  # before minutes of work on the pictures
        weights_from(mos_std, len(listed)), numbered(groups, len(listed))
        return self.fit_features(self.embed(listed), mos, mos_std=mos_std, groups=groups, direction=direction)

    def fit_features(
        self,
        features: npt.ArrayLike,
        mos: npt.ArrayLike,
        *,
        mos_std: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        direction: str = "mos",
    ) -> Self:
        """As `fit`, from what `embed` gave, (n, d); rows of NaN are left out."""
        table, _ = self.labelled(features, mos, mos_std=mos_std, groups=groups, direction=direction)
        self.fitted_ = fit_table(table, self.head, self.scale_of(table))
        return self

    def labelled(
        self,
        features: npt.ArrayLike,
        mos: npt.ArrayLike,
        *,
        mos_std: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        direction: str = "mos",
    ) -> tuple[Table, npt.NDArray[np.bool_]]:
        """What `fit_features` learns from, and which of the rows (n,) that is: those with features and an opinion."""
        rows = self._rows(features).double().numpy()
        opinions = self.check_labels(mos, direction, len(rows))
        weights, group = weights_from(mos_std, len(rows)), numbered(groups, len(rows))
        usable = known_rows(rows) & np.isfinite(opinions)
        opinions = checked_mos(opinions[usable], int(usable.sum()), "mos")
        rows, weights, group = rows[usable], weights[usable] / weights[usable].mean(), group[usable]
        if groups is None:  # a picture that was given twice must not be judged by its twin
            group = np.unique(rows, axis=0, return_inverse=True)[1]
        check_groups(group)
        score = self._own_score(rows)
        warn_of_direction(score, opinions, direction)
        return Table(Labelled(rows, opinions, weights, group, self.seed), score, self.predictor.feature_slices), usable

    def scale_of(self, table: Table) -> tuple[float, float]:
        """(worst, best) opinion of a predictor fitted on these labels."""
        return range_of(table.labelled.mos if self.mos_range is None else self.mos_range)

    def check_labels(self, mos: npt.ArrayLike, direction: str = "mos", count: int | None = None) -> Vector:
        """Opinions as `fit` takes them, higher is better; raises what `fit` would, before any picture is opened."""
        check_options(self.coverage, self.mos_range, self.seed)
        if self.head == PREFERENCE:
            raise ConfigError("head='preference' learns from pairs: use fit_preferences(first, second, preferred)")
        if self.head not in (AUTO, *HEADS):
            raise ConfigError(f"no head {self.head!r}; there are {', '.join([AUTO, *HEADS, PREFERENCE])}")
        return checked_mos(mos, len(np.atleast_1d(np.asarray(mos))) if count is None else count, direction)

    def fit_preferences(self, first: Images, second: Images, preferred: npt.ArrayLike) -> Self:
        """Learn from choices between two pictures (Bradley and Terry's model); see `fit_preference_features`."""
        return self.fit_preference_features(self.embed(first), self.embed(second), preferred)

    def fit_preference_features(self, first: npt.ArrayLike, second: npt.ArrayLike, preferred: npt.ArrayLike) -> Self:
        """Learn from choices between two pictures, of which `embed` gave the features.

        The scores lie on the predictor's own scale, with the mean and deviation that its own scores have there; choices
        have no scale, so there are no intervals.

        Args:
            first: (n, d) of the pictures a.
            second: (n, d) of the pictures b.
            preferred: (n,) "a", "b" or "tie".

        Raises:
            ConfigError: other lengths or words, fewer than 5 pairs, or a head that reads opinions.
        """
        check_options(self.coverage, self.mos_range, self.seed)
        if self.head not in (AUTO, PREFERENCE):
            raise ConfigError(f"head {self.head!r} reads opinions; preferences need head='preference'")
        won, rows = wins(preferred), [self._rows(part).double().numpy() for part in (first, second)]
        if not len(rows[0]) == len(rows[1]) == len(won):
            raise ConfigError(f"pairs differ in number: {len(rows[0])} a, {len(rows[1])} b, {len(won)} preferred")
        usable = known_rows(np.concatenate(rows, axis=1))
        pairs = [part[usable] for part in rows]
        scores = self._own_score(np.concatenate(pairs))
        learned, self.agreement_ = fit_choices(pairs, won[usable], scores, self.feature_slices, self.seed)
        own = learned.scale if scores is None else self.predictor.scale
        self.fitted_ = replace(learned, scale=range_of(own if self.mos_range is None else self.mos_range))
        return self

    def predict_interval(self, images: Images, coverage: float | None = None) -> npt.NDArray[np.float64]:
        """Intervals (n, 2) that hold the opinion of a picture with about this probability; NaN for one that fails.

        The probability is the predictor's own `coverage` when left out, as in the records of `assess`. CV+, see
        `intervals.cv_plus`; infinite where there are too few labels for the coverage.

        Raises:
            ConfigError: a coverage outside (0, 1), or a head fitted on preferences.
        """
        read = functools.partial(self._intervals, coverage=coverage)
        return self._collect(images, self._embedding(), lambda rows: torch.from_numpy(read(rows)), (2,))

    def predict_interval_features(
        self, features: npt.ArrayLike, coverage: float | None = None
    ) -> npt.NDArray[np.float64]:
        """The intervals `predict_interval` gives, from stored features (n, d)."""
        return self._intervals(self._rows(features), coverage)

    def out_of_distribution(self, features: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each row of features (n, d) is unlike all the labelled pictures, as NaN is; see `Strangers`."""
        return self._learned().strangers(self._rows(features).double().numpy())

    def save(self, directory: str | os.PathLike[str], *, half: bool = False) -> Path:
        """Write the predictor below and the head as a directory that `vlqa.load` reads; see `vlqa.save`."""
        from vlqa.hub.store import save  # the one way up: `save` mirrors `vlqa.load`

        return save(self, directory, half=half)

    @property
    def name(self) -> str:  # type: ignore[override]
        """Of the model below, and once it is fitted of the head: "mini + ridge on 200 labels"."""
        fitted: Fitted | None = getattr(self, "fitted_", None)
        return self.predictor.name if fitted is None else f"{self.predictor.name} + {fitted.title}"

    @property
    def score_apart(self) -> bool:
        """Whether the score of a predictor that scores by patches is read too: calibration reads nothing else."""
        return self.head == "calibration"

    @property
    def scale(self) -> tuple[float, float]:  # type: ignore[override]
        """(worst, best) opinion; of the predictor below before `fit`."""
        fitted: Fitted | None = getattr(self, "fitted_", None)
        return fitted.scale if fitted else self.predictor.scale

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all that decides a score: the predictor below and the head."""
        fitted: Fitted | None = getattr(self, "fitted_", None)
        if fitted is None:
            return self.predictor.digest
        numbers = {name: torch.from_numpy(np.array(value)) for name, value in fitted.reader.head.tensors().items()}
        columns = [list(fitted.reader.columns.parts), fitted.reader.columns.gain]
        return artifacts.digest_json([self.method, self.predictor.digest, columns, artifacts.digest_tensors(numbers)])

    def _score(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        return torch.from_numpy(self._read([self._learned().reader], features)[:, 0])

    def _read(self, readers: Sequence[Reader], features: Tensor) -> Matrix:
        """(n, readers) of what each says."""
        rows = features.double().numpy()
        score = self._own_score(rows) if reads_score(self._learned()) else None
        told = [reader.head(reader.columns.of(rows, score, self.feature_slices)) for reader in readers]
        return np.stack(told, axis=1)

    def _intervals(self, features: Tensor, coverage: float | None = None) -> npt.NDArray[np.float64]:
        held = self._learned().held
        if held is None:
            raise ConfigError(
                "preferences are no opinions on a scale, so they give no intervals; fit on rated pictures"
            )
        ends = held.intervals(self._read(held.readers, features), self.coverage if coverage is None else coverage)
        ends[~np.isfinite(features.numpy()).all(axis=1)] = np.nan
        return ends

    def _details(self, features: Float[Tensor, "n d"]) -> list[dict[str, Any]]:
        fitted = self._learned()
        told = self._told_below(features)
        ends = None if fitted.held is None else self._intervals(features)
        strange = fitted.strangers(features.double().numpy())
        for number, (row, score) in enumerate(zip(told, self._score(features).tolist(), strict=True)):
            row |= {"raw": score, "out_of_distribution": bool(strange[number])}
            if ends is not None and np.isfinite(ends[number]).all():
                row["interval"] = (float(ends[number, 0]), float(ends[number, 1]))
        return told

    def _reader(self, explain: bool, attributes: Prompts | None) -> Self:
        self._learned()
        reader = copy.copy(self)
        reader.explains = explain
        if self._has_score():
            reader.predictor = self.predictor._reader(explain, attributes)
        elif attributes is not None:
            raise ConfigError(
                f"the head on {self.predictor.name} reads features alone, so it has no attributes; leave them out"
            )
        return reader

    def _learned(self) -> Fitted:
        fitted: Fitted | None = getattr(self, "fitted_", None)
        if fitted is None:
            raise not_fitted("this few-shot predictor has learned nothing yet: call fit(images, mos)")
        return fitted
