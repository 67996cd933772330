"""Options that every model of the hub takes, and the check of those that it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vlqa.errors import ConfigError

_COMMON = ("batch_size", "workers", "max_image_pixels", "fast_decode")


def common_options(name: str, own: Iterable[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `vlqa.load` that every predictor takes, checked.

    Args:
        name: of the model.
        own: further options that this model takes.
        options: as given.

    Raises:
        ConfigError: an option that the model has not, or a value that is no whole number.
    """
    known = [*own, *_COMMON]
    for option in options:
        if option not in known:
            raise ConfigError(f"{name} has no option {option!r}; it has {', '.join(known)}")
    common = {option: options[option] for option in _COMMON if option in options}
    for option in ("batch_size", "max_image_pixels"):
        if not _whole_number(common.get(option, 1), 1):
            raise ConfigError(f"{option} must be a whole number of at least 1, not {common[option]!r}")
    if common.get("workers") is not None and not _whole_number(common["workers"], 0):
        raise ConfigError(f"workers must be a whole number of at least 0, not {common['workers']!r}")
    if not isinstance(common.get("fast_decode", False), bool):
        raise ConfigError(f"fast_decode must be True or False, not {common['fast_decode']!r}")
    return common


def _whole_number(value: Any, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value < 2**40
