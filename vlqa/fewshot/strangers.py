"""Pictures unlike those that were labelled: how far they lie from their nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlqa.fewshot.heads import Matrix, Vector, squared_distances

_NEIGHBOURS = 3
_KEPT = 2000
_SPREADS = 4.0
_SAME, _ROUNDING = 0.02, 1e-5  # of the limit and of a row's length: features of one picture differ by rounding alone
_BLOCK = 1024


@dataclass(frozen=True)
class Strangers:
    """Tells pictures that no labelled one resembles.

    The distance is the mean to the three nearest labelled pictures, in the features as they are. On `mini-zero` with 25
    to 400 pictures of clive_train it finds all pages of text and uniform noise and nearly all blank pictures, and flags
    2 to 5 % of other pictures of the same set; distances between directions, of standardised features or Mahalanobis'
    found fewer.

    Attributes:
        known: (n, d) features of labelled pictures, float32.
        limit: distance beyond which a picture is a stranger: among the labelled ones, each against the others, the
            median and four times the way from it to the upper quartile.
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
        return cls(features.astype(np.float32), float(median + _SPREADS * (upper - median)))

    def distances(self, features: Matrix) -> Vector:
        """(m,) distance of each row of features (m, d)."""
        apart = squared_distances(features, self.known.astype(np.float64))
        return _mean_of_nearest(apart, min(_NEIGHBOURS, len(self.known)))

    def acquainted(self, features: np.ndarray) -> np.ndarray:
        """(m,) whether each picture is a labelled one itself, or the same to the encoder; `known` may be a sample.

        Args:
            features: (m, d) of any precision; a row of NaN is of none.
        """
        same = np.zeros(len(features), bool)
        known = self.known.astype(np.float64)
        for start in range(0, len(features), _BLOCK):
            rows = features[start : start + _BLOCK].astype(np.float64)
            nearest = np.sqrt(squared_distances(rows, known).min(axis=1))  # NaN for a row of NaN
            lengths = np.linalg.norm(rows, axis=1)
            same[start : start + _BLOCK] = nearest <= np.maximum(_SAME * self.limit, _ROUNDING * lengths)
        return same

    def __call__(self, features: Matrix) -> np.ndarray:
        """(m,) whether each picture is a stranger, as is one without features, a row that is not finite."""
        strange = np.ones(len(features), bool)
        known = np.isfinite(features).all(axis=1)
        strange[known] = self.distances(features[known]) > self.limit
        return strange


def _mean_of_nearest(squared: Matrix, count: int) -> Vector:
    return np.sqrt(np.partition(squared, count - 1, axis=1)[:, :count]).mean(axis=1)
