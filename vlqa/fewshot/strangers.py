"""Pictures unlike those that were labelled: how far they lie from their nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlqa.fewshot.heads import Matrix, Vector, squared_distances

_NEIGHBOURS = 3
_KEPT = 2000
_RARE = 0.98
_SPREADS = 4.0


@dataclass(frozen=True)
class Strangers:
    """Tells pictures that no labelled one resembles.

    The distance is the mean to the three nearest labelled pictures, in the features as they are. On `mini-zero` with 25
    to 400 pictures of clive_train it finds every noise, blank, gradient and page of text, and flags 2 % of other
    pictures of the same set; distances between directions, standardised features or Mahalanobis' found fewer.

    Attributes:
        known: (n, d) features of labelled pictures, float32.
        limit: distance beyond which a picture is a stranger: the 98 % quantile among the labelled ones, each against
            the others, and at least four upper quartile widths above their median, for a few have no such quantile.
    """

    known: np.ndarray
    limit: float

    @classmethod
    def of(cls, features: Matrix, seed: int) -> Strangers:
        """What labelled pictures, (n, d), know; of thousands a sample."""
        if len(features) > _KEPT:
            features = features[np.random.default_rng(seed).permutation(len(features))[:_KEPT]]
        apart = squared_distances(features, features)
        np.fill_diagonal(apart, np.inf)
        nearest = _mean_of_nearest(apart, min(_NEIGHBOURS, len(features) - 1))
        median, upper = np.quantile(nearest, [0.5, 0.75])
        limit = max(float(np.quantile(nearest, _RARE)), float(median + _SPREADS * (upper - median)))
        return cls(features.astype(np.float32), limit)

    def distances(self, features: Matrix) -> Vector:
        """(m,) distance of each row of features (m, d)."""
        apart = squared_distances(features, self.known.astype(np.float64))
        return _mean_of_nearest(apart, min(_NEIGHBOURS, len(self.known)))

    def __call__(self, features: Matrix) -> np.ndarray:
        """(m,) whether each picture is a stranger."""
        return self.distances(features) > self.limit


def _mean_of_nearest(squared: Matrix, count: int) -> Vector:
    return np.sqrt(np.partition(squared, count - 1, axis=1)[:, :count]).mean(axis=1)
