"""What is known of the records that were there: a few bytes each, for millions of pictures."""

from __future__ import annotations

from vlqa.apps.columns import as_parquet
from vlqa.apps.pictures import DIGEST_BYTES, brief_digest


class Marks:
    """Marks of records by the names of their pictures; a picture that is named twice has two."""

    def __init__(self) -> None:
        self._marks: dict[bytes, bytes] = {}

    def add(self, name: str, mark: str) -> None:
        """Put a mark to a name."""
        key = _key(name)
        self._marks[key] = self._marks.get(key, b"") + _digest(mark)

    def take(self, name: str, mark: str) -> bool:
        """Remove one mark from those of a name; whether it was there."""
        key, digest = _key(name), _digest(mark)
        there = self._marks.get(key, b"")
        for at in range(0, len(there), DIGEST_BYTES):
            if there[at : at + DIGEST_BYTES] == digest:
                self._marks[key] = there[:at] + there[at + DIGEST_BYTES :]
                if not self._marks[key]:
                    del self._marks[key]
                return True
        return False

    def copy(self) -> Marks:
        """The same marks, to take from."""
        copied = Marks()
        copied._marks = dict(self._marks)
        return copied

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._marks


class Names:
    """Names of pictures."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    def put(self, name: str, there: bool) -> None:
        """Add a name, or take it away."""
        (self._keys.add if there else self._keys.discard)(_key(name))

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._keys


def _key(name: str) -> bytes:
    return brief_digest(as_parquet(name))  # as outputs hold a name that is no UTF-8


def _digest(mark: str) -> bytes:
    return brief_digest(mark)
