"""The error of a model that lacks what fitting gives."""

from __future__ import annotations

from vlqa.errors import VLQAError


def not_fitted(message: str) -> VLQAError:
    """An error that is scikit-learn's NotFittedError and vlqa's own; made when needed, for the import is slow."""
    from sklearn.exceptions import NotFittedError

    kind = type("NotFittedError", (VLQAError, NotFittedError), {"__doc__": "A model has no regressor yet."})
    error: VLQAError = kind(message)
    return error
