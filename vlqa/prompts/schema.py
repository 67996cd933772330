"""What a prompt document must hold: one validation for files, saved models and prompts made in Python."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Literal, NoReturn, get_args

from vlqa.errors import did_you_mean
from vlqa.prompts.document import Document, Place, describe

Kind = Literal["antonyms", "ensemble", "attributes", "joint"]

MAX_TEXTS = 20_000
_COMMON = ("kind", "name", "description", "temperature")
_KEYS = {
    **dict.fromkeys(("antonyms", "ensemble", "attributes"), (*_COMMON, "pairs")),
    "joint": (*_COMMON, "template", "labels", "values", "aliases"),
}
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def expand(template: str, assignment: dict[str, str]) -> str:
    """The template with every `{name}` replaced by its label."""
    return _PLACEHOLDER.sub(lambda match: assignment[match[1]], template)


def placeholders(template: str) -> set[str]:
    """The names in braces; a brace without its partner stands for an empty one."""
    alone = re.search(r"[{}]", _PLACEHOLDER.sub("", template)) is not None
    return {match[1] for match in _PLACEHOLDER.finditer(template)} | ({""} if alone else set())


def same(text: str) -> str:
    """The form in which two texts are compared: CLIP's tokenizers see neither case nor runs of blanks."""
    return " ".join(text.replace("_", " ").split()).casefold()


def validate(document: Document) -> dict[str, Any]:
    """The fields of a PromptSet that a document describes.

    Raises:
        ConfigError: the first thing that is wrong, with its line.
    """
    return _Checker(document).fields()


class _Checker:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.root: dict[str, Any] = self.mapping((), document.value)

    def fail(self, place: Place, message: str) -> NoReturn:
        raise self.document.error(place, message)

    def fields(self) -> dict[str, Any]:
        if "kind" not in self.root:
            self.fail((), f"the key 'kind' is missing; write kind: {_one_of(get_args(Kind))}")
        kind = self.root["kind"]
        if not isinstance(kind, str) or kind not in _KEYS:
            hint = did_you_mean(str(kind), _KEYS)
            self.fail(("kind",), f"kind must be {_one_of(_KEYS)}, found {describe(kind)}{hint}")
        for key in self.root:
            if key not in _KEYS[kind]:
                foreign = any(key in keys for keys in _KEYS.values())  # rightly spelt, so no other key was meant
                hint = "" if foreign else did_you_mean(key, _KEYS[kind])
                hint = hint or f"; it takes {', '.join(_KEYS[kind])}"
                self.fail((key,), f"a prompt file of kind {kind} has no key {key!r}{hint}")
        fields = {"kind": kind, "temperature": self.temperature()}
        for key in ("name", "description"):
            if key in self.root:
                fields[key] = self.text((key,), self.root[key])
        return fields | (self.joint() if kind == "joint" else self.pairs(kind))

    def pairs(self, kind: str) -> dict[str, Any]:
        given = self.mapping(("pairs",), self.need("pairs", "name: [positive sentence, negative sentence]"))
        pairs: dict[str, tuple[str, str]] = {}
        for label, value in given.items():
            place = ("pairs", label)
            self.text(place, label)
            if not isinstance(value, list) or len(value) != 2:
                self.fail(place, f"expected [positive sentence, negative sentence], found {describe(value)}")
            positive, negative = (self.text((*place, side), value[side]) for side in (0, 1))
            if same(positive) == same(negative):
                self.fail(place, f"both sides say {positive!r}; the second sentence must be its opposite")
            for other, (good, bad) in pairs.items():
                if (same(good), same(bad)) == (same(positive), same(negative)):
                    self.fail(place, f"{label!r} repeats the pair {other!r}; remove one")
                if kind == "ensemble" and (same(good) == same(negative) or same(bad) == same(positive)):
                    text = good if same(good) == same(negative) else bad
                    self.fail(place, f"{text!r} stands on the other side in {other!r}; their mean would cancel")
            pairs[label] = (positive, negative)
        if kind == "antonyms" and len(pairs) != 1:
            self.fail(("pairs",), f"kind antonyms takes one pair, found {len(pairs)}; use kind ensemble or attributes")
        if kind == "ensemble" and len(pairs) < 2:
            self.fail(("pairs",), "kind ensemble takes two pairs or more, found 1; use kind antonyms")
        return {"pairs": tuple(pairs.values()), "pair_labels": tuple(pairs)}

    def joint(self) -> dict[str, Any]:
        template = self.text(("template",), self.need("template", "a sentence with {quality} and other placeholders"))
        given = self.mapping(("labels",), self.need("labels", "a list of words for each placeholder"))
        names = [match[1] for match in _PLACEHOLDER.finditer(template)]
        if re.search(r"[{}]", _PLACEHOLDER.sub("", template)):
            self.fail(("template",), "the template has a brace without its partner; placeholders look like {quality}")
        for name in names:
            if name not in given:
                hint = did_you_mean(name, given) or f"; add {name!r} to labels"
                self.fail(("template",), f"the template asks for {{{name}}}, for which there are no labels{hint}")
        for name in given:
            if name not in names:
                hint = did_you_mean(name, names)
                self.fail(("labels", name), f"labels {name!r} are not used: the template has no {{{name}}}{hint}")
        axes = tuple((name, self.label_list(name, value)) for name, value in given.items())
        count = math.prod(len(labels) for _, labels in axes)
        if not 2 <= count <= MAX_TEXTS:
            self.fail(("labels",), f"the labels make {count} sentences; expected 2 to {MAX_TEXTS}")
        labels = dict(axes)
        return {
            "template": template,
            "axes": axes,
            "values": self.values(labels.get("quality", ())),
            "aliases": self.aliases(labels),
        }

    def label_list(self, axis: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            self.fail(("labels", axis), f"expected a list of words, found {describe(value)}")
        seen: dict[str, str] = {}
        for index, item in enumerate(value):
            label = self.text(("labels", axis, index), item)
            if same(label) in seen:
                self.fail(("labels", axis, index), f"{label!r} is already a label of {axis!r}; remove one")
            seen[same(label)] = label
        return tuple(seen.values())

    def values(self, qualities: tuple[str, ...]) -> tuple[float, ...]:
        if "values" not in self.root:
            return tuple(float(value) for value in range(1, len(qualities) + 1))
        if not qualities:
            self.fail(("values",), "values say what the words of 'quality' are worth, but there are no such labels")
        value = self.root["values"]
        if not isinstance(value, list) or len(value) != len(qualities):
            expected = f"one number for each of the {len(qualities)} words of 'quality'"
            self.fail(("values",), f"expected {expected}, found {describe(value)}")
        numbers = tuple(self.number(("values", index), item) for index, item in enumerate(value))
        if len(set(numbers)) < min(2, len(numbers)):
            self.fail(("values",), "all quality words are worth the same; give better words larger numbers")
        return numbers

    def aliases(self, labels: dict[str, tuple[str, ...]]) -> tuple[tuple[str, str, str], ...]:
        if "aliases" not in self.root:
            return ()
        found: dict[tuple[str, str], tuple[str, str, str]] = {}
        for axis, folds in self.mapping(("aliases",), self.root["aliases"]).items():
            if axis not in labels:
                self.fail(("aliases", axis), f"there are no labels {axis!r}{did_you_mean(axis, labels)}")
            known = {same(label) for label in labels[axis]}
            for label, raw_names in self.mapping(("aliases", axis), folds).items():
                place: Place = ("aliases", axis, label)
                if label not in labels[axis]:
                    self.fail(place, f"{label!r} is no label of {axis!r}{did_you_mean(label, labels[axis])}")
                if not isinstance(raw_names, list):
                    self.fail(place, f"expected a list of other names for {label!r}, found {describe(raw_names)}")
                for index, item in enumerate(raw_names):
                    raw = self.text((*place, index), item)
                    if same(raw) in known:
                        self.fail((*place, index), f"{raw!r} is itself a label of {axis!r}; remove it here")
                    if (axis, same(raw)) in found:
                        first = found[axis, same(raw)][2]
                        self.fail((*place, index), f"{raw!r} already stands for {first!r}; remove one")
                    found[axis, same(raw)] = (axis, raw, label)
        return tuple(found.values())

    def temperature(self) -> float | None:
        if self.root.get("temperature") is None:
            return None
        value = self.number(("temperature",), self.root["temperature"])
        if value <= 0:
            self.fail(("temperature",), f"temperature divides the similarities and must be above 0, found {value}")
        return value

    def need(self, key: str, what: str) -> Any:
        if key not in self.root:
            self.fail((), f"the key {key!r} is missing; expected {key}: {what}")
        return self.root[key]

    def mapping(self, place: Place, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict) or not value:
            what = f"names under {place[-1]!r}" if place else "keys such as kind: and pairs:"
            self.fail(place, f"expected {what}, found {describe(value) if value != {} else 'nothing'}")
        for key in value:
            if not isinstance(key, str):
                self.fail(place, f"expected names that are text, found {describe(key)}")
        return value

    def text(self, place: Place, value: Any) -> str:
        if not isinstance(value, str):
            self.fail(place, f"expected text, found {describe(value)}")
        text = " ".join(value.split())
        if not text:
            self.fail(place, "expected text, found an empty string; write the words or remove the entry")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
            self.fail(place, f"{describe(text)} holds control characters; remove them")
        return text

    def number(self, place: Place, value: Any) -> float:
        try:
            number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
        except OverflowError:  # an integer of hundreds of digits
            number = math.inf
        if not math.isfinite(number):
            self.fail(place, f"expected a number, found {describe(value)[:40]}")
        return number


def _one_of(choices: Iterable[str]) -> str:
    *first, last = choices
    return f"{', '.join(first)} or {last}"
