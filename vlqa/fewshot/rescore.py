"""Assessments from a feature store: what is in it is scored without a look at the picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vlqa.errors import ConfigError
from vlqa.fewshot.store import FeatureStore
from vlqa.predictors.base import ImagePredictor
from vlqa.types import Assessment, Explanation

if TYPE_CHECKING:
    from vlqa.prompts import Prompts
    from vlqa.types import Images

_TOGETHER = 256  # rows compared with the sentences at once


def rescore(
    store: FeatureStore,
    predictor: ImagePredictor,
    images: Images,
    *,
    explain: bool = False,
    attributes: Prompts | None = None,
) -> Iterator[Assessment]:
    """The assessments of `predictor.assess`, in order, from stored features; what is missing is encoded and added.

    Args:
        store: where the features are, or will be.
        predictor: one that scores from features.
        images: as for `predict`; one that fails has `error`.
        explain: as for `assess`; patches cannot be told without the picture.
        attributes: as for `assess`.

    Raises:
        ConfigError: a method that scores by the patches of a picture, or a store that is damaged.
        NotFittedError: the model has nothing to score by yet.
    """
    check_scores_from_features(predictor)
    predictor.assess_features(np.zeros((0, predictor.width)), attributes=attributes)  # before anything is encoded
    return _records(store, predictor, images, explain or attributes is not None, attributes)


def check_scores_from_features(predictor: ImagePredictor) -> None:
    """Raise the ConfigError of a method that a store cannot serve."""
    if not predictor.scores_from_features:
        raise ConfigError(
            f"{predictor.name} scores by the patches of a picture, which no store holds; score without it"
        )


def _records(
    store: FeatureStore, predictor: ImagePredictor, images: Images, explain: bool, attributes: Prompts | None
) -> Iterator[Assessment]:
    kind = Explanation if explain else Assessment
    stream = store.stream(predictor, images)
    while block := list(itertools.islice(stream, _TOGETHER)):
        scored = [(found.features, found.path) for found in block if found.features is not None]
        features, paths = zip(*scored, strict=True) if scored else ((), ())
        rows = np.array(features, np.float32).reshape(-1, predictor.width)
        records = iter(predictor.assess_features(rows, paths, explain=explain, attributes=attributes))
        for found in block:
            if found.error is None:
                yield next(records)
            else:
                error = " ".join(str(found.error).split())
                yield kind(path=found.path, model=predictor.name, digest=predictor.digest[:16], error=error)
