from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthetic import picture
from tests.training.recipe import ARCHITECTURE
from vlqa import degrade
from vlqa.errors import ConfigError
from vlqa.functional.pixel_statistics import WIDTH, pixel_statistics
from vlqa.models.clip import build_backbone
from vlqa.models.quality_encoder import QualityEncoder


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 3), (33, 20), (64, 97)])
@pytest.mark.parametrize("value", [0, 255, None])
def test_finite_at_any_size(size: tuple[int, int], value: int | None) -> None:
    images = (
        torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8) if value is None else torch.full((2, 3, *size), value)
    )
    statistics = pixel_statistics(images.to(torch.uint8))
    assert statistics.shape == (2, WIDTH) and statistics.isfinite().all() and statistics.abs().max() < 40


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (100, 130)])
@pytest.mark.parametrize("values", [(10, 77), (3, 200), (0, 255)])
def test_finite_on_regular_patterns(size: tuple[int, int], values: tuple[int, int]) -> None:
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])[None]
    for pattern in ((rows + columns) % 2, rows % 2 + 0 * columns, columns % 2 + 0 * rows):
        image = torch.where(pattern.bool(), values[0], values[1]).to(torch.uint8).expand(1, 3, -1, -1).clone()
        image[:, 2] = 90  # one channel without anything
        statistics = pixel_statistics(image)
        assert statistics.isfinite().all() and statistics.abs().max() < 40


def test_the_same_under_autocast_and_for_values_that_overshoot() -> None:
    image = tensor(picture(60, 80, 2))
    expected = pixel_statistics(image)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(pixel_statistics(image), expected, rtol=1e-5, atol=1e-5)
    white = torch.full((2, 3, 9, 9), 1.01)
    torch.testing.assert_close(pixel_statistics(white), pixel_statistics(torch.ones(2, 3, 9, 9)))


def test_the_same_alone_in_a_batch_and_as_float() -> None:
    images = torch.cat([tensor(picture(60, 80, seed)) for seed in range(4)])
    together = pixel_statistics(images)
    for row, image in zip(together, images, strict=True):
        torch.testing.assert_close(pixel_statistics(image[None])[0], row, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pixel_statistics(images.float() / 255), together, rtol=1e-4, atol=1e-4)


def test_greys_are_counted_as_by_hand() -> None:
    grey = np.arange(0, 256, 2, dtype=np.uint8)  # every second level, each as often
    image = np.repeat(np.repeat(grey[None, :, None], 3, axis=2), 64, axis=0).repeat(2, axis=0).repeat(2, axis=1)
    told = pixel_statistics(tensor(image))[0, :31]  # of red
    np.testing.assert_allclose(told[:16], np.sqrt(8 / 128), atol=1e-6)  # 8 of 128 levels in each sixteenth
    assert told[20] == pytest.approx(127 / 255, abs=2 / 255)  # the median
    assert told[25] == pytest.approx(0.5, abs=0.02)  # half of the levels between are missing


def test_tells_what_a_mean_and_a_deviation_do_not() -> None:
    """Colour of noise, shape of a blur, missing levels: one number each that parts two damages of one strength."""
    pixels = picture(96, 128, 3)
    white = degrade(pixels, "white noise", 3)
    coloured = degrade(pixels, "white noise color component", 3)
    residual = [pixel_statistics(tensor(noisy))[0, -18:] for noisy in (white, coloured)]
    assert abs(residual[0][4]) < 0.4 < residual[1][4]  # 4 log(blue / green)
    missing = [float(pixel_statistics(tensor(each))[0, 25]) for each in (degrade(pixels, "contrast change", 5), pixels)]
    assert missing[0] > 0.02 > missing[1]


def tower(**options: object) -> dict[str, object]:
    return {**ARCHITECTURE, "vision_cfg": {**ARCHITECTURE["vision_cfg"], **options}}


def test_a_tower_may_count_pixels_whatever_the_precision_of_its_weights() -> None:
    torch.manual_seed(0)
    built = build_backbone(tower(counts_pixels=True)).eval()
    assert built.visual.head[1].in_features == built.visual.width + WIDTH
    image = tensor(picture(60, 80, 1))
    with torch.inference_mode():
        features = built.encode_image(image)
        torch.testing.assert_close(built.encode_image(image.float() / 255), features, rtol=1e-3, atol=1e-4)
        low = built.cast(torch.bfloat16).encode_image(image)
    assert torch.nn.functional.cosine_similarity(features, low.float()).item() > 0.999


def test_dropout_is_for_learning_only() -> None:
    head = QualityEncoder(embed_dim=8, widths=(32,), blocks=(1,), dropout=(0.5, 0.5)).head
    read = torch.randn(16, 128)
    assert not torch.equal(head.train()(read), head(read))
    assert torch.equal(head.eval()(read), head(read))


def test_a_convolution_that_holds_its_norm_gives_the_same() -> None:
    trunk = QualityEncoder(embed_dim=8, widths=(32, 64), blocks=(1, 2))
    images = torch.randn(4, 3, 40, 56)
    for _ in range(3):
        trunk(images)  # moves the statistics of the norms
    trunk.eval()
    whole = trunk(images)
    for norm in trunk.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.forward = None  # type: ignore[assignment]  # nothing calls it
    with torch.no_grad():
        torch.testing.assert_close(trunk(images), whole, rtol=1e-4, atol=1e-4)


def test_what_a_tower_needs_is_said() -> None:
    with pytest.raises(ConfigError, match=r"vision_cfg of kind quality: dropout must be two shares .* not 0\.2"):
        build_backbone(tower(dropout=0.2))
    with pytest.raises(ValueError, match="this tower counts pixels"):
        build_backbone(tower(counts_pixels=True)).visual(torch.zeros(1, 3, 32, 32))
