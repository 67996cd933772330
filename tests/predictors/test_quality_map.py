from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

import vlqa
from tests.predictors.test_ensemble import both, views
from tests.tiny import VIT, backbone, joint_prompts, pictures
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.quality_map import quality_map
from vlqa.predictors.views import LiqePatches


def test_each_pixel_has_the_mean_of_its_windows() -> None:
    high, _ = views()
    image = pictures(1, lowest=90, highest=110)[0]
    found, seen = quality_map(high, image, side=40)
    assert found.shape == image.shape[:2] and np.array_equal(seen, image)
    corner = float(high.predict(np.ascontiguousarray(image[:40, :40]))[0])
    assert found[0, 0] == pytest.approx(corner, abs=1e-5)
    assert (found >= high.scale[0]).all() and (found <= high.scale[1]).all()


def test_windows_are_those_of_the_view_where_it_has_any() -> None:
    liqe = MultitaskPredictor(backbone(VIT), joint_prompts(), LiqePatches(size=32))
    found, seen = quality_map(liqe, np.zeros((20, 50, 3), np.uint8))
    assert seen.shape == (32, 80, 3) and found.shape == (32, 80)
    _, low = views()
    for predictor in (low, both()):
        assert np.isfinite(quality_map(predictor, pictures(1, lowest=60)[0])[0]).all()


def test_a_picture_smaller_than_a_window_is_one_window() -> None:
    high, _ = views()
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
    assert (first < last - 0.5) if left else (last < first - 0.5)
