"""One run at a time writes a file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import BinaryIO

from vlqa.errors import ConfigError


def lock(file: BinaryIO, path: Path) -> None:
    """Keep a second run from writing the same journal; where the system has no such locks, nothing does."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{path} is being written by another run; wait for it, or name another --output"
            ) from None
