"""YAML whose every value knows its line, so that a message about a prompt file can name it.

Only plain data is read: nothing a tag asks for is ever constructed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from vlqa.errors import ConfigError

Place: TypeAlias = tuple[str | int, ...]
"""Keys and indices that lead from the top of a document to a value."""

_TAG = "tag:yaml.org,2002:"
_MAX_BYTES = 1_000_000
_MAX_VALUES = 50_000  # with _MAX_DEPTH, what stops aliases that multiply or contain themselves
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Document:
    """Plain data, and where it came from.

    Attributes:
        value: dicts, lists, strings, numbers, truth values and None.
        source: the file, or a few words for data made in Python.
        lines: line number of each place; empty for data made in Python.
    """

    value: Any
    source: str
    lines: Mapping[Place, int] = field(default_factory=dict)

    def error(self, place: Place, message: str) -> ConfigError:
        """An error that names the source, and the line or the place in it."""
        if self.lines:
            while place not in self.lines:
                place = place[:-1]
            return ConfigError(f"{self.source}:{self.lines[place]}: {message}")
        where = " → ".join(str(step) for step in place)
        return ConfigError(f"{self.source}: {where}: {message}" if where else f"{self.source}: {message}")


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a YAML file of plain data.

    Raises:
        ConfigError: missing, a folder, too large, not UTF-8, not YAML, empty, a key given twice, or a tag other than
            those of plain data.
    """
    file = Path(path)
    if file.is_dir():
        raise ConfigError(f"{file}: this is a folder; name a .yaml file in it")
    if not file.is_file():
        raise ConfigError(f"{file}: no such prompt file")
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{file}: more than {_MAX_BYTES // 1000} kB; this is no prompt file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{file}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    return _Reader(str(file)).read(text)


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Place, int] = {}
        self.count = 0

    def read(self, text: str) -> Document:
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self.error(
                mark.line + 1 if mark else 1, f"not valid YAML: {error.problem or error.context}"
            ) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self.error(line, f"the character {chr(int(error.character))!r} is not allowed in YAML") from None
        except RecursionError:
            raise self.error(1, f"nested more than {_MAX_DEPTH} deep") from None
        if node is None:
            raise self.error(1, "the file is empty; expected at least 'kind:' and the prompts")
        return Document(self.plain(node, ()), self.source, self.lines)

    def error(self, line: int, message: str) -> ConfigError:
        return ConfigError(f"{self.source}:{line}: {message}")

    def plain(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(place, line)
        self.count += 1
        if len(place) > _MAX_DEPTH:
            raise self.error(line, f"nested more than {_MAX_DEPTH} deep")
        if self.count > _MAX_VALUES:
            raise self.error(line, f"more than {_MAX_VALUES} values; this is no prompt file")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, place)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.plain(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, line)
        raise self.error(line, f"the tag {_short(node.tag)} is refused; write plain text, lists and keys")

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self.scalar(key_node, line) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise self.error(line, f"expected a name before the colon, found {describe(key)}")
            inner = (*place, key)
            if key in result:
                raise self.error(line, f"{key!r} is given twice, first in line {self.lines[inner]}; remove one")
            self.lines[inner] = line
            result[key] = self.plain(value_node, inner)
        return result

    def scalar(self, node: yaml.ScalarNode, line: int) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp"):  # a bare date is meant as text here
            return node.value
        if kind == "null":
            return None
        if kind == "bool" and node.value.lower() in yaml.SafeLoader.bool_values:
            return yaml.SafeLoader.bool_values[node.value.lower()]
        if kind in ("int", "float"):
            try:
                return int(node.value) if kind == "int" else float(node.value)
            except ValueError:
                raise self.error(
                    line, f"{node.value!r} is no decimal number; if it is text, put it in quotes"
                ) from None
        raise self.error(line, f"the tag {_short(node.tag)} is refused; write plain text, lists and keys")


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag


def describe(value: Any) -> str:
    """A found value in words, with the remedy where YAML's guess of its type is likely to be the cause."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {value} (bare yes, no, on, off, true, false: put it in quotes if it is text)"
    if isinstance(value, int | float):
        return f"the number {value} (put it in quotes if it is text)"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:59] + "…")
    if isinstance(value, Mapping):
        return "a mapping of names"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"
