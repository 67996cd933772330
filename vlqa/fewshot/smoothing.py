"""Kernel smoothers: predictions for each label as if it, and its group, had not been there, in closed form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vlqa.fewshot.heads import Matrix, Vector

LARGEST = 1500
"""Labels up to which the eigenvectors of all pairs cost less than folds do."""


class Smoother:
    """Least squares with a penalty, by a kernel; one decomposition serves every penalty.

    With A = K + noise·W⁻¹ + c·11ᵀ, the prediction for a group G without itself is y_G − (A⁻¹)_GG⁻¹ (A⁻¹y)_G (Rasmussen
    and Williams, Gaussian Processes for Machine Learning, eq. 5.12, for one row). A linear kernel makes it ridge
    regression, with noise as its α. The constant c is so large that the intercept is free.

    Args:
        kernel: (n, n) of all pairs of rows.
        weights: (n,) positive, with mean 1: W.
        groups: (n,) numbers; rows of one group are left out together. None leaves out one row at a time.
    """

    def __init__(self, kernel: Matrix, weights: Vector, groups: npt.NDArray[np.intp] | None = None) -> None:
        self.root = np.sqrt(weights)
        self.free = 1e4 * (float(np.trace(kernel)) / len(kernel) or 1.0)
        self.values, self.vectors = np.linalg.eigh(self.root[:, None] * (kernel + self.free) * self.root)
        self.groups = groups

    def left_out(self, mos: Vector, noise: float) -> Vector:
        """What the rows outside its group predict for each row, (n,).

        Args:
            mos: (n,) opinions.
            noise: variance of an opinion of weight 1, in units of the kernel.
        """
        damped = 1 / (np.maximum(self.values, 0) + noise)
        error = self.root * (self.vectors @ (damped * (self.vectors.T @ (self.root * (mos - mos.mean())))))
        if self.groups is None:
            return mos - error / (np.square(self.root) * (np.square(self.vectors) @ damped))
        predicted = np.empty_like(mos)
        for group in np.unique(self.groups):
            rows = np.flatnonzero(self.groups == group)
            own = self.root[rows, None] * self.vectors[rows]
            predicted[rows] = mos[rows] - np.linalg.solve((own * damped) @ own.T, error[rows])
        return predicted

    def fitted(self, mos: Vector, noise: float) -> tuple[Vector, float]:
        """Dual weights (n,) and intercept: what `left_out` judges, fitted on all rows."""
        mean = float(mos.mean())
        damped = 1 / (np.maximum(self.values, 0) + noise)
        dual = self.root * (self.vectors @ (damped * (self.vectors.T @ (self.root * (mos - mean)))))
        return dual, mean + self.free * float(dual.sum())
