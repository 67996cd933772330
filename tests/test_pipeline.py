from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.tiny import pictures
from vlqa.errors import ImageDecodeError, VLQAError
from vlqa.pipeline import PATCH_PIXELS, Encoded, Route, encode_images
from vlqa.predictors.views import WholeImage
from vlqa.types import Pixels


def whole(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1)[None]))


def means(patches: Tensor) -> Tensor:
    return patches.float().mean(dim=(2, 3))


def square(value: int, side: int = 16) -> Pixels:
    return np.full((side, side, 3), value, np.uint8)


def values(encoded: Iterator[Encoded]) -> list[float | None]:
    return [None if item.features is None else float(item.features[0][0, 0]) for item in encoded]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_results_are_those_of_each_image_in_order(workers: int, batch_size: int) -> None:
    images = pictures(25) + [square(5)] * 8
    found = list(encode_images(images, [Route(whole, means)], batch_size=batch_size, workers=workers))
    for item, image in zip(found, images, strict=True):
        assert item.error is None and item.name is None
        np.testing.assert_allclose(item.features[0], image.mean((0, 1))[None], rtol=1e-5)


def test_same_shapes_share_a_batch_and_batches_are_bounded() -> None:
    sizes: list[int] = []

    def encode(patches: Tensor) -> Tensor:
        sizes.append(patches.numel() // 3)
        return means(patches)

    side = 112  # a quarter of a patch of 224×224
    upright, lying = np.zeros((side * 2, side, 3), np.uint8), np.zeros((side, side * 2, 3), np.uint8)
    images = [upright if number % 3 else lying for number in range(60)]
    assert len(list(encode_images(images, [Route(whole, encode)], batch_size=4, workers=0))) == 60
    assert max(sizes) == 4 * PATCH_PIXELS
    assert len(sizes) <= 9  # 60 images of half a patch each fill 7.5 batches; two shapes leave two rests


def test_a_large_image_alone_may_exceed_and_many_patches_are_split() -> None:
    sizes: list[tuple[int, ...]] = []

    def encode(patches: Tensor) -> Tensor:
        sizes.append(tuple(patches.shape))
        return means(patches)

    def windows(pixels: Pixels) -> Tensor:
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).expand(15, -1, -1, -1)

    assert values(encode_images([square(3, 500)], [Route(whole, encode)], batch_size=1)) == [3]
    (found,) = encode_images([square(3, 224)], [Route(windows, encode)], batch_size=4)
    assert found.features[0].shape == (15, 3)
    assert sizes == [(1, 3, 500, 500), *[(4, 3, 224, 224)] * 3, (3, 3, 224, 224)]


def test_parts_of_different_sizes_come_back_in_their_order() -> None:
    def scales(pixels: Pixels) -> list[Tensor]:
        half = torch.nn.functional.avg_pool2d(whole(pixels).float(), 2).to(torch.uint8)
        return [whole(pixels), half, whole(pixels) + 1]

    def encode(patches: Tensor) -> Tensor:
        if (patches[..., 0, 0] == 9).any() and patches.shape[-1] == 8:
            raise ValueError("half of nine")
        return means(patches)

    images = [square(value, 16 if value % 3 else 32) for value in (3, 9, 4, 5, 6, 7)]
    for batch_size in (1, 3):
        found = list(encode_images(images, [Route(scales, encode)], batch_size=batch_size, workers=0))
        rows = [None if item.features is None else item.features[0][:, 0].tolist() for item in found]
        assert rows == [[v, v, v + 1] for v in (3, 9, 4, 5, 6, 7)]
    images[1] = square(9, 16)
    found = list(encode_images(images, [Route(scales, encode)], workers=2))
    assert [item.error is None for item in found] == [True, False, True, True, True, True]
    assert "half of nine" in str(found[1].error) and found[1].features is None


def test_several_routes_share_the_decoding_and_keep_apart() -> None:
    decoded = itertools.count()

    def lazily() -> Iterator[Pixels]:
        for value in (3, 4, 5):
            next(decoded)
            yield square(value)

    def squares(pixels: Pixels) -> Tensor:
        return whole(pixels)[..., :8, :8].repeat(2, 1, 1, 1)

    def doubled(patches: Tensor) -> Tensor:
        if (patches == 5).any():
            raise ValueError("five")
        return 2 * means(patches)

    routes = [Route(whole, means), Route(whole, doubled), Route(squares, means)]
    found = list(encode_images(lazily(), routes, workers=0))
    assert next(decoded) == 3
    for item, value in zip(found[:2], (3, 4), strict=True):
        assert [rows[:, 0].tolist() for rows in item.features] == [[value], [2 * value], [value, value]]
    assert found[2].features is None and "five" in str(found[2].error)


def test_each_failure_is_its_own() -> None:
    def prepare(pixels: Pixels) -> Tensor:
        if pixels[0, 0, 0] == 1:
            raise ZeroDivisionError("in a view\nsecond line")
        if pixels[0, 0, 0] == 2:
            raise MemoryError
        return whole(pixels)

    def encode(patches: Tensor) -> Tensor:
        features = means(patches)
        if (features[:, 0] == 3).any():
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return torch.where(features == 4, torch.nan, features)

    images = [square(9), square(1), square(2), square(8), square(3), square(4), "missing.jpg", b"text", square(7)]
    found = list(encode_images(images, [Route(prepare, encode)], workers=2))
    assert values(iter(found)) == [9, None, None, 8, None, None, None, None, 7]
    errors = [str(item.error) for item in found if item.error is not None]
    assert errors[0] == "ZeroDivisionError: in a view"
    assert errors[1].startswith("out of memory") and errors[2] == errors[1]
    assert "not finite" in errors[3]
    assert found[6].name == "missing.jpg" and isinstance(found[6].error, ImageDecodeError)
    assert all(isinstance(item.error, VLQAError) for item in found if item.error is not None)
    assert all("\n" not in error for error in errors)


@pytest.mark.parametrize("workers", [0, 2])
def test_endless_images_are_read_a_bounded_number_ahead(workers: int) -> None:
    read = itertools.count()
    images = (square(next(read) % 200, 16 + number % 7) for number in itertools.count())
    stream = encode_images(images, [Route(whole, means)], batch_size=2, workers=workers)
    assert values(itertools.islice(stream, 300)) == [number % 200 for number in range(300)]
    assert next(read) < 300 + 5000 // 16
    stream.close()
    assert not any(thread.name.startswith("vlqa-decode") for thread in threading.enumerate())


def test_a_rare_shape_is_not_held_back_for_ever() -> None:
    images = itertools.chain([square(1, 40)], (square(2, 16) for _ in itertools.count()))
    assert values(itertools.islice(encode_images(images, [Route(whole, means)], batch_size=2, workers=0), 2)) == [1, 2]


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_passes_through(workers: int) -> None:
    def interrupt(patches: Tensor) -> Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(encode_images([square(1)] * 5, [Route(whole, interrupt)], workers=workers))
    assert not any(thread.name.startswith("vlqa-decode") for thread in threading.enumerate())


def test_an_error_of_the_iterable_itself_is_raised() -> None:
    def broken() -> Iterator[Pixels]:
        yield square(1)
        raise OSError("list of images ends")

    with pytest.raises(OSError, match="list of images ends"):
        list(encode_images(broken(), [Route(whole, means)]))


def test_batch_size_is_checked() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        list(encode_images([], [Route(whole, means)], batch_size=0))


def test_fast_decoding_gives_each_route_what_it_looks_at() -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((640, 800, 3), 90, np.uint8)).save(file, "JPEG")
    views = [WholeImage(max_shorter_side=100), WholeImage(max_shorter_side=200)]
    sizes: list[tuple[int, ...]] = []

    def seen(view: WholeImage) -> Route:
        class Spy:
            seen = staticmethod(view.seen)

            def __call__(self, pixels: np.ndarray) -> torch.Tensor:
                sizes.append(pixels.shape)
                return view(pixels)

        return Route(Spy(), means)

    for fast, expected in ((False, (640, 800, 3)), (True, (240, 300, 3))):
        sizes.clear()
        (found,) = encode_images([file.getvalue()], [seen(view) for view in views], workers=0, fast_decode=fast)
        assert found.error is None and sizes == [expected] * 2
