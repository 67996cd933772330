"""Sentences about quality, scene and distortion in many wordings, and which picture each of them describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from vlqa.data.facts import ATTRIBUTES, DISTORTIONS, QUALITIES, SCENES
from vlqa.data.training_sets import quality_bin

NOUNS = ("photo", "photograph", "picture", "image", "shot", "snapshot")

QUALITY_WORDS: Mapping[str, tuple[str, ...]] = {
    "bad": ("bad", "terrible", "awful", "very bad", "horrible", "ugly", "very poor", "worst", "unusable", "extremely low"),
    "poor": ("poor", "low", "inferior", "mediocre", "unpleasant", "disappointing", "weak"),
    "fair": ("fair", "average", "acceptable", "medium", "ordinary", "passable", "decent"),
    "good": ("good", "nice", "fine", "high", "pleasant", "solid"),
    "perfect": ("perfect", "excellent", "outstanding", "superb", "great", "very good", "flawless", "very high", "best", "beautiful"),
}  # fmt: skip

SCENE_WORDS: Mapping[str, tuple[str, ...]] = {
    "animal": ("animal", "pet", "wild animal", "dog", "cat", "bird", "creature", "wildlife"),
    "cityscape": ("cityscape", "city", "building", "street", "town", "architecture", "urban scene", "skyline"),
    "human": ("human", "person", "people", "man", "woman", "face", "portrait", "child", "crowd"),
    "indoor": ("indoor", "indoor scene", "room", "interior", "kitchen", "office", "inside of a house"),
    "landscape": ("landscape", "mountain", "nature scene", "sea", "sky", "beach", "field", "lake", "outdoor scene"),
    "night": ("night", "night scene", "dark night", "city at night", "night sky", "evening"),
    "plant": ("plant", "flower", "tree", "leaves", "garden", "grass", "forest"),
    "still_life": ("still_life", "still life", "object", "food", "toy", "thing on a table", "car", "tool"),
    "others": ("others", "something else", "miscellaneous scene"),
}

DISTORTION_WORDS: Mapping[str, tuple[str, ...]] = {
    "jpeg2000 compression": ("jpeg2000 compression", "jpeg 2000 artifacts", "wavelet compression", "ringing artifacts", "smeared details"),
    "jpeg compression": ("jpeg compression", "jpeg artifacts", "compression artifacts", "blocking artifacts", "blocky jpeg", "block artifacts"),
    "noise": ("noise", "grain", "sensor noise", "gaussian noise", "speckle noise", "salt and pepper noise", "grainy texture"),
    "blur": ("blur", "gaussian blur", "motion blur", "defocus", "lens blur", "camera shake", "out of focus blur", "softness"),
    "color": ("color", "color distortion", "wrong colors", "faded colors", "oversaturated colors", "color cast", "strange colors"),
    "contrast": ("contrast", "contrast change", "wrong contrast", "oversharpening", "halos", "too much sharpening"),
    "overexposure": ("overexposure", "too much light", "blown out highlights", "excessive brightness"),
    "underexposure": ("underexposure", "too little light", "darkness", "crushed shadows", "insufficient light"),
    "spatial": ("spatial", "pixelation", "jitter", "warped pixels", "color blocks", "misplaced patches", "mosaic artifacts"),
    "quantization": ("quantization", "banding", "posterization", "too few colors", "color banding"),
    "other": ("other", "unusual distortion", "other distortions", "mixed distortions"),
}  # fmt: skip

SEVERITY_WORDS = (("mild", "slight", "barely visible", "weak", "light"), ("moderate", "visible", "noticeable"), ("severe", "heavy", "strong", "extreme", "very strong"))  # fmt: skip

ATTRIBUTE_WORDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "quality": (
        ("good", "high quality", "nice", "excellent", "great", "perfect", "beautiful", "pleasant", "professional", "clear and pleasing"),
        ("bad", "low quality", "ugly", "poor", "terrible", "awful", "unpleasant", "amateur", "degraded", "distorted"),
    ),
    "sharpness": (
        ("sharp", "crisp", "in focus", "well focused", "clear", "detailed", "with sharp edges", "high resolution", "of sharp details"),
        ("blurry", "blurred", "out of focus", "unfocused", "soft", "fuzzy", "with blurry edges", "low resolution", "hazy and smeared"),
    ),
    "cleanliness": (
        ("clean", "noise-free", "noiseless", "without noise", "smooth", "free of grain", "with little noise", "low noise"),
        ("noisy", "grainy", "full of noise", "with noise", "speckled", "with heavy grain", "with a lot of noise", "high noise"),
    ),
    "compression": (
        ("uncompressed", "without compression artifacts", "free of jpeg artifacts", "without blocking artifacts", "artifact-free", "losslessly stored"),
        ("compressed", "with compression artifacts", "with jpeg artifacts", "with blocking artifacts", "blocky", "heavily compressed"),
    ),
    "exposure_high": (
        ("well exposed", "properly exposed", "correctly exposed", "with preserved highlights", "with natural brightness"),
        ("overexposed", "too bright", "washed out", "blown out", "with too much light"),
    ),
    "exposure_low": (
        ("well exposed", "properly exposed", "correctly exposed", "with preserved shadows", "well lit"),
        ("underexposed", "too dark", "poorly lit", "gloomy", "with too little light"),
    ),
    "brightness": (("bright", "light", "luminous", "brightly lit"), ("dark", "dim", "darkened", "dimly lit")),
    "contrast": (
        ("high contrast", "contrasty", "with strong contrast", "punchy"),
        ("low contrast", "flat", "with weak contrast", "dull and grey"),
    ),
    "colorfulness": (
        ("colorful", "vivid", "saturated", "vibrant", "with rich colors", "full of color"),
        ("dull", "colorless", "desaturated", "grey", "monochrome", "black and white", "with faded colors"),
    ),
    "complexity": (
        ("complex", "busy", "cluttered", "full of details", "textured"),
        ("simple", "plain", "empty", "minimal", "uniform"),
    ),
}  # fmt: skip

_BEFORE = ("{word} {noun}", "a {word} {noun}", "this is a {word} {noun}", "the {noun} is {word}", "this {noun} looks {word}", "an image that is {word}", "{word} {noun}.", "{word}")  # fmt: skip
_AFTER = ("{noun} {word}", "a {noun} {word}", "this is a {noun} {word}", "an image {word}", "{noun} {word}.")
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
    words = ATTRIBUTE_WORDS[attribute][0 if positive else 1]
    word = str(rng.choice(words))
    frames = _AFTER if word.split()[0] in _AS_PHRASE else _BEFORE
    sentence = str(rng.choice(frames)).format(word=word, noun=rng.choice(NOUNS))
    return sentence.capitalize() if rng.random() < 0.3 else sentence


def opposite_sentences(rng: np.random.Generator) -> list[str]:
    """Two sentences an attribute, positive first, in the order of ATTRIBUTES; the pair shares its frame half the time."""
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
        if told["content"] >= 0 or told["distortion"] < 0:
            told["scene" if told["content"] >= 0 else "severity"] = -1
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
        damage = str(rng.choice([" with {}", " showing {}", " damaged by {}", ", affected by {}"])).format(degree + word)
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
    for positive, negative in ATTRIBUTE_WORDS.values():
        yield from (*positive, *negative)
    yield from (frame.format(word="", noun="") for frame in (*_BEFORE, *_AFTER))
    yield "showing damaged by , affected by quality which is of artifacts and the not very a an"
    yield from contents
