"""Small ICC profiles, written from the specification (ICC.1), for tests of colour conversion."""

from __future__ import annotations

import itertools
import struct

import numpy as np

_D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"wtpt": _xyz(*_D50), b"cprt": b"text\0\0\0\0none\0", **tags}
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I", start + len(body)) + bytes(4) + b"\x02\x40\0\0" + kind + space + connection
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def display_p3_profile() -> bytes:
    """Display P3: its primaries adapted to D50, the curve of sRGB as 1024 samples."""
    x = np.linspace(0, 1, 1024)
    curve = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    samples = b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.round(curve * 65535).astype(">u2").tobytes()
    primaries = {
        b"rXYZ": _xyz(0.51512, 0.24120, -0.00105),
        b"gXYZ": _xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": _xyz(0.15710, 0.06657, 0.78407),
    }
    return _profile(b"mntr", b"RGB ", b"XYZ ", primaries | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), samples))


def linear_grey_profile() -> bytes:
    """Grey whose values are proportional to light."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": b"curv\0\0\0\0" + struct.pack(">I", 0)})


def cmyk_profile() -> bytes:
    """A press whose paper is white, whose cyan is the grey of L* = 50 and whose other inks are black."""
    ramp = bytes(range(256))
    lightness = {(0, 0, 0, 0): 255, (1, 0, 0, 0): 128}
    grid = b"".join(bytes([lightness.get(inks, 0), 128, 128]) for inks in itertools.product((0, 1), repeat=4))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + ramp * 4 + grid + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})
