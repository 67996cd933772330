"""PromptSet: sentences that name quality, read from YAML, checked, expanded and digested.

A prompt file is YAML with the keys below; anything else is an error that names the line.

```yaml
kind: antonyms              # one pair of opposite sentences; its probability is the score
kind: ensemble              # two pairs or more; the mean of their probabilities is the score
kind: attributes            # any number of pairs, each a property of its own; the first is the score
name: my_prompts            # optional; the file's name without .yaml otherwise
description: one line       # optional
temperature: 0.01           # optional; divides cosine similarities in place of the model's own 1 / logit_scale
pairs:                      # not for joint
  sharpness: [A sharp photo., A blurry photo.]    # name: [positive, negative]

kind: joint                 # every combination of labels is a sentence; one softmax over all of them
template: a {scene} of {quality} quality
labels:                     # their order is the order of the sentences, the last list varies fastest
  quality: [bad, good]
  scene: [city, forest]
values: [1, 2]              # optional: what each quality word is worth; 1, 2, … otherwise
aliases:                    # optional: other names that data sets use for a label
  scene: {city: [street, skyline]}
```
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from vlqa.errors import ConfigError, did_you_mean
from vlqa.prompts.document import Document, read_document
from vlqa.prompts.schema import Kind, expand, same, validate
from vlqa.resources import bundled

Prompts: TypeAlias = "PromptSet | str | os.PathLike[str] | Sequence[str] | Sequence[tuple[str, str]]"
"""What `PromptSet.of` takes."""


@dataclass(frozen=True)
class PromptSet:
    """Sentences to compare images with. Build one with `load`, `from_pairs`, `from_labels` or `of`, which check it.

    Attributes:
        kind: how the sentences make a score; see the top of this file.
        name: what the set is called in messages and tables.
        pairs: (positive, negative) sentences; empty for joint.
        pair_labels: one name a pair; empty for joint.
        template: the sentence with placeholders; joint only.
        axes: each placeholder with its labels, in product order; joint only.
        values: what each word of `quality` is worth; empty where there is no such axis.
        aliases: (axis, other name, label) for names of data sets that fold into a label.
        temperature: divides the cosine similarities; None leaves that to the model.
        description: one line for people.
    """

    kind: Kind
    name: str
    pairs: tuple[tuple[str, str], ...] = ()
    pair_labels: tuple[str, ...] = ()
    template: str = ""
    axes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    values: tuple[float, ...] = ()
    aliases: tuple[tuple[str, str, str], ...] = ()
    temperature: float | None = None
    description: str = ""

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> PromptSet:
        """A bundled set by its name, or a user's file by its path.

        Raises:
            ConfigError: neither a bundled name nor a file, or a file that is wrong; the message has the line.
        """
        if isinstance(name_or_path, str):
            known = bundled("prompts")
            if name_or_path in known:
                return cls.from_file(known[name_or_path])
            path = Path(name_or_path)
            if len(path.parts) < 2 and path.suffix not in (".yaml", ".yml") and not path.is_file():
                hint = did_you_mean(name_or_path, known) or "; give one of these or the path of a .yaml file"
                raise ConfigError(f"no prompts named {name_or_path!r}; there are {', '.join(known)}{hint}")
        return cls.from_file(name_or_path)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> PromptSet:
        """Read and check a prompt file.

        Raises:
            ConfigError: `file:line: what was expected, what came, what to do`.
        """
        return cls(**{"name": Path(path).stem, **validate(read_document(path))})

    @classmethod
    def from_pairs(
        cls,
        pairs: Sequence[tuple[str, str]],
        *,
        labels: Sequence[str] | None = None,
        kind: Kind | None = None,
        temperature: float | None = None,
        name: str = "pairs",
    ) -> PromptSet:
        """Pairs of opposite sentences, positive first.

        Args:
            pairs: for instance [("a sharp photo", "a blurry photo")].
            labels: one name a pair; the positive sentences otherwise.
            kind: "antonyms" for one pair and "ensemble" for several unless said otherwise.
            temperature: divides the cosine similarities; the model's own otherwise.
            name: what the set is called.

        Raises:
            ConfigError: no pairs, something other than two different texts, or labels that do not fit.
        """
        for pair in pairs:
            if not isinstance(pair, tuple | list) or [type(side) for side in pair] != [str, str]:
                raise ConfigError(f"{name}: expected pairs (positive sentence, negative sentence), found {pair!r}")
        if labels is None:
            repeated = Counter(positive for positive, _ in pairs)
            labels = [f"{good} / {bad}" if repeated[good] > 1 else good for good, bad in pairs]
        if len(labels) != len(pairs):
            raise ConfigError(f"{name}: expected one label for each of {len(pairs)} pairs, found {len(labels)}")
        if len(set(labels)) < len(labels):
            label = Counter(labels).most_common(1)[0][0]
            raise ConfigError(f"{name}: two pairs are called {label!r}; remove one or give labels=")
        given = {
            "name": name,
            "kind": kind or ("antonyms" if len(pairs) == 1 else "ensemble"),
            "pairs": {label: list(pair) for label, pair in zip(labels, pairs, strict=True)},
            "temperature": temperature,
        }
        return cls.from_dict(given)

    @classmethod
    def from_labels(
        cls,
        labels: Sequence[str],
        *,
        template: str = "{label}",
        axis: str = "label",
        temperature: float | None = None,
        name: str = "labels",
    ) -> PromptSet:
        """Plain labels that share one softmax, for instance ["a cat", "a dog"].

        Args:
            labels: two words or sentences, or more.
            template: a sentence in which `{label}` (or the axis) is replaced by each of them.
            axis: what the labels say; "quality" gives them the values 1, 2, ….
            temperature: divides the cosine similarities; the model's own otherwise.
            name: what the set is called.
        """
        if isinstance(labels, str):
            raise ConfigError(f"{name}: expected a list of labels, found the text {labels!r}; put it in a list")
        template = template.replace("{label}", f"{{{axis}}}")
        given = {"name": name, "kind": "joint", "template": template, "labels": {axis: list(labels)}}
        return cls.from_dict(given | {"temperature": temperature})

    @classmethod
    def of(cls, prompts: Prompts) -> PromptSet:
        """A PromptSet from whatever a caller may pass as prompts.

        Args:
            prompts: a PromptSet; a bundled name or a path; a list of (positive, negative) pairs, whose probabilities
                are each pair's own; or a list of texts, which share one softmax.
        """
        if isinstance(prompts, PromptSet):
            return prompts
        if isinstance(prompts, str | os.PathLike):
            return cls.load(prompts)
        items: list[Any] = list(prompts)
        if isinstance(prompts, tuple) and len(items) == 2 and all(isinstance(item, str) for item in items):
            raise ConfigError(
                f"a pair of opposite sentences goes into a list: [{prompts!r}]; two labels go into one too"
            )
        if items and all(isinstance(item, str) for item in items):
            return cls.from_labels(items)
        return cls.from_pairs(items)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> PromptSet:
        """The set that `as_dict` wrote, checked as a file is."""
        name = document.get("name", "prompts")
        fields = validate(Document(dict(document), f"prompts {name!r}"))
        return cls(**{"name": "prompts", **fields})

    def as_dict(self) -> dict[str, Any]:
        """The set in the schema of a prompt file, as plain data for JSON or YAML."""
        document: dict[str, Any] = {"kind": self.kind, "name": self.name}
        if self.description:
            document["description"] = self.description
        if self.temperature is not None:
            document["temperature"] = self.temperature
        if self.kind != "joint":
            return document | {"pairs": dict(zip(self.pair_labels, map(list, self.pairs), strict=True))}
        document |= {"template": self.template, "labels": {axis: list(labels) for axis, labels in self.axes}}
        if self.values:
            document["values"] = list(self.values)
        if self.aliases:
            folds: dict[str, dict[str, list[str]]] = {}
            for axis, other, label in self.aliases:
                folds.setdefault(axis, {}).setdefault(label, []).append(other)
            document["aliases"] = folds
        return document

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write a prompt file that `from_file` reads."""
        import yaml

        from vlqa.artifacts import atomic_write  # imports torch, which reading prompts does without

        with atomic_write(path, "w") as file:
            yaml.safe_dump(self.as_dict(), file, sort_keys=False, allow_unicode=True, width=120)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Every sentence in the order it is encoded: positive, negative, positive, …; or the product of the labels."""
        if self.kind != "joint":
            return tuple(itertools.chain.from_iterable(self.pairs))
        names = [axis for axis, _ in self.axes]
        products = itertools.product(*(labels for _, labels in self.axes))
        return tuple(expand(self.template, dict(zip(names, product, strict=True))) for product in products)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape into which `texts` folds: (k, 2) for pairs, the numbers of labels for joint."""
        return tuple(len(labels) for _, labels in self.axes) if self.kind == "joint" else (len(self.pairs), 2)

    @property
    def scored(self) -> tuple[int, ...]:
        """Positions of the pairs whose mean probability is the score: all of an ensemble, else the first."""
        return tuple(range(len(self.pairs))) if self.kind == "ensemble" else (0,) if self.pairs else ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all that decides scores: kind, texts, labels, their order, values and temperature."""
        decisive = [self.kind, self.texts, self.pair_labels, self.axes, self.values, self.temperature]
        return hashlib.sha256(json.dumps(decisive, ensure_ascii=False).encode()).hexdigest()

    def fold(self, axis: str, name: str) -> str:
        """The label that a data set's own name stands for; case, blanks and underscores do not matter.

        Raises:
            ConfigError: no such axis, or a name that is neither a label nor an alias of one.
        """
        labels = dict(self.axes).get(axis)
        if labels is None:
            raise ConfigError(f"prompts {self.name!r} have no labels {axis!r}; there are {[a for a, _ in self.axes]}")
        known = {same(label): label for label in labels}
        known |= {same(other): label for where, other, label in self.aliases if where == axis}
        if same(name) not in known:
            raise ConfigError(f"{name!r} is no {axis} of prompts {self.name!r}{did_you_mean(same(name), known)}")
        return known[same(name)]

    @staticmethod
    def bundled_names() -> tuple[str, ...]:
        """Names that `load` knows."""
        return tuple(bundled("prompts"))
