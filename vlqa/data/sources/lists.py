"""Lists of pictures: one path or address a line, read as they are needed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from vlqa.errors import ConfigError

_CHUNK_BYTES = 1 << 16
_LONGEST = 1 << 16  # of a line: sixteen times what a path may have
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BRACES = re.compile(r"\{(?:([0-9]{1,18})\.\.([0-9]{1,18})|([^{}]*,[^{}]*))\}")


def read_names(file: BinaryIO, name: str) -> Iterator[str]:
    r"""The lines of a list, lazily; blank ones are left out.

    A list with a NUL in its first piece is separated by them, as `find -print0` writes it; else lines end in `\n` or
    `\r\n`. Bytes that are no UTF-8 stay what they are (surrogateescape).

    Args:
        file: at its beginning.
        name: what a message calls it.

    Raises:
        ConfigError: it is no list.
    """
    rest, separator = b"", b""
    read = file.read1 if isinstance(file, io.BufferedIOBase) else file.read  # what a pipe has, without a wait for more
    start = True
    while piece := read(_CHUNK_BYTES):
        rest += piece
        if start and rest.startswith(_PICTURES):
            raise ConfigError(f"{name} is a picture, not a list of pictures; leave the @ out, or write ./@…")
        if start and rest.startswith(_UTF_16) and b"\0" in rest[2:4]:
            raise ConfigError(f"{name} is UTF-16 text; save it as UTF-8")
        if start:
            rest, start = rest.removeprefix(b"\xef\xbb\xbf"), False
        if not separator:
            separator = b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else b""
        if separator:
            *lines, rest = rest.split(separator)
            yield from _decoded(lines, separator)
        if len(rest) > _LONGEST:
            raise ConfigError(f"{name} is no list of pictures: a line has more than {_LONGEST} bytes")
    yield from _decoded([rest], separator)


def _decoded(lines: list[bytes], separator: bytes) -> Iterator[str]:
    for line in lines:
        whole = line if separator == b"\0" else line.removesuffix(b"\r")
        if whole.strip():
            yield whole.decode("utf-8", "surrogateescape")


def expand_braces(pattern: str) -> Iterator[str]:
    """The names that a pattern such as `shard-{000..099}.tar` or `{train,test}.tar` stands for, as in a shell."""
    group = _BRACES.search(pattern)
    if group is None:
        yield pattern
        return
    first, last, words = group.groups()
    for choice in words.split(",") if words is not None else _numbers(first, last):
        for rest in expand_braces(pattern[group.end() :]):
            yield pattern[: group.start()] + choice + rest


def _numbers(first: str, last: str) -> Iterator[str]:
    padded = any(len(number) > 1 and number.startswith("0") for number in (first, last))
    width = max(len(first), len(last)) if padded else 0
    step = 1 if int(first) <= int(last) else -1
    return (f"{number:0{width}d}" for number in range(int(first), int(last) + step, step))
