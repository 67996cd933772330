"""What an archive or a table is read from, several times and by several threads."""

from __future__ import annotations

from typing import BinaryIO, Protocol

from vlqa.data.files import identity, open_regular, open_unchanged


class Content(Protocol):
    """Bytes that can be opened again and again."""

    identity: str
    """Changes where they do; set by the first `open`."""

    def open(self) -> BinaryIO:
        """A file at its beginning, to be closed by the caller.

        Raises:
            ImageDecodeError: there is none, or its bytes are others than the first time.
            OSError: it is missing or may not be read.
        """
        ...


class LocalContent:
    """A regular file.

    Args:
        path: its path.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.identity = ""

    def open(self) -> BinaryIO:
        """See `Content`."""
        if self.identity:
            return open_unchanged(self.path, self.identity)
        file = open_regular(self.path)
        self.identity = identity(file)
        return file
