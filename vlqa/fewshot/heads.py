"""What a fitted head is: numbers only, so that it is stored as tensors and needs no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from vlqa.errors import CheckpointError

Matrix: TypeAlias = npt.NDArray[np.float64]
Vector: TypeAlias = npt.NDArray[np.float64]

_ROWS = 1024  # of features at once: bounds the memory of a kernel against thousands of labels


@dataclass(frozen=True)
class LinearHead:
    """features · coefficients + intercept (ridge, elastic net, preferences).

    Attributes:
        coefficients: (d,).
        intercept: added to the product.
    """

    coefficients: Vector
    intercept: float

    def __call__(self, features: Matrix) -> Vector:
        """Scores (n,) of features (n, d)."""
        return features @ self.coefficients + self.intercept

    def tensors(self) -> dict[str, npt.NDArray[np.float64]]:
        """What `head_from` builds the same head of."""
        return {"coefficients": self.coefficients, "intercept": np.array([self.intercept])}


@dataclass(frozen=True)
class KernelHead:
    """Σ_i dual_i · exp(−γ‖x − support_i‖²) + intercept (Gaussian process, support vectors).

    Attributes:
        support: (m, d).
        dual: (m,) weights.
        gamma: γ, one over the square of a distance.
        intercept: added to the sum.
    """

    support: Matrix
    dual: Vector
    gamma: float
    intercept: float

    def __call__(self, features: Matrix) -> Vector:
        """Scores (n,) of features (n, d)."""
        blocks = np.array_split(features, max(1, -(-len(features) // _ROWS)))
        return (
            np.concatenate([gaussian(block, self.support, self.gamma) @ self.dual for block in blocks]) + self.intercept
        )

    def tensors(self) -> dict[str, npt.NDArray[np.float64]]:
        """What `head_from` builds the same head of."""
        numbers = {"gamma": np.array([self.gamma]), "intercept": np.array([self.intercept])}
        return {"support": self.support, "dual": self.dual, **numbers}


@dataclass(frozen=True)
class MonotoneHead:
    """A rising curve on one column: straight between its knots, level outside.

    Attributes:
        scores: (k,) ascending.
        opinions: (k,) ascending.
    """

    scores: Vector
    opinions: Vector

    def __call__(self, features: Matrix) -> Vector:
        """Scores (n,) of a column (n, 1)."""
        return np.interp(features[:, 0], self.scores, self.opinions)

    def tensors(self) -> dict[str, npt.NDArray[np.float64]]:
        """What `head_from` builds the same head of."""
        return {"scores": self.scores, "opinions": self.opinions}


Head: TypeAlias = LinearHead | KernelHead | MonotoneHead


def head_from(tensors: Mapping[str, npt.NDArray[np.float64]]) -> Head:
    """The head whose `tensors` these are.

    Raises:
        CheckpointError: they are no head's.
    """
    if set(tensors) == {"coefficients", "intercept"}:
        return LinearHead(tensors["coefficients"], float(tensors["intercept"][0]))
    if set(tensors) == {"support", "dual", "gamma", "intercept"}:
        gamma, intercept = float(tensors["gamma"][0]), float(tensors["intercept"][0])
        return KernelHead(tensors["support"], tensors["dual"], gamma, intercept)
    if set(tensors) == {"scores", "opinions"}:
        return MonotoneHead(tensors["scores"], tensors["opinions"])
    raise CheckpointError(f"no head has the tensors {', '.join(sorted(tensors)) or '(none)'}; fit it again")


def gaussian(x: Matrix, others: Matrix, gamma: float) -> Matrix:
    """exp(−γ‖x − z‖²) of each row of x with each row of the others."""
    return np.exp(-gamma * squared_distances(x, others))


def squared_distances(x: Matrix, others: Matrix) -> Matrix:
    """(n, m) squared Euclidean distances."""
    products = x @ others.T
    return np.maximum(0.0, np.square(x).sum(1)[:, None] + np.square(others).sum(1) - 2 * products)
