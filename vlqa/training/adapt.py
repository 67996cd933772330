"""Few-shot adaptation of the image tower itself: LoRA (arXiv 2106.09685) on some hundred rated pictures."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import nnls

from vlqa.errors import ConfigError
from vlqa.fewshot.choosing import Table, choose
from vlqa.fewshot.columns import SCORE, Columns
from vlqa.fewshot.fitted import Fitted, Held, Reader, cross_validated, fit_table
from vlqa.fewshot.heads import LinearHead, Matrix, Vector
from vlqa.fewshot.predictor import AUTO, FewShotPredictor
from vlqa.fewshot.strangers import Strangers
from vlqa.models.lora import Adapters
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.ensemble import EnsemblePredictor, vision_language_view
from vlqa.predictors.given import as_iterable
from vlqa.predictors.prompted import PromptPredictor
from vlqa.training.short_fit import ShortFit, fit_adapter
from vlqa.training.shown import Shown, shown

if TYPE_CHECKING:
    from vlqa.types import Images

FEWEST = 100
"""Labels below which a tower learns the pictures, not the taste."""

ADAPTER = "few_shot"
MARK = " adapted"
"""Behind the name of a model whose tower has learned from labels, which must not judge it any more."""

_LEAST_SPREAD = 0.005  # deviation of scores, as a share of their scale, below which they tell nothing
FOLDS = 5


def adapt(
    few: FewShotPredictor,
    images: Images,
    mos: npt.ArrayLike,
    *,
    features: npt.ArrayLike | None = None,
    mos_std: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    direction: str = "mos",
    options: ShortFit | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FewShotPredictor:
    """A few-shot predictor whose image tower has learned from the labels too, where that ranks better.

    Five adapters each learn from four fifths of the pictures to order them by the tower's own score (`short_fit`).
    What they add to the weights is averaged, which errs less than any of them (arXiv 2203.05482), and the answer is
    a mixture of two, on the scale of the labels: the adapted score, and ridge regression that was fitted on the
    features as they were before and reads the adapted ones. On clive_train this is 0.02 of SRCC above the same model
    as it was (`benchmarks/adapting.py`). Each fifth is predicted by the adapter and the regression that have not seen
    it; by these predictions intervals are made (of one width for all pictures), and it is decided whether adapting is
    kept.

    Args:
        few: whose predictor is adapted, in a copy; its head must be "auto" or "ridge".
        images: (n) rated pictures.
        mos: (n,) opinions.
        features: (n, d) of the pictures, what `few.embed` gave; computed when left out.
        mos_std: as of `FewShotPredictor.fit`; the regression counts it, the adapters do not.
        groups: as of `FewShotPredictor.fit`.
        direction: as of `FewShotPredictor.fit`.
        options: size and length of the fit; by the kind of the tower when left out.
        progress: called with steps done and steps in all.

    Returns:
        A new predictor; with the tower as it was, and a warning, where adapting does not rank better.

    Raises:
        ConfigError: fewer than 100 usable labels, another head, no vision-language view that can score by features,
            or a tower that is not in fp32.
    """
    listed = list(as_iterable(images))
    if few.predictor.name.endswith(MARK):
        seen = f"the tower of {few.predictor.name} has learned from labels already"
        warnings.warn(f"{seen}: on those, labels left out are predicted better than new ones", stacklevel=2)
    opinions = few.check_labels(mos, direction, len(listed))
    view = check_adaptable(few, int(np.isfinite(opinions).sum()))
    rows = few.embed(listed) if features is None else np.asarray(features)
    if len(rows) != len(listed):
        raise ConfigError(
            f"expected features of {len(listed)} pictures, found {len(rows)} rows; embed the same pictures"
        )
    table, usable = few.labelled(rows, mos, mos_std=mos_std, groups=groups, direction=direction)
    check_adaptable(few, count := len(table.labelled.mos))
    tuned = copy_to_adapt(view)
    kept = [listed[row] for row in np.flatnonzero(usable)]
    run = Adapting(few, tuned, table, shown(tuned, kept), options, progress)
    fitted = run.fitted()
    assert fitted.held is not None
    before, after = cross_validated(table, few.head, FOLDS)[1].srcc, fitted.held.srcc  # on the same folds
    if not after > before:
        found = f"adapting does not rank better on {count} labels (SRCC {after:.3f}, {before:.3f} without)"
        warnings.warn(f"{found}, so the model stays as it was", stacklevel=2)
        plain = FewShotPredictor(**few.get_params())
        plain.fitted_ = fit_table(table, few.head, few.scale_of(table))
        return plain
    adapted = FewShotPredictor(**(few.get_params() | {"predictor": run.predictor}))
    adapted.fitted_ = fitted
    return adapted


class Adapting:
    """One run of `adapt`: adapters, and what they make of the labelled pictures.

    Args:
        few: whose predictor is adapted; its seed and scale count.
        view: changed in place: its backbone has the averaged adapter in use afterwards.
        table: the labels.
        pictures: in the order of the table.
        options: see `adapt`.
        progress: see `adapt`.

    Attributes:
        predictor: that of `few` with this view in place of its own.
    """

    def __init__(
        self,
        few: FewShotPredictor,
        view: PromptPredictor,
        table: Table,
        pictures: Shown,
        options: ShortFit | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.few = few
        self.predictor = _with_view(few.predictor, view)
        self.view = view
        self.table = table
        self.pictures = pictures
        self.options = options or ShortFit.of(view.backbone)
        self.progress = progress
        self._done = 0

    def fitted(self) -> Fitted:
        """What reads the features of the averaged adapter."""
        fold, mos = self.table.labelled.folds(FOLDS), self.table.labelled.mos
        adapters = Adapters(self.view.backbone)
        names = [f"fold{number}" for number in range(int(fold.max()) + 1)]
        answers = np.empty((len(mos), 2))  # of the regression and of the score, for pictures they have not seen
        for number, name in enumerate(names):
            inside = fold == number
            self._learn(adapters, name, np.flatnonzero(~inside), self.few.seed + number, len(names))
            rows, score = self._seen(inside)
            answers[inside] = np.column_stack([self._answer(_regression(self.table.rows(~inside)), rows), score])
        adapters.average(names, ADAPTER)
        self.view.backbone.requires_grad_(False)
        rows, score = self._seen(np.full(len(mos), True))
        least = _LEAST_SPREAD * (self.predictor.scale[1] - self.predictor.scale[0])
        shares = _shares(answers, mos, np.array([0.0, least]))
        regression = _regression(self.table)
        told = np.array([self._answer(regression, rows).mean(), score.mean()])
        reader = _mixture(regression, shares, float(mos.mean() - told @ shares))
        predicted = mos.mean() + (answers - answers.mean(axis=0)) @ shares
        held = Held((reader,), np.zeros(len(mos), np.int64), predicted, mos)
        strangers = Strangers.of(rows, self.few.seed)
        return Fitted("lora", reader, held, strangers, self.few.scale_of(self.table), len(mos))

    def _learn(self, adapters: Adapters, name: str, rows: npt.NDArray[np.intp], seed: int, runs: int) -> None:
        def stepped() -> None:
            self._done += 1
            if self.progress is not None:
                self.progress(self._done, runs * self.options.steps)

        mos = self.table.labelled.mos
        fit_adapter(self.view, adapters, name, self.pictures, rows, mos, self.options, seed, stepped)

    def _answer(self, regression: Reader, rows: Matrix) -> Vector:
        return regression.head(regression.columns.of(rows, None, self.table.slices))

    def _seen(self, rows: npt.NDArray[np.bool_]) -> tuple[Matrix, Vector]:
        """Features of some labelled pictures by the adapter in use, beside those of other views, and its scores."""
        features = self.pictures.features(np.flatnonzero(rows)).float().cpu()
        found = self.table.labelled.features[rows]
        found[:, self.table.slices["high"]] = features.double().numpy()
        with torch.inference_mode():
            return found, self.predictor._score(torch.from_numpy(found).float()).double().numpy()


def _regression(table: Table) -> Reader:
    """Ridge regression on features alone: the score, which adapting changes, has its own place."""
    return Reader.of(choose(dataclasses.replace(table, score=None), "ridge"))


def _shares(answers: Matrix, mos: Vector, least: Vector) -> Vector:
    """Of two answers in the sum that fits opinions best, none below 0; 0 for an answer whose deviation is too small.

    A score that hardly differs between these pictures would count a million times on others.
    """
    centred = np.where(answers.std(axis=0) > least, answers - answers.mean(axis=0), 0.0)
    shares: Vector = nnls(centred, mos - mos.mean())[0]
    return shares


def _mixture(regression: Reader, shares: Vector, level: float) -> Reader:
    """The sum of the regression and the score with these shares, and of a level."""
    head = regression.head
    assert isinstance(head, LinearHead)
    coefficients = np.append(shares[0] * head.coefficients, shares[1])
    columns = Columns((*regression.columns.parts, SCORE))
    return Reader(columns, LinearHead(coefficients, level + shares[0] * head.intercept))


def check_adaptable(few: FewShotPredictor, count: int) -> PromptPredictor:
    """The view of a few-shot predictor that `adapt` would change; raises what it would, before any picture is opened.

    Args:
        few: see `adapt`.
        count: labels.
    """
    if count < FEWEST:
        raise ConfigError(f"adapting needs {FEWEST} rated pictures, found {count}; rate more, or fit without --adapt")
    if few.head not in (AUTO, "ridge"):
        raise ConfigError(f"an adapted model is read by ridge regression, not by {few.head!r}; leave the head out")
    view = vision_language_view(few.predictor)
    if view is None or not few.predictor.scores_from_features:
        found = f"{few.predictor.name} has no score by sentences that its features tell"
        raise ConfigError(f"{found}, so that it cannot be adapted; mini and clip-iqa can be")
    if next(view.backbone.visual.parameters()).dtype != torch.float32:
        raise ConfigError("adapting needs weights in fp32; load the model with precision fp32")
    return view


def copy_to_adapt(view: PromptPredictor) -> PromptPredictor:
    """A copy with weights of its own, of which an adapter that is in use has become a part."""
    copied = copy.copy(view)
    copied.name = view.name.removesuffix(MARK) + MARK
    copied.backbone = copy.deepcopy(view.backbone)
    copied._digests = {}
    if copied.backbone.adapters is not None:
        copied.backbone.adapters.merge()
    return copied


def _with_view(predictor: ImagePredictor, view: PromptPredictor) -> ImagePredictor:
    if not isinstance(predictor, EnsemblePredictor):
        return view
    both = copy.copy(predictor)
    both.high = view
    both.name = view.name
    return both
