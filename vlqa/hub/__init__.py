"""Models by name: the table, loading and saving, and converters of published weights."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlqa.hub.store import load, save
    from vlqa.hub.table import available_models

__all__ = ["available_models", "load", "save"]


def __getattr__(name: str) -> Any:
    # the table is light, the store loads torch: whoever lists models must not wait for it
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "vlqa.hub.table" if name == "available_models" else "vlqa.hub.store"
    return getattr(importlib.import_module(module), name)
