"""Sentences about quality, scene and distortion in many wordings, and which picture each of them describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import Bool
from torch import Tensor

from vlqa.data.facts import ATTRIBUTES, DISTORTIONS, QUALITIES, SCENES
from vlqa.data.training_sets import quality_bin
from vlqa.prompts import PromptSet

_WORDING: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("wording.yaml").read_text(encoding="utf-8"))
DEGRADATIONS = "degradations"
"""Bundled prompts that name the types of damage and, last, none: in the order of `Facts.type`."""

NOUNS: list[str] = _WORDING["nouns"]
QUALITY_WORDS: dict[str, list[str]] = _WORDING["quality"]
SCENE_WORDS: dict[str, list[str]] = _WORDING["scene"]
DISTORTION_WORDS: dict[str, list[str]] = _WORDING["distortion"]
SEVERITY_WORDS: list[list[str]] = _WORDING["severity"]
ATTRIBUTE_WORDS: dict[str, dict[str, list[str]]] = _WORDING["attributes"]
_BEFORE: list[str] = _WORDING["before"]
_AFTER: list[str] = _WORDING["after"]
_AS_PHRASE = ("with", "without", "of", "free", "full")


@dataclass(frozen=True)
class Captions:
    """Sentences and the facts each mentions; −1 where it says nothing (int64, one entry a sentence)."""

    texts: list[str]
    content: Tensor
    scene: Tensor
    distortion: Tensor
    severity: Tensor
    quality: Tensor


def attribute_sentence(attribute: str, positive: bool, rng: np.random.Generator) -> str:
    """One wording of one side of an attribute."""
    words = ATTRIBUTE_WORDS[attribute]["positive" if positive else "negative"]
    word = str(rng.choice(words))
    frames = _AFTER if word.split()[0] in _AS_PHRASE else _BEFORE
    sentence = str(rng.choice(frames)).format(word=word, noun=rng.choice(NOUNS))
    return sentence.capitalize() if rng.random() < 0.3 else sentence


def opposite_sentences(rng: np.random.Generator) -> list[str]:
    """Two sentences an attribute, positive first, in the order of ATTRIBUTES; half of the pairs share a frame."""
    sentences = []
    for attribute in ATTRIBUTES:
        seed = int(rng.integers(2**31))
        other = seed if rng.random() < 0.5 else seed + 1
        sentences += [
            attribute_sentence(attribute, True, np.random.default_rng(seed)),
            attribute_sentence(attribute, False, np.random.default_rng(other)),
        ]
    return sentences


def caption_batch(facts: Mapping[str, Tensor], contents: Sequence[str], rng: np.random.Generator) -> Captions:
    """One caption an image, each of a random choice of what is known of it.

    Args:
        facts: a batch of `Facts` fields, n rows each.
        contents: names of the object classes.
        rng: decides what is mentioned and how.
    """
    quality = quality_bin(facts["mos"])
    rows, texts = [], []
    for i in range(len(quality)):
        scenes = (facts["scenes"][i] == 1).nonzero().flatten().tolist()
        known = {
            "content": int(facts["content"][i]),
            "scene": int(rng.choice(scenes)) if scenes else -1,
            "distortion": int(facts["distortion"][i]),
            "severity": int(facts["severity"][i]),
            "quality": int(quality[i]),
        }
        told = {name: value if rng.random() < 0.6 else -1 for name, value in known.items()}
        if told["content"] >= 0:
            told["scene"] = -1  # one subject a sentence
        if told["distortion"] < 0:
            told["severity"] = -1  # a degree is said of a damage only
        rows.append(told)
        texts.append(_sentence(told, contents, rng))
    return Captions(texts, **{name: torch.tensor([row[name] for row in rows]) for name in rows[0]})


def describes(captions: Captions, facts: Mapping[str, Tensor]) -> tuple[Bool[Tensor, "n k"], Bool[Tensor, "n k"]]:
    """Which caption describes which image, and which of these answers are known.

    A caption describes an image when every fact it mentions holds; it is known not to when one is known to be false.
    """
    quality = quality_bin(facts["mos"])
    holds = torch.ones(len(quality), len(captions.texts), dtype=torch.bool)
    fails = ~holds
    pairs = (
        (captions.content, facts["content"]),
        (captions.distortion, facts["distortion"]),
        (captions.severity, facts["severity"]),
        (captions.quality, quality),
    )
    for told, real in pairs:
        mentioned, known = (told >= 0)[None], (real >= 0)[:, None]
        same = told[None] == real[:, None]
        holds &= ~mentioned | same
        fails |= mentioned & known & ~same
    scene = facts["scenes"][:, captions.scene.clamp(min=0)]
    mentioned = (captions.scene >= 0)[None]
    holds &= ~mentioned | (scene == 1)
    fails |= mentioned & (scene == 0)
    return holds, holds | fails


def _sentence(told: Mapping[str, int], contents: Sequence[str], rng: np.random.Generator) -> str:
    noun = str(rng.choice(NOUNS))
    subject = ""
    if told["content"] >= 0:
        subject = f" of a {contents[told['content']]}"
    elif told["scene"] >= 0:
        subject = f" of a {rng.choice(SCENE_WORDS[SCENES[told['scene']]])}"
    damage = ""
    if told["distortion"] >= 0:
        word = str(rng.choice(DISTORTION_WORDS[DISTORTIONS[told["distortion"]]]))
        degree = f"{rng.choice(SEVERITY_WORDS[told['severity']])} " if told["severity"] >= 0 else ""
        damage = str(rng.choice([" with {}", " showing {}", " damaged by {}", ", affected by {}"])).format(
            degree + word
        )
    if told["quality"] < 0:
        return f"a {noun}{subject}{damage}"
    word = str(rng.choice(QUALITY_WORDS[QUALITIES[told["quality"]]]))
    if rng.random() < 0.5:
        return f"a {word} quality {noun}{subject}{damage}"
    return f"a {noun}{subject}{damage}, which is of {word} quality"


def all_words(contents: Sequence[str]) -> Iterator[str]:
    """Every word a caption can hold, for the vocabulary of the text tower."""
    yield from NOUNS
    for table in (QUALITY_WORDS, SCENE_WORDS, DISTORTION_WORDS):
        for name, words in table.items():
            yield from (name, *words)
    for words in SEVERITY_WORDS:
        yield from words
    for sides in ATTRIBUTE_WORDS.values():
        yield from (*sides["positive"], *sides["negative"])
    yield from (frame.format(word="", noun="") for frame in (*_BEFORE, *_AFTER))
    yield from PromptSet.load(DEGRADATIONS).texts
    yield "showing damaged by , affected by quality which is of artifacts and the not very a an"
    yield from contents
