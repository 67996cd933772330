from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from tests.tiny import VIT, backbone, pictures
from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.functional.patches import liqe_patch_corners
from vlqa.predictors.views import LiqePatches, PatchGrid, Scales, Square, WholeImage, view_from_dict


def as_pictures(patches: torch.Tensor) -> np.ndarray:
    assert patches.dtype == torch.uint8
    return patches.permute(0, 2, 3, 1).numpy()


def test_whole_image_is_left_alone_where_it_may_be() -> None:
    image = pictures(1, lowest=50)[0]
    np.testing.assert_array_equal(as_pictures(WholeImage()(image))[0], image)


@settings(max_examples=50)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([None, 64, 512]), st.sampled_from([1, 32]))
def test_whole_image_keeps_its_bounds(height: int, width: int, most: int | None, multiple: int) -> None:
    view = WholeImage(max_shorter_side=most, min_side=32, multiple=multiple, max_pixels=2**20)
    try:
        tall, wide = view.size(height, width)
    except ImageDecodeError:
        assert min(height, width) / max(height, width) < 1 / 30
        return
    assert tall % multiple == 0 and wide % multiple == 0
    assert min(tall, wide) >= 32
    if most is not None:
        assert min(tall, wide) <= most
    assert tall * wide <= 2**20 * 1.1
    if multiple == 1 and min(tall, wide) > 32 and tall * wide < 2**19 and min(tall, wide) != most:
        assert (tall, wide) == (height, width)


def test_whole_image_resizes_as_pillow() -> None:
    image = pictures(1, lowest=200, highest=300)[0]
    tall, wide = WholeImage(max_shorter_side=64).size(*image.shape[:2])
    expected = np.asarray(Image.fromarray(image).resize((wide, tall), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(as_pictures(WholeImage(max_shorter_side=64)(image))[0], expected)


@pytest.mark.parametrize("most", [64, 180])
def test_whole_image_resized_by_torch_is_near_pillow(most: int) -> None:
    for image in pictures(5, lowest=200, highest=300):
        image.flags.writeable = False  # as Pillow gives them
        near = as_pictures(WholeImage(max_shorter_side=most, resampler="torch")(image)).astype(int)
        apart = np.abs(near - as_pictures(WholeImage(max_shorter_side=most)(image)))
        assert apart.max() <= 1 and apart.mean() < 0.02
    with pytest.raises(ConfigError, match="resampler must be pillow or torch"):
        WholeImage(resampler="nearest")


def test_square_is_what_open_clip_prepares_for_evaluation() -> None:
    view = Square(backbone(VIT).resize)
    transform = Compose([Resize(32, interpolation=InterpolationMode.BICUBIC), CenterCrop(32)])
    for image in pictures(20):
        np.testing.assert_array_equal(as_pictures(view(image))[0], np.asarray(transform(Image.fromarray(image))))


@pytest.mark.parametrize(("height", "width"), [(300, 260), (800, 1100), (768, 768), (100, 400), (224, 224)])
@pytest.mark.parametrize("rule", ["demo", "pyiqa"])
def test_liqe_windows_are_those_of_the_resized_picture(height: int, width: int, rule: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    resized = Image.fromarray(image)
    if rule == "demo" and min(height, width) >= 768:
        resized = Resize(768, interpolation=InterpolationMode.BILINEAR)(resized)
    if min(height, width) < 224:
        resized = Resize(224, interpolation=InterpolationMode.BILINEAR)(resized)
    pixels = np.asarray(resized)
    corners = liqe_patch_corners(*pixels.shape[:2], rule=rule)
    found = as_pictures(LiqePatches(rule=rule)(image))
    assert len(found) == len(corners)
    for window, (row, column) in zip(found, corners.tolist(), strict=True):
        np.testing.assert_array_equal(window, pixels[row : row + 224, column : column + 224])


def test_enormous_enlargements_are_refused() -> None:
    line = np.zeros((1, 3_000_000, 3), np.uint8)
    for view in (LiqePatches(), WholeImage(min_side=64), Square(backbone(VIT).resize)):
        with pytest.raises(ImageDecodeError, match="a picture of 3000000×1 px is too narrow"):
            view(line)


def test_views_survive_their_configuration() -> None:
    tower = backbone(VIT)
    for view in (WholeImage(max_shorter_side=512, multiple=32), LiqePatches(rule="pyiqa")):
        assert view_from_dict(view.as_dict(), tower) == view
    assert isinstance(view_from_dict(Square(tower.resize).as_dict(), tower), Square)


def test_wrong_options_are_named() -> None:
    tower = backbone(VIT)
    with pytest.raises(ConfigError, match="no option 'side'; it has max_shorter_side, min_side"):
        view_from_dict({"kind": "whole", "side": 3}, tower)
    with pytest.raises(ConfigError, match="kind must be one of square, whole, liqe"):
        view_from_dict({"kind": "round"}, tower)
    with pytest.raises(ConfigError, match="patches must be one of demo, pyiqa, not 'LIQE'"):
        LiqePatches(rule="LIQE")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="min_side must be a whole number"):
        WholeImage(min_side=0)
    with pytest.raises(ConfigError, match="max_shorter_side 8 is below min_side 32"):
        WholeImage(max_shorter_side=8)


@pytest.mark.parametrize("shape", [(1, 65000, 3), (40000, 1, 3), (3, 30000, 3)])
def test_a_narrow_picture_is_never_enlarged_beyond_what_memory_is_meant_for(shape: tuple[int, ...]) -> None:
    height, width = shape[:2]
    try:
        rows, columns = WholeImage().size(height, width)
    except ImageDecodeError as error:
        assert "too narrow" in str(error)
    else:
        assert rows * columns <= 2**24


@pytest.mark.parametrize("size", [(60, 90), (448, 601), (3000, 4000), (900, 700)])
def test_what_a_view_sees_is_what_it_cuts_from(size: tuple[int, int]) -> None:
    pixels = np.zeros((*size, 3), np.uint8)
    whole = WholeImage(max_shorter_side=224)
    assert whole.seen(*size) == tuple(whole(pixels).shape[2:])
    square = view_from_dict({"kind": "square"}, backbone(VIT))
    assert min(square.seen(*size)) == 32 and max(square.seen(*size)) >= 32 * max(size) / min(size)
    for view in (LiqePatches(), PatchGrid(max_pixels=40_000), Scales(max_pixels=50_000)):
        height, width = view.seen(*size)
        assert abs(height / width - size[0] / size[1]) < 0.02 * size[0] / size[1] + 2 / min(height, width)
    assert Scales(max_pixels=50_000).seen(*size) == tuple(Scales(max_pixels=50_000)(pixels)[0].shape[2:])
