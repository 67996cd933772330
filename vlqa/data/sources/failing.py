"""A picture that cannot be had, as a source: its record has the error."""

from __future__ import annotations

import functools
from typing import NoReturn

from vlqa.errors import ImageDecodeError
from vlqa.types import Source


def failing(name: str, message: str, stamp: str | None = None) -> Source:
    """A source whose reading raises an ImageDecodeError."""
    return Source(name, functools.partial(_fail, message), stamp)


def _fail(message: str) -> NoReturn:
    raise ImageDecodeError(message)
