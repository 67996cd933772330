"""Every error vlqa raises on purpose.

VLQAError
├── ConfigError            a wrong option, configuration key, prompt file or combination of them
├── ManifestError          a label file that cannot be used
├── ImageDecodeError       a picture that cannot be turned into pixels
├── CheckpointError        weights that are missing, damaged, refused or do not fit
├── MissingExtraError      an optional dependency that is not installed
└── UnknownModelError      a model name that is not in the table

ImageWarning and TextWarning are no errors: one image of several has no score; a sentence holds what is not read.

A message is one line: what was expected, what came, what to do about it.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator


class VLQAError(Exception):
    """Base of every error that vlqa raises on purpose."""


class ConfigError(VLQAError, ValueError):
    """An option, configuration key or prompt file is wrong, or does not fit the others."""


class ManifestError(VLQAError, ValueError):
    """A label file is missing columns, rows or usable values."""


class ImageDecodeError(VLQAError, ValueError):
    """A picture cannot be turned into pixels: missing, truncated, too large or no picture at all."""


class CheckpointError(VLQAError, RuntimeError):
    """Weights are missing, damaged, contain code, or do not fit the model."""


class MissingExtraError(VLQAError, ImportError):
    """An optional dependency is not installed; the message names the pip command."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}, which is not installed: pip install 'vlqa[{extra}]'")


class UnknownModelError(VLQAError, KeyError):
    """A model name is not in the table."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""  # KeyError would show the repr


class ImageWarning(UserWarning):
    """One image of a call has no score; the others do."""


class TextWarning(UserWarning):
    """A model reads less of a sentence than it says: a word it was never taught, or an end beyond its context."""


@contextlib.contextmanager
def naming(file: str | os.PathLike[str]) -> Iterator[None]:
    """Put the name of a file in front of the message of a CheckpointError raised inside, unless it is there already."""
    try:
        yield
    except CheckpointError as error:
        message = str(error)
        raise CheckpointError(message if message.startswith(f"{file}:") else f"{file}: {message}") from None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown word: "; did you mean 'x'?", or nothing where no choice is near."""
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(word.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""
