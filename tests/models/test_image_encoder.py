from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from vlqa.errors import CheckpointError, ConfigError
from vlqa.models import image_encoder
from vlqa.models.image_encoder import ImageEncoder, build_encoder
from vlqa.models.moments import Moments
from vlqa.models.tiles import spans

SMALL = {"kind": "quality", "widths": [32, 32, 32, 32], "blocks": [1, 2, 2, 2]}


def encoder(trunk: dict[str, object], **options: object) -> ImageEncoder:
    torch.manual_seed(0)
    built = build_encoder({"trunk": trunk, **options}).eval()
    for name, buffer in built.named_buffers():  # batch norm that does something
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    return built


def image(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=torch.manual_seed(1))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.inference_mode()
def test_resnets_are_torchvisions(name: str) -> None:
    found = encoder({"kind": name})
    net = torchvision.models.get_model(name, weights=None)
    net.fc = nn.Identity()
    net.load_state_dict({key.removeprefix("trunk."): value for key, value in found.state_dict().items()})
    pictures = image(70, 100, 2)
    torch.testing.assert_close(found.encode_image(pictures), net.eval()(pictures / 255), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_statistics_and_head() -> None:
    found = encoder({"kind": "resnet18"}, head=[16, 4], statistics="imagenet")
    pictures = image(40, 50, 2)
    normal = (pictures / 255 - found.mean) / found.std
    pooled = found.trunk.pooled(normal)
    first, _, last = found.head
    torch.testing.assert_close(found.encode_image(pictures), last(first(pooled).relu()), rtol=1e-4, atol=1e-5)
    assert found.embed_dim == 4 and found.encode_cells(pictures, 2).shape == (2, 4, 4)


@pytest.mark.parametrize("trunk", [{"kind": "resnet18"}, SMALL])
@torch.inference_mode()
def test_tiles_give_what_the_whole_gives(trunk: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    found = encoder(trunk)
    picture = image(700, 901)
    whole = found.encode_image(picture)
    monkeypatch.setattr(image_encoder, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(image_encoder, "_TILE", 256)
    torch.testing.assert_close(found.encode_image(picture), whole, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_cells_are_the_parts_of_a_picture() -> None:
    for trunk in ({"kind": "resnet18"}, SMALL):
        found = encoder(trunk)
        pictures = image(128, 192, 2)
        whole = found.trunk.pooled(pictures / 255)
        torch.testing.assert_close(found.encode_cells(pictures, 1)[:, 0], whole, rtol=1e-3, atol=1e-4)
        cells = found.encode_cells(pictures, 2)
        assert cells.shape == (2, 4, found.embed_dim) and not torch.allclose(cells[:, 0], cells[:, 3])


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "convnext_atto", "vit_tiny_patch16_224"])
@torch.inference_mode()
def test_any_backbone_of_timm_takes_any_size(name: str) -> None:
    found = encoder({"kind": "timm", "name": name})
    for size in ((64, 64), (50, 77)):
        features = found.encode_image(image(*size, count=2))
        assert features.shape == (2, found.embed_dim) and bool(features.isfinite().all())


@torch.inference_mode()
def test_half_precision_is_near() -> None:
    found = encoder(SMALL, head=[8])
    exact = found.encode_image(image(64, 64, 3))
    near = found.cast(torch.bfloat16).encode_image(image(64, 64, 3))
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.1, atol=0.05)


def test_digest_tells_weights_and_architecture_apart() -> None:
    one, same = encoder(SMALL), encoder(SMALL)
    assert one.digest == same.digest != encoder(SMALL, statistics="imagenet").digest
    with torch.no_grad():
        next(one.parameters()).add_(1)
    assert one.digest != same.digest


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({}, "trunk.kind must be one of resnet18"),
        ({"trunk": {"kind": "resnet81"}}, "did you mean 'resnet18'"),
        ({"trunk": {"kind": "timm", "name": "none"}}, "timm has no backbone 'none'"),
        ({"trunk": {"kind": "quality", "depth": 3}}, "depth"),
        ({"trunk": SMALL, "tail": 3}, "no option 'tail'"),
        ({"trunk": SMALL, "statistics": "other"}, "statistics must be 'imagenet', 'clip' or null"),
    ],
)
def test_wrong_architectures_are_one_line(architecture: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_encoder(architecture)


def test_weights_that_do_not_fit_are_named() -> None:
    state = encoder(SMALL).state_dict()
    state["trunk.stem.0.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"trunk\.stem\.0\.weight"):
        build_encoder({"trunk": SMALL}, state)


def test_moments_of_parts_are_those_of_the_whole() -> None:
    values = torch.randn(2, 3, 10, 7) * 5 + 100
    joined = Moments.of(values[:, :, :4]).joined(Moments.of(values[:, :, 4:]))
    whole = Moments.of(values)
    torch.testing.assert_close(joined.mean, whole.mean)
    torch.testing.assert_close(joined.variance, whole.variance, rtol=1e-4, atol=1e-4)


def test_spans_cover_every_pixel_once() -> None:
    for length in (1, 64, 65, 200):
        counted = [pixel for span in spans(length, 64, 32) for pixel in range(length)[span.seen][span.counted(1)]]
        assert counted == list(range(length))
