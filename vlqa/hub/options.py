"""Options that every model of the hub takes, and the check of those that it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vlqa.errors import ConfigError

_COMMON = ("batch_size", "workers", "max_image_pixels", "fast_decode", "isolate", "decode_timeout")

_DAY_S = 86_400


def common_options(name: str, own: Iterable[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `vlqa.load` that every predictor takes, checked.

    Args:
        name: of the model.
        own: further options that this model takes.
        options: as given.

    Raises:
        ConfigError: an option that the model has not, or a value that is not of its kind.
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
    _check_isolation(common)
    return common


def _check_isolation(common: Mapping[str, Any]) -> None:
    isolate, timeout = common.get("isolate", False), common.get("decode_timeout", 1)
    if not isinstance(isolate, bool):
        raise ConfigError(f"isolate must be True or False, not {isolate!r}")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= _DAY_S:
        raise ConfigError(f"decode_timeout must be a number of seconds above 0 and up to {_DAY_S}, not {timeout!r}")
    if "decode_timeout" in common and not isolate:
        raise ConfigError("decode_timeout needs isolate=True (--isolate): a decoder in this process cannot be stopped")


def _whole_number(value: Any, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value < 2**40
