from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.synthetic import picture
from vlqa.data.facts import (
    ATTRIBUTES,
    Facts,
    attribute_vector,
    damage_attributes,
    measured_attributes,
    opinion_attribute,
)


def changed(name: str, image: np.ndarray) -> tuple[float, float]:
    """A measured attribute of the test picture, and of the changed one."""
    return measured_attributes(picture(96, 128, 1))[name], measured_attributes(image.clip(0, 255).astype(np.uint8))[
        name
    ]


def test_measured_attributes_fall_with_what_they_name() -> None:
    image = picture(96, 128, 1).astype(np.float64)
    middle = image.mean(axis=(0, 1))
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    smooth = np.broadcast_to(image.mean(axis=0, keepdims=True).mean(axis=1, keepdims=True), image.shape)
    for name, other in [
        ("brightness", image * 0.5),
        ("contrast", middle + 0.4 * (image - middle)),
        ("colorfulness", 0.3 * image + 0.7 * grey),
        ("complexity", 0.3 * image + 0.7 * smooth),
    ]:
        before, after = changed(name, other)
        assert 0 < after < before < 1, name


def test_brightness_does_not_depend_on_mirroring() -> None:
    image = picture(96, 128, 2)
    first, second = measured_attributes(image), measured_attributes(np.ascontiguousarray(image[:, ::-1]))
    assert first == pytest.approx(second, abs=1e-5)


@pytest.mark.parametrize(
    ("number", "affected"),
    [
        (1, "sharpness"),
        (2, "sharpness"),
        (11, "cleanliness"),
        (14, "cleanliness"),
        (10, "compression"),
        (16, "exposure_high"),
        (17, "exposure_low"),
    ],
)
def test_damage_lowers_the_attribute_it_harms(number: int, affected: str) -> None:
    degrees = damage_attributes(number, 0.25)
    assert degrees[affected] == 0.25
    assert all(value == 1 or math.isnan(value) for name, value in degrees.items() if name != affected)


def test_an_undamaged_picture_has_every_damage_attribute_in_full() -> None:
    assert set(damage_attributes(None, 0.3).values()) == {1.0}


def test_nobody_says_that_compressed_pictures_are_sharp_or_clean() -> None:
    degrees = damage_attributes(9, 0.5)
    assert math.isnan(degrees["sharpness"]) and math.isnan(degrees["cleanliness"])


def test_opinions_become_degrees_within_0_and_1() -> None:
    assert [opinion_attribute(mos) for mos in (0.5, 1, 3, 5, 5.5)] == [0, 0, 0.5, 1, 1]


def test_attribute_vectors_have_a_place_for_each_name_and_nan_where_none_was_given() -> None:
    vector = attribute_vector({"brightness": 0.25, "quality": 0.75})
    assert vector[ATTRIBUTES.index("brightness")] == 0.25 and vector[0] == 0.75
    assert np.isnan(vector).sum() == len(ATTRIBUTES) - 2


def test_facts_become_tensors_that_stack() -> None:
    rows = [Facts(mos=3.0, content=2).tensors(), Facts().tensors()]
    batch = torch.utils.data.default_collate(rows)
    assert batch["mos"].isnan().tolist() == [False, True]
    assert batch["content"].tolist() == [2, -1] and batch["scenes"].shape == (2, 9)
