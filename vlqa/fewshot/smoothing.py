"""Penalised least squares: predictions for each label as if it, and its group, had not been there, in closed form."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from vlqa.fewshot.heads import Matrix, Vector

_NOTHING = 1e-12  # share of the largest eigenvalue below which a direction is rounding


class Smoother:
    """Ridge regression or a Gaussian process with a free intercept; one decomposition serves every penalty.

    With opinions and features multiplied by the root of their weights, the fit is H·y, where
    H = uuᵀ + U·diag(λ / (λ + noise))·Uᵀ, u belongs to the intercept, and U and λ to the centred kernel. The error of a
    group G without itself is (I − H_GG)⁻¹(y − Hy)_G (Allen's PRESS, Technometrics 1974, for one row).

    Args:
        values: (r,) λ.
        vectors: (n, r) U.
        weights: (n,) positive, with mean 1.
        groups: (n,) numbers; rows of one group are left out together. None leaves out one row at a time.
    """

    def __init__(
        self, values: Vector, vectors: Matrix, weights: Vector, groups: npt.NDArray[np.intp] | None = None
    ) -> None:
        kept = values > _NOTHING * values.max(initial=0.0)
        self.values, self.vectors = values[kept], vectors[:, kept]
        self.weights = weights
        self.root = np.sqrt(weights)
        self.level = self.root / np.linalg.norm(self.root)
        self.groups = groups

    @classmethod
    def of_kernel(cls, kernel: Matrix, weights: Vector, groups: npt.NDArray[np.intp] | None = None) -> Self:
        """From the kernel (n, n) of all pairs of rows."""
        root = np.sqrt(weights)
        level = root / np.linalg.norm(root)
        weighed = root[:, None] * kernel * root
        crossed = weighed @ level
        centred = weighed - np.outer(level, crossed) - np.outer(crossed, level)
        centred += (level @ crossed) * np.outer(level, level)
        return cls(*np.linalg.eigh(centred), weights, groups)

    @classmethod
    def of_features(cls, x: Matrix, weights: Vector, groups: npt.NDArray[np.intp] | None = None) -> Self:
        """From features (n, d), by the smaller of n and d: 10 000 labels need no kernel of all pairs."""
        if len(x) <= x.shape[1]:
            return cls.of_kernel(x @ x.T, weights, groups)
        centred = np.sqrt(weights)[:, None] * (x - np.average(x, axis=0, weights=weights))
        values, directions = np.linalg.eigh(centred.T @ centred)
        return cls(values, centred @ directions / np.sqrt(np.maximum(values, np.finfo(float).tiny)), weights, groups)

    def left_out(self, mos: Vector, noise: float) -> Vector:
        """What the rows outside its group predict for each row, (n,).

        Args:
            mos: (n,) opinions.
            noise: variance of an opinion of weight 1, in units of the kernel; the α of ridge.
        """
        damping = self.values / (self.values + noise)
        error = self._error(mos, damping)
        if self.groups is None:
            own = np.square(self.level) + np.square(self.vectors) @ damping
            return mos - error / (1 - own) / self.root
        predicted = np.empty_like(mos)
        for group in np.unique(self.groups):
            rows = np.flatnonzero(self.groups == group)
            hat = np.outer(self.level[rows], self.level[rows])
            hat += (self.vectors[rows] * damping) @ self.vectors[rows].T
            alone = np.linalg.solve(np.eye(len(rows)) - hat, error[rows])
            predicted[rows] = mos[rows] - alone / self.root[rows]
        return predicted

    def dual(self, mos: Vector, noise: float) -> Vector:
        """(n,) weights of the rows, which sum to 0: with them a kernel predicts, up to the intercept."""
        return self.root * self._error(mos, self.values / (self.values + noise)) / noise

    def _error(self, mos: Vector, damping: Vector) -> Vector:
        weighed = self.root * (mos - np.average(mos, weights=self.weights))
        return weighed - self.vectors @ (damping * (self.vectors.T @ weighed))
