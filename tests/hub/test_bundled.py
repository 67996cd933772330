"""The default that comes with vlqa, and its base."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

import vlqa
from vlqa.predictors.ensemble import EnsemblePredictor
from vlqa.resources import weights_dir

PHOTOS = [np.asarray(image) for image in load_sample_images().images]
DAMAGES = {"gaussian blur": "blur", "jpeg": "jpeg compression", "white noise": "noise"}


@pytest.fixture(scope="module")
def mini() -> EnsemblePredictor:
    predictor = vlqa.load(device="cpu")
    assert isinstance(predictor, EnsemblePredictor)
    return predictor


def test_is_small_and_has_a_card() -> None:
    files = list(weights_dir("mini").rglob("*"))
    assert sum(file.stat().st_size for file in files) <= 30 * 2**20
    card = (weights_dir("mini") / "README.md").read_text(encoding="utf-8")
    assert all(f"**{part}" in card for part in ("Data", "Recipe", "Accuracy", "Limits", "Licence"))


@pytest.mark.parametrize("name", ["mini", "mini-zero"])
def test_damage_is_seen_and_named(name: str) -> None:
    predictor = vlqa.load(name, device="cpu")
    for photo in PHOTOS:
        for damage, called in DAMAGES.items():
            pictures = [photo, *(vlqa.degrade(photo, damage, level) for level in (1, 3, 5))]
            records = predictor.assess(pictures)
            scores = [record.raw for record in records]
            assert scores == sorted(scores, reverse=True), (damage, scores)
            assert records[-1].distortion == called


def test_the_base_is_the_default_without_its_adapter(mini: EnsemblePredictor) -> None:
    zero = vlqa.load("mini-zero", device="cpu")
    bare = vlqa.load("mini", adapter=None, device="cpu")
    assert zero.predict(PHOTOS) == pytest.approx(bare.predict(PHOTOS), abs=1e-6)
    assert np.abs(zero.predict(PHOTOS) - mini.predict(PHOTOS)).min() > 1e-3
    assert zero.assess(PHOTOS[0])[0].model == "mini-zero"


def test_names_25_types_of_damage(mini: EnsemblePredictor) -> None:
    (record,) = mini.assess(vlqa.degrade(PHOTOS[0], "pixelate", 4), attributes="degradations")
    assert isinstance(record, vlqa.Explanation) and record.attributes is not None
    assert max(record.attributes, key=record.attributes.__getitem__) == "a photo with pixelation"
