"""What a predictor on another's features takes from it: features, and its own score where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlqa import artifacts
from vlqa.errors import ConfigError
from vlqa.fewshot.heads import Matrix, Vector
from vlqa.predictors.base import ImagePredictor, Sight
from vlqa.predictors.reading import Reading


class OnFeatures(ImagePredictor):
    """A predictor whose features are those of the predictor below it.

    Attributes:
        predictor: the one below.
        score_apart: whether the score of one that scores by patches is wanted too, which needs a pass of its own.
    """

    predictor: ImagePredictor

    @property
    def score_apart(self) -> bool:
        """Whether a score that does not follow from features is read all the same."""
        return False

    @property
    def width(self) -> int:  # type: ignore[override]
        """Of a row of features."""
        return sum(sight.width for sight in self._embedding())

    @property
    def reading(self) -> Reading:  # type: ignore[override]
        """How pictures are read and batched."""
        return self.predictor.reading

    @property
    def feature_slices(self) -> Mapping[str, slice]:  # type: ignore[override]
        """Where each view's part lies in a row of features."""
        return self.predictor.feature_slices

    @property
    def features_digest(self) -> str:
        """SHA-256 (hex) of all that decides a row of `embed`: that of the predictor below."""
        if self._scores_apart():
            return artifacts.digest_json([self.predictor.features_digest, self.predictor.digest])
        return self.predictor.features_digest

    @property
    def feature_sources(self) -> tuple[ImagePredictor, ...]:
        """Those of the predictor below, so that a store serves both."""
        return (self,) if self._scores_apart() else self.predictor.feature_sources

    def _scores_apart(self) -> bool:
        """Whether its score needs a pass of its own, and then stands behind the features."""
        return self.score_apart and not self.predictor.scores_from_features and self._has_score()

    def _embedding(self) -> tuple[Sight, ...]:
        if not isinstance(self.predictor, ImagePredictor):
            raise ConfigError(f"predictor must be what vlqa.load gives, found {self.predictor!r}")
        return (*self.predictor._embedding(), *(self.predictor._scoring() if self._scores_apart() else ()))

    def _has_score(self) -> bool:
        """Whether the score of the predictor below is at hand; encoders without a regressor only embed."""
        from sklearn.exceptions import NotFittedError

        if not self.predictor.scores_from_features and not self.score_apart:
            return False
        try:
            self.predictor._scoring()
            self.predictor._reader(False, None)
        except NotFittedError:
            return False
        return True

    def _own_score(self, rows: Matrix) -> Vector | None:
        if not self._has_score():
            return None
        below = self.predictor.width
        read = rows[:, :below] if self.predictor.scores_from_features else rows[:, below:]
        return self.predictor._score(torch.from_numpy(np.ascontiguousarray(read, dtype=np.float32))).double().numpy()

    def _told_below(self, features: Tensor) -> list[dict[str, Any]]:
        """What the predictor below tells of scenes, distortions and its two views."""
        if not self._has_score():
            return [{} for _ in features]
        own = features if self.predictor.scores_from_features else features[:, self.predictor.width :]
        return self.predictor._details(own)
