from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import CONVOLUTIONS, VIT, backbone, joint_prompts, pictures
from vlqa.errors import ConfigError, ImageDecodeError, ImageWarning, VLQAError
from vlqa.functional.multitask import joint_probabilities
from vlqa.predictors import AntonymPredictor, MultitaskPredictor, PromptPredictor
from vlqa.predictors.views import LiqePatches, WholeImage
from vlqa.prompts import PromptSet
from vlqa.types import QualityPredictor


@pytest.fixture(scope="module")
def liqe() -> MultitaskPredictor:
    return MultitaskPredictor(backbone(VIT), joint_prompts(), LiqePatches(size=32), workers=2)


@pytest.fixture(scope="module")
def mini() -> MultitaskPredictor:
    return MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), WholeImage(), name="mini", workers=2)


@pytest.fixture(scope="module")
def clip_iqa() -> AntonymPredictor:
    return AntonymPredictor(backbone(CONVOLUTIONS), PromptSet.load("clip_iqa_ensemble"), WholeImage(), workers=2)


@pytest.fixture(params=["liqe", "mini", "clip_iqa"])
def predictor(request: pytest.FixtureRequest) -> PromptPredictor:
    return request.getfixturevalue(request.param)


def test_a_batch_equals_single_images(predictor: PromptPredictor) -> None:
    images = pictures(16, highest=60)
    together = predictor.predict(images)
    assert together.dtype == np.float64 and together.shape == (16,)
    alone = np.concatenate([predictor.predict(image) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(predictor.predict(images[::-1])[::-1], together, atol=1e-5)
    assert np.ptp(together) > 1e-5
    low, high = predictor.scale
    assert bool(((together >= low) & (together <= high)).all())


def test_scores_are_a_function_of_features(predictor: PromptPredictor) -> None:
    images = pictures(6)
    features = predictor.embed(images)
    assert features.dtype == np.float32 and features.shape == (6, 16)
    assert predictor.feature_slices == {"high": slice(0, 16)} and predictor.scores_from_features
    np.testing.assert_allclose(predictor.predict_features(features), predictor.predict(images), atol=1e-6)
    np.testing.assert_allclose(predictor.predict_features(features.tolist()), predictor.predict(images), atol=1e-6)
    direct, stored = predictor.assess(images), predictor.assess_features(features, ["a.jpg"] * 6)
    for one, other in zip(direct, stored, strict=True):
        assert other.path == "a.jpg" and one.path is None
        assert one.raw == pytest.approx(other.raw, abs=1e-6)
        assert (one.scene, one.model, one.digest) == (other.scene, other.model, other.digest)
    with pytest.raises(ConfigError, match=r"shape \(n, 16\), got \(16,\)"):
        predictor.predict_features(features[0])
    with pytest.raises(ConfigError, match="one path for each of 6 rows"):
        predictor.assess_features(features, ["a.jpg"])


def test_patch_logits_are_averaged_before_the_softmax(liqe: MultitaskPredictor) -> None:
    image = pictures(1, lowest=150, highest=200)[0]
    patches = liqe.view(image)
    assert len(patches) == 15
    vectors = torch.nn.functional.normalize(liqe.backbone.encode_image(patches), dim=-1)
    logits = liqe.backbone.logit_scale * vectors @ liqe.backbone.encode_text(liqe.prompts.texts).T
    p_quality = joint_probabilities(logits.mean(0, keepdim=True), (3, 2, 2)).sum(dim=(2, 3))
    expected = sum(worth * float(p) for worth, p in zip((1, 2, 3), p_quality[0], strict=True))
    assert liqe.predict(image)[0] == pytest.approx(expected, abs=1e-5)


def test_multitask_assessment(liqe: MultitaskPredictor) -> None:
    assessment = liqe.assess(pictures(1))[0]
    assert liqe.scale == (1, 3)
    assert assessment.raw is not None and assessment.quality == pytest.approx((assessment.raw - 1) / 2)
    parts = assessment.quality_probabilities, assessment.scene_probabilities, assessment.distortion_probabilities
    for probabilities, (_, labels) in zip(parts, liqe.prompts.axes, strict=True):
        assert probabilities is not None
        assert tuple(probabilities) == labels
        assert sum(probabilities.values()) == pytest.approx(1)
    scenes, distortions = parts[1] or {}, parts[2] or {}
    assert assessment.scene == max(scenes, key=lambda label: scenes[label])
    assert assessment.distortion == max(distortions, key=lambda label: distortions[label])
    assert assessment.model == "liqe" and len(assessment.digest) == 16 and liqe.digest.startswith(assessment.digest)
    assert assessment.high is None and assessment.error is None


def test_quality_words_alone() -> None:
    five = MultitaskPredictor(backbone(CONVOLUTIONS), PromptSet.load("liqe_quality"), WholeImage())
    assessment = five.assess(pictures(1))[0]
    assert five.scale == (1, 5)
    assert assessment.scene is None and assessment.scene_probabilities is None
    words = assessment.quality_probabilities or {}
    assert assessment.raw == pytest.approx(sum(k * p for k, p in enumerate(words.values(), start=1)), abs=1e-5)


def test_antonyms_equal_their_formula(clip_iqa: AntonymPredictor) -> None:
    images = pictures(3)
    vectors = torch.nn.functional.normalize(torch.from_numpy(clip_iqa.embed(images)), dim=-1)
    means = []
    for vector in vectors:
        each = []
        for pair in clip_iqa.prompts.pairs:
            good, bad = (
                clip_iqa.backbone.logit_scale * float(vector @ text) for text in clip_iqa.backbone.encode_text(pair)
            )
            each.append(1 / (1 + math.exp(bad - good)))
        means.append(sum(each) / len(each))
    np.testing.assert_allclose(clip_iqa.predict(images), means, atol=1e-5)
    np.testing.assert_allclose(clip_iqa.probabilities(images).mean(1), means, atol=1e-5)
    assert clip_iqa.probabilities(images).shape == (3, 5)
    assert clip_iqa.scale == (0, 1) and clip_iqa.assess(images)[0].quality == pytest.approx(means[0], abs=1e-5)


def test_attributes_score_by_their_first_pair() -> None:
    attributes = AntonymPredictor(backbone(CONVOLUTIONS), PromptSet.load("attributes"), WholeImage())
    images = pictures(2)
    np.testing.assert_allclose(attributes.predict(images), attributes.probabilities(images)[:, 0], atol=1e-6)


def test_probabilities_of_free_prompts(predictor: PromptPredictor, tmp_path: Path) -> None:
    images = pictures(4)
    pair = predictor.probabilities(images, [("a sharp photo", "a blurry photo")])
    assert pair.shape == (4, 1)
    swapped = predictor.probabilities(images, [("a blurry photo", "a sharp photo")])
    np.testing.assert_allclose(pair + swapped, 1, atol=1e-6)
    labels = predictor.probabilities(images, ["a cat", "a dog", "a house"])
    assert labels.shape == (4, 3)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    assert predictor.probabilities(images, "clip_iqa").shape == (4, 1)
    file = tmp_path / "mine.yaml"
    file.write_text("kind: antonyms\npairs:\n  sharpness: [a sharp photo, a blurry photo]\n")
    np.testing.assert_allclose(predictor.probabilities(images, file), pair, atol=1e-6)
    stored = predictor.probabilities_features(predictor.embed(images), file)
    np.testing.assert_allclose(stored, pair, atol=1e-5)
    joint = predictor.probabilities(images, joint_prompts())
    assert joint.shape == (4, 12)
    np.testing.assert_allclose(joint.sum(1), 1, atol=1e-6)


def test_temperature_of_prompts_replaces_the_models(mini: MultitaskPredictor) -> None:
    image, pair = pictures(1), ("a sharp photo", "a blurry photo")
    own = PromptSet.from_pairs([pair], temperature=1 / mini.backbone.logit_scale)
    np.testing.assert_allclose(mini.probabilities(image, own), mini.probabilities(image, [pair]), atol=1e-6)
    flat = PromptSet.from_pairs([pair], temperature=1e6)
    np.testing.assert_allclose(mini.probabilities(image, flat), 0.5, atol=1e-5)


def test_every_kind_of_image_and_of_call(mini: MultitaskPredictor, tmp_path: Path) -> None:
    array = pictures(1)[0]
    file = tmp_path / "picture.png"
    Image.fromarray(array).save(file)
    expected = mini.predict(array)
    assert expected.shape == (1,)
    with Image.open(file) as opened:
        same = [file, str(file), file.read_bytes(), Image.fromarray(array), opened]
        for image in same:
            np.testing.assert_allclose(mini.predict(image), expected, atol=1e-6)
        np.testing.assert_allclose(mini.predict(iter(same)), np.repeat(expected, 5), atol=1e-6)
    np.testing.assert_allclose(mini.predict(np.stack([array] * 3)), np.repeat(expected, 3), atol=1e-6)
    assert [assessment.path for assessment in mini.assess([file, array])] == [str(file), None]
    for wrong in (3, None):
        with pytest.raises(ConfigError, match="images must be a path, bytes, PIL image"):
            mini.predict(wrong)  # type: ignore[arg-type]


def test_no_images(predictor: PromptPredictor) -> None:
    assert predictor.predict([]).shape == (0,)
    assert predictor.embed([]).shape == (0, 16)
    assert predictor.probabilities([], ["a", "b", "c"]).shape == (0, 3)
    assert predictor.assess([]) == []


def test_failures_are_nan_with_one_warning_each(mini: MultitaskPredictor) -> None:
    images = [pictures(1)[0], "missing.jpg", b"no picture"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scores = mini.predict(images)
    assert np.isnan(scores).tolist() == [False, True, True]
    assert [warning.category for warning in caught] == [ImageWarning] * 2
    assert "missing.jpg" in str(caught[0].message) and "image 2" in str(caught[1].message)
    assert caught[0].filename == __file__
    with pytest.warns(ImageWarning):
        assert np.isnan(mini.embed(images)).all(1).tolist() == [False, True, True]
    with pytest.warns(ImageWarning):
        assert np.isnan(mini.probabilities(images, ["a", "b"])).all(1).tolist() == [False, True, True]
    found = mini.assess(images)
    assert [assessment.error is None for assessment in found] == [True, False, False]
    assert found[1].path == "missing.jpg" and found[1].raw is None and found[1].model == "mini"


@pytest.mark.filterwarnings("ignore::vlqa.errors.ImageWarning")
def test_all_failing_is_an_error(mini: MultitaskPredictor) -> None:
    with pytest.raises(ImageDecodeError, match=r"missing\.jpg"):
        mini.predict("missing.jpg")
    with pytest.raises(VLQAError, match=r"all 2 images fail; the first: .*missing\.jpg"):
        mini.predict(["missing.jpg", "gone.jpg"])


def test_features_that_failed_have_no_score(mini: MultitaskPredictor) -> None:
    features = np.full((1, 16), np.nan, np.float32)
    assert np.isnan(mini.predict_features(features)).all()
    assert "not finite" in (mini.assess_features(features)[0].error or "")


def test_digest_tells_weights_prompts_and_view_apart() -> None:
    tower = backbone(CONVOLUTIONS)
    made = [
        MultitaskPredictor(tower, joint_prompts(), WholeImage()),
        MultitaskPredictor(backbone(CONVOLUTIONS, seed=1), joint_prompts(), WholeImage()),
        MultitaskPredictor(tower, PromptSet.load("liqe_quality"), WholeImage()),
        MultitaskPredictor(tower, joint_prompts(), WholeImage(max_shorter_side=64)),
    ]
    assert len({predictor.digest for predictor in made}) == 4
    again = MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), WholeImage(), batch_size=1)
    assert again.digest == made[0].digest


def test_prompts_that_do_not_fit() -> None:
    tower = backbone(CONVOLUTIONS)
    with pytest.raises(ConfigError, match="expected pairs of opposite sentences"):
        AntonymPredictor(tower, joint_prompts(), WholeImage())
    for prompts in (PromptSet.load("clip_iqa"), PromptSet.from_labels(["a cat", "a dog"])):
        with pytest.raises(ConfigError, match="joint prompts with labels of 'quality'"):
            MultitaskPredictor(tower, prompts, WholeImage())


def test_predictors_keep_the_protocol(predictor: PromptPredictor) -> None:
    assert isinstance(predictor, QualityPredictor)


def test_sentences_are_tokenised_once_a_call_not_once_an_image(
    mini: MultitaskPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    encode = mini.backbone.encode_text
    monkeypatch.setattr(mini.backbone, "encode_text", lambda texts: calls.append(texts) or encode(texts))
    found = mini.assess(pictures(5))
    assert len(calls) == 1
    np.testing.assert_allclose([record.raw for record in found], mini.predict(pictures(5)), rtol=1e-6)


def test_assessments_name_every_pair() -> None:
    prompts = PromptSet.from_pairs([("sharp", "blurry"), ("bright", "dark")], kind="attributes")
    predictor = AntonymPredictor(backbone(CONVOLUTIONS), prompts, WholeImage())
    image = pictures(1)[0]
    (record,) = predictor.assess(image)
    expected = predictor.probabilities(image)[0].tolist()
    assert list((record.quality_probabilities or {}).items()) == [
        ("sharp", pytest.approx(expected[0])),
        ("bright", pytest.approx(expected[1])),
    ]


@pytest.mark.parametrize(
    ("images", "message"),
    [(io.BytesIO(b"x"), "pass its path"), (torch.zeros(3, 8, 8), "permute"), (3, "not int")],
)
def test_what_is_no_image_says_what_to_pass(mini: MultitaskPredictor, images: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mini.predict(images)  # type: ignore[arg-type]


def test_the_limit_of_pixels_is_adjustable() -> None:
    image = pictures(1)[0]
    small = MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), WholeImage(), max_image_pixels=100)
    with pytest.warns(ImageWarning), pytest.raises(ImageDecodeError, match="max_image_pixels"):
        small.predict(image)
