from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

import vlqa
from tests.predictors.test_ensemble import both, views
from tests.tiny import VIT, backbone, joint_prompts, pictures
from vlqa.errors import ConfigError
from vlqa.predictors.ensemble import EnsemblePredictor
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.quality_map import quality_map
from vlqa.predictors.views import LiqePatches
from vlqa.types import Explanation


def test_each_pixel_has_the_mean_of_its_windows() -> None:
    high, _ = views()
    image = pictures(1, lowest=90, highest=110)[0]
    found, seen = quality_map(high, image, side=40)
    assert found.shape == image.shape[:2] and np.array_equal(seen, image)
    corner = float(high.predict(np.ascontiguousarray(image[:40, :40]))[0])
    assert found[0, 0] == pytest.approx(corner, abs=1e-5)
    assert (found >= high.scale[0]).all() and (found <= high.scale[1]).all()


def test_patches_of_a_method_are_scored_in_the_pass_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    liqe = MultitaskPredictor(backbone(VIT), joint_prompts(), LiqePatches(size=32))
    image = pictures(1, lowest=100, highest=140)[0]
    height, width = image.shape[:2]
    seen: list[int] = []
    encode = liqe.backbone.encode_image
    monkeypatch.setattr(liqe.backbone, "encode_image", lambda patches: [seen.append(len(patches)), encode(patches)][1])
    (record,) = liqe.assess(image, explain=True)
    assert isinstance(record, Explanation) and record.patches is not None and seen == [len(record.patches)]
    for patch in record.patches:  # no resize at this size
        assert (patch.width, patch.height) == (32, 32)
        alone = image[int(patch.top) : int(patch.top) + 32, int(patch.left) : int(patch.left) + 32]
        assert patch.score == pytest.approx(liqe.predict(np.ascontiguousarray(alone))[0], abs=1e-5)
    found, pixels = quality_map(liqe, image)
    assert np.array_equal(pixels, image) and found.shape == (height, width)
    first = record.patches[0]
    assert found[int(first.top), int(first.left)] == pytest.approx(first.score, abs=1e-5)
    assert quality_map(liqe, image, side=32)[0].shape == (height, width)


def test_patches_are_told_in_pixels_of_the_picture_as_it_was_given() -> None:
    liqe = MultitaskPredictor(backbone(VIT), joint_prompts(), LiqePatches(size=32))
    (record,) = liqe.assess(np.zeros((16, 40, 3), np.uint8), explain=True)  # seen at twice its size
    assert isinstance(record, Explanation) and record.patches is not None
    assert all((patch.top, patch.width, patch.height) == (0, 16, 16) for patch in record.patches)
    assert max(patch.left + patch.width for patch in record.patches) <= 40


def test_pristine_patches_have_distances_of_their_own() -> None:
    _, low = views()
    image = pictures(1, lowest=60)[0]
    (record,) = low.assess(image, explain=True)
    assert isinstance(record, Explanation) and record.patches is not None
    patch = record.patches[-1]
    top, left = int(patch.top), int(patch.left)
    alone = np.ascontiguousarray(image[top : top + 16, left : left + 16])
    assert patch.score == pytest.approx(low.predict(alone)[0], rel=1e-6)
    assert np.nanmax(quality_map(low, image)[0]) == pytest.approx(max(p.score for p in record.patches), rel=1e-2)
    (whole,) = both().assess(image, explain=True)
    assert isinstance(whole, Explanation) and whole.patches is None  # its high view looks at the whole
    assert np.isfinite(quality_map(both(), image)[0]).all()


def test_patches_of_two_views_are_on_the_scale_of_both() -> None:
    liqe = MultitaskPredictor(backbone(VIT), joint_prompts(), LiqePatches(size=32))
    _, low = views()
    image = pictures(1, lowest=100, highest=140)[0]
    ensemble = EnsemblePredictor(liqe, low, weights=(0.1, 2.0), name="both")
    (record,) = ensemble.assess(image, explain=True)
    (alone,) = liqe.assess(image, explain=True)
    assert isinstance(record, Explanation) and isinstance(alone, Explanation)
    assert record.patches is not None and alone.patches is not None
    expected = [0.1 * patch.score + 2 * low.predict(image)[0] for patch in alone.patches]
    assert [patch.score for patch in record.patches] == pytest.approx(expected, abs=1e-5)
    assert all(ensemble.scale[0] <= patch.score <= ensemble.scale[1] for patch in record.patches)


def test_a_picture_smaller_than_a_window_is_one_window() -> None:
    high, _ = views()
    with pytest.raises(ConfigError, match="1 or more, not 0"):
        quality_map(high, pictures(1)[0], side=0)
    image = pictures(1, lowest=40, highest=41)[0]
    found, _ = quality_map(high, image)
    np.testing.assert_allclose(found, high.predict(image)[0], atol=1e-5)


@pytest.mark.parametrize("damage", ["gaussian blur", "white noise"])
@pytest.mark.parametrize("left", [True, False])
def test_the_bundled_default_sees_which_half_was_damaged(damage: str, left: bool) -> None:
    """On the temple; the flower's own background is as blurred as the damage."""
    temple = load_sample_images().images[0]
    half = temple.shape[1] // 2
    damaged = vlqa.degrade(temple, damage, 5, 0)
    sides = (damaged, temple) if left else (temple, damaged)
    found, _ = quality_map(vlqa.load(device="cpu"), np.concatenate([sides[0][:, :half], sides[1][:, half:]], axis=1))
    quarter = found.shape[1] // 4
    first, last = found[:, :quarter].mean(), found[:, -quarter:].mean()
    assert (first < last - 0.4) if left else (last < first - 0.4)
