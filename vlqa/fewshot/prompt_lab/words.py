"""Word lists from which pairs of opposite sentences are built.

A word file is YAML with these keys; anything else is an error that names the line.

```yaml
positive: [sharp, clear]              # words of the good side
negative: [blurry, unclear]           # words of the bad side
templates: ["{word} photo.", "a photo that looks {word}"]
temperature: 0.1                      # optional; as in a prompt file
name: sharpness                       # optional; the file's name otherwise
```
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from vlqa.errors import did_you_mean
from vlqa.prompts.document import Document, Place, describe, read_document
from vlqa.prompts.schema import expand, placeholders, same

MOST_PAIRS = 100_000
_LISTS = ("positive", "negative", "templates")
_KEYS = (*_LISTS, "temperature", "name")

Words: TypeAlias = "WordLists | str | os.PathLike[str] | Mapping[str, Any]"
"""What `WordLists.of` takes."""


class Candidate(NamedTuple):
    """A pair of opposite sentences and the words that it was made of."""

    positive_word: str
    negative_word: str
    template: str

    @property
    def pair(self) -> tuple[str, str]:
        """(positive, negative) sentences."""
        return expand(self.template, {"word": self.positive_word}), expand(self.template, {"word": self.negative_word})

    @property
    def label(self) -> str:
        """What the pair is called."""
        return f"{self.positive_word} / {self.negative_word} in {self.template}"


@dataclass(frozen=True)
class WordLists:
    """Words and templates; every positive word meets every negative word in every template.

    Attributes:
        positive: words of the good side.
        negative: words of the bad side.
        templates: sentences with `{word}`.
        temperature: divides the cosine similarities; None leaves that to the model.
        name: what the lists are called.
    """

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    templates: tuple[str, ...]
    temperature: float | None = None
    name: str = "words"

    @classmethod
    def of(cls, words: Words) -> WordLists:
        """Checked word lists from a file, or from a mapping with its keys.

        Raises:
            ConfigError: `file:line: what was expected, what came, what to do`.
        """
        if isinstance(words, WordLists):
            return words
        if isinstance(words, Mapping):
            return cls(**_checked(Document(dict(words), "words")))
        return cls(**{"name": Path(words).stem, **_checked(read_document(words))})

    def candidates(self) -> list[Candidate]:
        """All pairs: template by template, so that neighbours share sentences."""
        products = itertools.product(self.templates, self.positive, self.negative)
        return [Candidate(positive, negative, template) for template, positive, negative in products]


def _checked(document: Document) -> dict[str, Any]:
    root = document.value
    if not isinstance(root, dict):
        raise document.error((), f"expected keys such as positive: and negative:, found {describe(root)}")
    for key in root:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or f"; it takes {', '.join(_KEYS)}"
            raise document.error((key,), f"a word file has no key {key!r}{hint}")
    lists = {key: _texts(document, key) for key in _LISTS}
    for index, word in enumerate(lists["negative"]):
        if same(word) in map(same, lists["positive"]):
            raise document.error(("negative", index), f"{word!r} stands on both sides; remove it on one")
    for index, template in enumerate(lists["templates"]):
        if placeholders(template) != {"word"}:
            place: Place = ("templates", index)
            raise document.error(place, f"expected a sentence with {{word}} and no other braces, found {template!r}")
    count = math.prod(len(texts) for texts in lists.values())
    if count > MOST_PAIRS:
        raise document.error((), f"the lists make {count} pairs; expected at most {MOST_PAIRS}")
    fields: dict[str, Any] = dict(lists)
    temperature = root.get("temperature")
    if temperature is not None:
        number = not isinstance(temperature, bool) and isinstance(temperature, int | float)
        if not number or not math.isfinite(temperature) or temperature <= 0:
            raise document.error(("temperature",), f"expected a number above 0, found {describe(temperature)}")
        fields["temperature"] = float(temperature)
    if "name" in root:
        if not isinstance(root["name"], str) or not root["name"].strip():
            raise document.error(("name",), f"expected text, found {describe(root['name'])}")
        fields["name"] = root["name"].strip()
    return fields


def _texts(document: Document, key: str) -> tuple[str, ...]:
    if key not in document.value:
        raise document.error((), f"the key {key!r} is missing; a word file has {', '.join(_LISTS)}")
    given = document.value[key]
    if not isinstance(given, list | tuple) or not given:
        raise document.error((key,), f"expected a list of texts, found {describe(given)}")
    seen: dict[str, str] = {}
    for index, item in enumerate(given):
        if not isinstance(item, str) or not item.strip():
            raise document.error((key, index), f"expected text, found {describe(item)}")
        if same(item) in seen:
            raise document.error((key, index), f"{item!r} is there twice; remove one")
        seen[same(item)] = " ".join(item.split())
    return tuple(seen.values())
