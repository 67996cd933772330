"""Which pixels of a picture the encoder sees: the whole, a square, several sizes, or windows.

A view maps one decoded picture to uint8 patches. Resizing is Pillow's, on 8-bit values, as in the published code:
resampling floats instead moves scores by more than the parity tolerance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vlqa.errors import ConfigError
from vlqa.predictors.views.base import View
from vlqa.predictors.views.scales import Scales
from vlqa.predictors.views.whole import Square, WholeImage
from vlqa.predictors.views.windows import LiqePatches, PatchGrid

if TYPE_CHECKING:
    from vlqa.models.clip_backbone import ClipBackbone

__all__ = [
    "LiqePatches",
    "PatchGrid",
    "Scales",
    "Square",
    "View",
    "WholeImage",
    "view_from_dict",
    "view_options",
]

CONFIGURED: tuple[Any, ...] = (WholeImage, LiqePatches, Scales, PatchGrid)


def view_from_dict(config: Mapping[str, Any], backbone: ClipBackbone | None = None) -> View:
    """Build a view from what `as_dict` gave.

    Args:
        config: kind and options.
        backbone: whose preprocessing `Square` uses; no other view needs it.

    Raises:
        ConfigError: an unknown kind or option.
    """
    options = dict(config)
    kind = options.pop("kind", None)
    known = view_options(kind)
    for name in options:
        if name not in known:
            raise ConfigError(f"the view {kind!r} has no option {name!r}; it has {', '.join(known) or 'none'}")
    if kind == Square.kind:
        if backbone is None:
            raise ConfigError("the view 'square' belongs to a backbone of two towers")
        return Square(backbone.resize, backbone.image_size)
    chosen: View = next(view for view in CONFIGURED if view.kind == kind)(**options)
    return chosen


def view_options(kind: str | None) -> tuple[str, ...]:
    """Names of the options of a kind of view.

    Raises:
        ConfigError: an unknown kind.
    """
    views: dict[str | None, tuple[str, ...]] = {
        Square.kind: (),
        **{view.kind: tuple(field.name for field in dataclasses.fields(view)) for view in CONFIGURED},
    }
    if kind not in views:
        raise ConfigError(f"a view's kind must be one of {', '.join(map(str, views))}, not {kind!r}")
    return views[kind]
