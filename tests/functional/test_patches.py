from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlqa.functional.patches import liqe_patch_corners, liqe_size

rules = st.sampled_from(["demo", "pyiqa"])


@settings(deadline=None, max_examples=60)
@given(st.integers(224, 700), st.integers(224, 1300), rules)
def test_corners_are_those_of_an_unfolded_picture(height, width, rule):
    stride = 48 if rule == "demo" and max(height, width) >= 1024 else 32
    numbers = torch.arange(height * width).reshape(height, width)
    windows = numbers.unfold(0, 224, stride).unfold(1, 224, stride)
    first_pixels = windows[:, :, 0, 0].flatten()  # every window in raster order
    count = min(15, len(first_pixels))
    step = max(1, len(first_pixels) // count)
    expected = [divmod(int(first_pixels[i * step]), width) for i in range(count)]
    corners = liqe_patch_corners(height, width, rule=rule)
    assert [tuple(corner) for corner in corners.tolist()] == expected
    assert len(set(expected)) == count


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), rules)
def test_size_always_holds_a_window_and_keeps_the_shape(height, width, rule):
    new_height, new_width = liqe_size(height, width, rule=rule)
    assert min(new_height, new_width) >= 224
    assert (new_height <= new_width) == (height <= width) or new_height == new_width
    if rule == "demo":
        assert min(new_height, new_width) <= 768
    if rule == "pyiqa" and min(height, width) >= 224:
        assert (new_height, new_width) == (height, width)
    corners = liqe_patch_corners(new_height, new_width, rule=rule)
    assert bool((corners >= 0).all())
    assert bool((corners + 224 <= torch.tensor([new_height, new_width])).all())


def test_sizes_of_the_parity_pictures():
    assert liqe_size(384, 512) == (384, 512)
    assert liqe_size(800, 1100) == (768, 1056)
    assert liqe_size(1100, 800) == (1056, 768)
    assert liqe_size(800, 1100, rule="pyiqa") == (800, 1100)
    assert liqe_size(700, 3000) == (700, 3000)  # only one side is long
    assert liqe_size(100, 150) == (224, 336)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ValueError, match="holds no 224 px window"):
        liqe_patch_corners(223, 400)
    with pytest.raises(ValueError, match="rule must be one of demo, pyiqa"):
        liqe_size(300, 300, rule="other")  # type: ignore[arg-type]
