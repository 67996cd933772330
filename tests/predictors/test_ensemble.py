from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import CONVOLUTIONS, backbone, joint_prompts, pictures
from vlqa.errors import ConfigError
from vlqa.hub import load, save
from vlqa.models.image_encoder import build_encoder
from vlqa.predictors.antonym import AntonymPredictor
from vlqa.predictors.ensemble import EnsemblePredictor
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.pristine import PristinePredictor, PristineStatistics
from vlqa.predictors.regression import LinearRegressor, RegressionPredictor
from vlqa.predictors.views import PatchGrid, Scales, WholeImage
from vlqa.prompts import PromptSet
from vlqa.types import Assessment, Explanation

TRUNK: dict[str, Any] = {"trunk": {"kind": "quality", "widths": [4], "blocks": [1]}, "head": [8, 8]}
IMAGES = pictures(5, lowest=40)


def views() -> tuple[MultitaskPredictor, PristinePredictor]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        encoder = build_encoder(TRUNK).eval().requires_grad_(False)
        encoder.head[-1].weight.mul_(100)  # else distances differ by less than float32 tells of the other score
    statistics = PristineStatistics.of(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)))
    low = PristinePredictor({"low": encoder}, statistics, PatchGrid(16, 8), name="both")
    return MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), WholeImage(), name="both"), low


def both(weights: tuple[float, float] = (1.0, 1.0), **reading: Any) -> EnsemblePredictor:
    return EnsemblePredictor(*views(), weights=weights, name="both", **reading)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 3.0), (1.0, 0.0)])
def test_the_score_is_the_weighted_sum(weights: tuple[float, float]) -> None:
    high, low = views()
    ensemble = both(weights)
    expected = weights[0] * high.predict(IMAGES) + weights[1] * low.predict(IMAGES)
    np.testing.assert_allclose(ensemble.predict(IMAGES), expected, rtol=1e-6)
    assert ensemble.scale == pytest.approx((weights[0], 3 * weights[0] + weights[1] / 2))


def test_an_assessment_tells_the_views_apart() -> None:
    high, low = views()
    found = both().assess([*IMAGES, b"no picture"])
    assert found[-1].error is not None and found[-1].raw is None
    for record, of_high, of_low in zip(found, high.assess(IMAGES), low.assess(IMAGES), strict=False):
        assert record.high == pytest.approx(of_high.raw) and record.low == pytest.approx(of_low.raw)
        assert record.raw == pytest.approx(of_high.raw + of_low.raw)
        assert record.scene == of_high.scene and record.quality_probabilities is not None
        assert record.digest == both().digest[:16] != of_high.digest


@pytest.mark.parametrize("wanted", [(0.75, 0.25), (1.0, 0.0)])
def test_calibrated_weights_are_those_that_fit_the_opinions(wanted: tuple[float, float], tmp_path: Path) -> None:
    high, low = views()
    images = pictures(9, lowest=40)
    opinions = 7 + 20 * (wanted[0] * high.predict(images) + wanted[1] * low.predict(images))
    calibrated = both((1.0, 5.0)).calibrated([*images, b"no picture"], [*opinions, 3])
    assert calibrated.weights == pytest.approx(wanted, abs=0.01)
    assert both((1.0, 5.0)).weights == (1.0, 5.0)
    again = load(save(calibrated, tmp_path / "saved"), device="cpu")
    assert np.corrcoef(again.predict(images), opinions)[0, 1] == pytest.approx(1, abs=1e-6)


def test_weights_that_cannot_be_calibrated() -> None:
    falling = sum(-found / found.std() for found in (view.predict(IMAGES) for view in views()))
    with pytest.raises(ConfigError, match="neither view rises"):
        both().calibrated(IMAGES, falling)
    with pytest.raises(ConfigError, match="2 scored and rated pictures are too few"):
        both().calibrated(IMAGES, [1, np.nan, 3, np.nan, np.nan])
    with pytest.raises(ConfigError, match="neither view rises"):  # pictures that are all the same
        both().calibrated([IMAGES[0]] * 5, [1, 2, 3, 4, 5])
    with pytest.raises(ConfigError, match="expected one opinion for each of 5 pictures, found shape"):
        both().calibrated(IMAGES, [1, 2])
    with pytest.raises(ConfigError, match="2 scored and rated pictures are too few"):
        both().calibrated(IMAGES[:2], [1, 2])


def test_an_explanation_tells_what_the_score_rests_on() -> None:
    ensemble = both((1.0, 2.0))
    found = ensemble.assess([*IMAGES, b"no picture"], attributes=[("sharp", "blurred"), ("bright", "dark")])
    plain = ensemble.assess([*IMAGES, b"no picture"])
    assert all(type(record) is Assessment for record in plain)
    joint = ensemble.probabilities(IMAGES)
    claims = ensemble.probabilities(IMAGES, [("sharp", "blurred"), ("bright", "dark")])
    for row, (record, same) in enumerate(zip(found[:-1], plain, strict=False)):
        assert isinstance(record, Explanation)
        assert {name: value for name, value in record.as_dict().items() if name in same.as_dict()} == same.as_dict()
        assert record.joint_probabilities is not None and record.quality_probabilities is not None
        assert list(record.joint_probabilities.values()) == pytest.approx(joint[row], rel=1e-4)
        bad = sum(value for text, value in record.joint_probabilities.items() if "bad quality" in text)
        assert bad == pytest.approx(record.quality_probabilities["bad"], rel=1e-4)
        assert record.attributes is not None and list(record.attributes.values()) == pytest.approx(
            claims[row], rel=1e-4
        )
        assert record.shares is not None and record.high is not None and record.low is not None
        above = [record.high - 1, 2 * record.low]  # over the lowest score of each scale, 1 and 0
        assert record.shares == pytest.approx({"high": above[0] / sum(above), "low": above[1] / sum(above)})
    assert isinstance(found[-1], Explanation) and found[-1].error and found[-1].shares is None
    (bare,) = both((1.0, 0.0)).assess(IMAGES[0], explain=True)
    assert isinstance(bare, Explanation) and bare.shares == {"high": 1.0, "low": 0.0} and bare.attributes is None


def test_a_model_without_a_text_tower_has_no_attributes() -> None:
    _, low = views()
    (record,) = low.assess(IMAGES[0], explain=True)
    assert isinstance(record, Explanation) and record.joint_probabilities is None and record.shares is None
    with pytest.raises(ConfigError, match="it has no text tower"):
        low.assess(IMAGES[0], attributes=["good", "bad"])


def test_explanations_from_features() -> None:
    high, low = views()
    regressor = LinearRegressor(torch.arange(8, dtype=torch.float64), 1.0, (0.0, 10.0))
    linear = RegressionPredictor(low.encoders, Scales(), regressor, normalize=False, name="linear")
    ensemble = EnsemblePredictor(high, linear, weights=(1, 0.1), name="both")
    found = ensemble.assess_features(ensemble.embed(IMAGES), attributes=["a city", "a forest"])
    expected = ensemble.assess(IMAGES, attributes=["a city", "a forest"])
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, Explanation) and isinstance(other, Explanation)
        assert one.attributes == pytest.approx(other.attributes) and one.shares == pytest.approx(other.shares)


def test_features_lie_side_by_side() -> None:
    high, low = views()
    ensemble = both()
    features = ensemble.embed(IMAGES)
    assert features.shape == (5, 16 + 8)
    np.testing.assert_allclose(features[:, ensemble.feature_slices["high"]], high.embed(IMAGES), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(features[:, ensemble.feature_slices["low"]], low.embed(IMAGES), rtol=1e-5, atol=1e-6)
    for scorer in (ensemble, low):
        assert not scorer.scores_from_features
        for call in (scorer.predict_features, scorer.assess_features):
            with pytest.raises(ConfigError, match="scores by the patches"):
                call(scorer.embed(IMAGES))


def test_scores_follow_from_features_where_both_views_do() -> None:
    high, low = views()
    regressor = LinearRegressor(torch.arange(8, dtype=torch.float64), 1.0, (0.0, 10.0))
    linear = RegressionPredictor(low.encoders, Scales(), regressor, normalize=False, name="linear")
    ensemble = EnsemblePredictor(high, linear, weights=(1, 0.1), name="both")
    features = ensemble.embed(IMAGES)
    np.testing.assert_allclose(ensemble.predict_features(features), ensemble.predict(IMAGES), rtol=1e-6)
    assert [record.raw for record in ensemble.assess_features(features)] == pytest.approx(ensemble.predict(IMAGES))


def test_a_view_of_no_weight_is_told_and_costs_predict_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    high, low = views()
    ensemble = both((1.0, 0.0))
    expected = low.predict(IMAGES)
    assert [record.low for record in ensemble.assess(IMAGES)] == pytest.approx(expected)
    features = ensemble.embed(IMAGES)
    assert ensemble.scores_from_features
    np.testing.assert_allclose(ensemble.predict_features(features), ensemble.predict(IMAGES), rtol=1e-5)
    stored = ensemble.assess_features(features)
    assert all(record.low is None and record.high == record.raw for record in stored)
    monkeypatch.setattr(ensemble.low, "_encode", None)
    np.testing.assert_allclose(ensemble.predict(IMAGES), high.predict(IMAGES), rtol=1e-6)


def test_free_sentences_are_read_by_the_vision_language_view() -> None:
    high, _ = views()
    pairs = [("a sharp photo", "a blurred photo")]
    expected = high.probabilities(IMAGES, pairs)
    np.testing.assert_allclose(both().probabilities(IMAGES, pairs), expected, rtol=1e-6)
    np.testing.assert_allclose(both().probabilities_features(both().embed(IMAGES), pairs), expected, rtol=1e-5)
    assert both().backbone.embed_dim == 16


def test_batches_and_threads_change_nothing() -> None:
    alone = [float(both(workers=0).predict(image)[0]) for image in IMAGES]
    np.testing.assert_allclose(both(batch_size=2, workers=2).predict(IMAGES), alone, rtol=1e-5)


@pytest.mark.parametrize("weights", [(-1.0, 1.0), (0.0, 0.0), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_weights_are_checked(weights: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="positive or 0, and not both 0"):
        both(weights)


def test_saves_loads_and_takes_the_options_of_both_views(tmp_path: Path) -> None:
    before = both((1.0, 2.0))
    save(before, tmp_path / "both")
    after = load(tmp_path / "both", device="cpu")
    assert isinstance(after, EnsemblePredictor) and after.weights == (1.0, 2.0) and after.digest == before.digest
    np.testing.assert_allclose(after.predict(IMAGES), before.predict(IMAGES), rtol=1e-6)
    statistics = load(save(before, tmp_path / "half", half=True), device="cpu").low.statistics
    assert torch.equal(statistics.covariance, before.low.statistics.covariance)
    smaller = load(tmp_path / "both", device="cpu", max_shorter_side=32, batch_size=1)
    assert isinstance(smaller, EnsemblePredictor) and smaller.high.view.as_dict()["max_shorter_side"] == 32
    with pytest.raises(ConfigError, match=r"both has no option 'patches'; it has max_shorter_side, .*pristine"):
        load(tmp_path / "both", device="cpu", patches="demo")


def test_other_prompts_leave_the_low_level_view_out(tmp_path: Path) -> None:
    save(both(), tmp_path / "both")
    asked = load(tmp_path / "both", prompts="clip_iqa", device="cpu")
    assert isinstance(asked, AntonymPredictor) and asked.scale == (0, 1)
    expected = AntonymPredictor(backbone(CONVOLUTIONS), PromptSet.load("clip_iqa"), WholeImage(), name="both")
    np.testing.assert_allclose(asked.predict(IMAGES), expected.predict(IMAGES), rtol=1e-5)


def test_the_bundled_default_does_what_the_readme_says() -> None:
    predictor = load(device="cpu")
    features = predictor.embed(IMAGES)
    assert features.shape == (5, predictor.width) and set(predictor.feature_slices) == {"high", "low"}
    np.testing.assert_allclose(predictor.predict_features(features), predictor.predict(IMAGES), atol=1e-5)
    pairs = [("a sharp photo", "a blurry photo")]
    found = predictor.probabilities_features(features, pairs)
    np.testing.assert_allclose(found, predictor.probabilities(IMAGES, pairs), atol=1e-5)
    assert all(0 <= record.low <= 0.5 and record.high == record.raw for record in predictor.assess(IMAGES))
