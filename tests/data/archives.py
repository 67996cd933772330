"""Writes archives for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.hostile import encode, sample

IMAGES = [encode(sample(48 + 8 * number, 32), kind) for number, kind in enumerate(("PNG", "JPEG", "WEBP"))]


def write_tar(path: Path, members: Mapping[str, bytes | tarfile.TarInfo], mode: str = "w", **options: int) -> Path:
    """An archive of files and of whatever else is given as its header."""
    with tarfile.open(path, mode, **options) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            entry = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data) if isinstance(data, bytes) else None)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """The header of a link or a device."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry
