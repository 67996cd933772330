"""Models and baselines as a protocol sees them: features of rated pictures, computed once, and a way to fit on some.

Features are kept in a folder that git ignores, a file a model and set of pictures. Its name is a digest of the model
(or of the code of the statistics) and of each picture's path, size and time of change, so that nothing stale is read.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import nss
import numpy as np
import numpy.typing as npt
from sklearn.exceptions import NotFittedError

import vlqa
from vlqa.fewshot.choosing import Table, choose
from vlqa.fewshot.fitting import Labelled
from vlqa.fewshot.selection import Candidates, ranks_apart
from vlqa.predictors.base import ImagePredictor

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

STATISTICS = "brisque"
"""The name under which the 36 natural scene statistics take a model's place."""


@dataclass(frozen=True)
class Learned:
    """What fitting gave.

    Attributes:
        head: that was chosen.
        predict: opinions (m,) of features (m, d).
        held_out: (n,) of each label, by a fit without it: what a curve may be fitted on.
        interval: (m, 2) of features and a coverage; None where the learner gives none.
    """

    head: str
    predict: Callable[[Array], Array]
    held_out: Array
    interval: Callable[[Array, float], Array] | None = None


@dataclass(frozen=True)
class Learner:
    """Something that can be fitted on rated pictures.

    Attributes:
        name: for tables.
        head: as of `FewShotPredictor`.
        features: (n, d) of all rated pictures, NaN where one failed.
        predictor: whose features they are; None for features alone, which are standardised on what is fitted.
        score: (n,) without any label; None where there is none.
        views: (n, 2) scores of its two views; None where it has not two.
    """

    name: str
    head: str
    features: Array
    predictor: ImagePredictor | None = None
    score: Array | None = None
    views: Array | None = None

    def fit(self, rows: Rows, mos: Array, groups: Sequence[str] | None = None) -> Learned:
        """Learn from some of the pictures, mos (n,) being of all."""
        if self.predictor is None:
            return self._fit_alone(rows, mos, groups)
        few = vlqa.FewShotPredictor(self.predictor, head=self.head)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no head on")  # the head's name tells it
            of_rows = None if groups is None else np.asarray(groups)[rows]
            few.fit_features(self.features[rows], mos[rows], groups=of_rows)
        held = few.fitted_.held
        assert held is not None
        return Learned(few.fitted_.name, few.predict_features, held.predicted, few.predict_interval_features)

    def _fit_alone(self, rows: Rows, mos: Array, groups: Sequence[str] | None) -> Learned:
        x = self.features[rows]
        mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-9
        slices = {"all": slice(None)}
        apart = np.arange(len(rows)) if groups is None else np.unique(np.asarray(groups)[rows], return_inverse=True)[1]
        labelled = Labelled((x - mean) / deviation, mos[rows], np.ones(len(rows)), apart, 0)
        chosen = choose(Table(labelled, None, slices), self.head)
        return Learned(chosen.name, lambda new: chosen((new - mean) / deviation, None, slices), chosen.fit.predicted)

    @cached_property
    def kinds(self) -> list[tuple[str, str]] | None:
        """Scene and distortion of each picture as the model names them; None where it names none."""
        if self.predictor is None or not self.predictor.scores_from_features or self.score is None:
            return None
        told = [(record.scene, record.distortion) for record in self.predictor.assess_features(self.features)]
        return None if all(scene is None for scene, _ in told) else [(s or "", d or "") for s, d in told]

    def of(self, rows: Rows) -> Learner:
        """The same of some of the pictures."""
        score, views = (None if values is None else values[rows] for values in (self.score, self.views))
        return replace(self, features=self.features[rows], score=score, views=views)

    def candidates(self, rows: Rows, seed: int) -> Candidates:
        """Some of the pictures as `select` chooses among them."""
        score = None if self.score is None else self.score[rows]
        views = None if self.views is None else ranks_apart([(high, low) for high, low in self.views[rows].tolist()])
        kinds = None if self.kinds is None else [self.kinds[row] for row in rows.tolist()]
        return Candidates(self.features[rows], score, views, kinds, seed)


def learner(name: str, head: str, pictures: Sequence[Path], cache: Path, features: Path | None = None) -> Learner:
    """A model of `vlqa.load`, or `STATISTICS`, on pictures; the features from a file where one is given.

    Args:
        name: of the model, or its folder.
        head: for `FewShotPredictor`.
        pictures: the rated ones, in their order.
        cache: folder of features.
        features: .npz with X (n, d), what the model's `embed` gave.
    """
    if name == STATISTICS:
        code = hashlib.sha256(Path(nss.__file__).read_bytes()).hexdigest()
        kept = _once(cache, [code, _stamps(pictures)], lambda: {"X": nss.embed(pictures)})
        return Learner(f"BRISQUE's 36, {head}", head, kept["X"])
    predictor = vlqa.load(name)
    title = f"{Path(name).name}, {head}"
    if features is not None:
        with np.load(features) as file:
            kept = {"X": file["X"]}
    else:
        kept = _once(cache, [predictor.digest, _stamps(pictures)], lambda: _embedded(predictor, pictures))
    if len(kept["X"]) != len(pictures):
        raise SystemExit(
            f"{features}: {len(kept['X'])} rows of features for {len(pictures)} pictures; embed them again"
        )
    x = kept["X"]
    score = kept.get("score")
    if score is None and predictor.scores_from_features:
        score = _scored(lambda: predictor.predict_features(x))
    views = None
    if score is not None and "low" in kept:
        high = [record.high for record in predictor.assess_features(x)]
        views = np.column_stack([np.array(high, float), kept["low"]])
    return Learner(title, head, x.astype(np.float64), predictor, score, views)


def _embedded(predictor: ImagePredictor, pictures: Sequence[Path]) -> dict[str, Array]:
    """Features, and the scores that these do not tell."""
    kept: dict[str, Any] = {"X": predictor.embed(pictures)}
    if not predictor.scores_from_features:
        kept["score"] = _scored(lambda: predictor.predict(pictures))
    elif "low" in predictor.feature_slices and hasattr(predictor, "low"):
        kept["low"] = _scored(lambda: predictor.low.predict(pictures))
    return {key: values for key, values in kept.items() if values is not None}


def _scored(score: Callable[[], Array]) -> Array | None:
    try:
        return score()
    except NotFittedError:  # an encoder: features only
        return None


def _once(cache: Path, key: Any, compute: Callable[[], dict[str, Array]]) -> dict[str, Array]:
    """What was kept under a key, or is computed and kept now."""
    file = cache / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.npz"
    if not file.is_file():
        values = compute()
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part.npz")
        np.savez(unfinished, **values)
        unfinished.replace(file)
    with np.load(file) as kept:
        return dict(kept)


def _stamps(pictures: Sequence[Path]) -> list[Any]:
    return [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in pictures]
