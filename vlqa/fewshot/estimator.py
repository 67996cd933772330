"""scikit-learn's estimator contract: what `clone` and searches ask of a constructor's arguments."""

from __future__ import annotations

import inspect
from typing import Any, Self

from vlqa.errors import ConfigError


class Estimator:
    """A class whose constructor only stores its arguments, each under its own name."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments; parts are not estimators, so that `deep` makes no difference."""
        names = [name for name in inspect.signature(type(self)).parameters]
        return {name: getattr(self, name) for name in names}

    def set_params(self, **parameters: Any) -> Self:
        """Change arguments of the constructor.

        Raises:
            ConfigError: an argument it has not.
        """
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                raise ConfigError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}")
            setattr(self, name, value)
        return self
