"""A random backbone, and features that lean towards one of its sentences as opinions rise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tests.tiny import CONVOLUTIONS, backbone, joint_prompts
from vlqa.predictors.antonym import AntonymPredictor
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.views import WholeImage
from vlqa.prompts import PromptSet

TRUE = ("a sharp photo", "a blurry photo")
PAIRS = {
    "sharpness": TRUE,
    "turned": TRUE[::-1],
    "scene": ("a city", "a forest"),
    "mood": ("a happy day", "a sad day"),
}
WORDS: dict[str, Any] = {
    "positive": ["sharp", "crisp", "happy"],
    "negative": ["blurry", "dark", "sad"],
    "templates": ["a {word} photo", "{word} image"],
}


def prompts(kind: str = "attributes", **changes: Any) -> PromptSet:
    pairs = {label: list(pair) for label, pair in PAIRS.items()}
    return PromptSet.from_dict({"kind": kind, "name": "mine", "pairs": pairs} | changes)


def predictor(seed: int = 0) -> AntonymPredictor:
    return AntonymPredictor(backbone(CONVOLUTIONS, seed), prompts(), WholeImage(), name="tiny")


def multitask() -> MultitaskPredictor:
    return MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), WholeImage(), name="tiny")


def rated(
    n: int = 80, noise: float = 0.5, seed: int = 0, pair: tuple[str, str] = TRUE
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Features that hold the opinion in the direction from one sentence to the other, and the opinions."""
    generator = np.random.default_rng(seed)
    good, bad = predictor().backbone.encode_text(pair).numpy()
    mos = generator.uniform(1, 5, n)
    strength = (mos - 3)[:, None] * (good - bad) / np.linalg.norm(good - bad)
    return (strength + noise * generator.normal(size=(n, 16))).astype(np.float32), mos
