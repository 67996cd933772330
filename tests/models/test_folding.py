from __future__ import annotations

from typing import Any

import pytest
import torch

from vlqa.models import folding
from vlqa.models.clip import build_backbone
from vlqa.models.folding import forward_clip_resnet
from vlqa.models.image_encoder import build_encoder
from vlqa.models.lora import Adapters, LoraOptions

CLIP_RESNET: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": [2, 1, 1, 1], "width": 16, "patch_size": None},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "_WORTH_PIXELS", 64 * 64)


def stirred(module: torch.nn.Module) -> Any:
    """With batch norms that are no identity."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for values in (part.weight, part.running_var):
                torch.nn.init.uniform_(values, 0.5, 2)
            for values in (part.bias, part.running_mean):
                torch.nn.init.normal_(values)
    return module.eval()


def calls_of_norms(module: torch.nn.Module) -> list[int]:
    calls: list[int] = []
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_clip_resnets_give_the_same_features() -> None:
    towers = build_backbone(CLIP_RESNET, attention_pool_position=False)
    tower = stirred(towers.visual)
    images = torch.rand(2, 3, 96, 64)
    with torch.inference_mode():
        expected = tower(towers.normalized(images))
        calls = calls_of_norms(tower)
        torch.testing.assert_close(towers.encode_image(images), expected, rtol=1e-4, atol=1e-5)
        assert not calls
        towers.encode_image(images.repeat(4, 1, 1, 1)[:, :, :32, :32])  # not worth it, however many
    assert calls


def test_gradients_and_training_run_the_tower_itself() -> None:
    tower = stirred(build_backbone(CLIP_RESNET).visual)
    images = torch.rand(2, 3, 64, 64)
    calls = calls_of_norms(tower)
    forward_clip_resnet(tower, images).sum().backward()
    assert len(calls) == len([part for part in tower.modules() if isinstance(part, torch.nn.BatchNorm2d)])
    with torch.no_grad():
        before = tower.bn1.running_mean.clone()
        forward_clip_resnet(tower.train(), images)
    assert not torch.equal(tower.bn1.running_mean, before)


def test_adapters_are_heard() -> None:
    towers = build_backbone(CLIP_RESNET, attention_pool_position=False)
    stirred(towers.visual)
    Adapters(towers).add("one", LoraOptions(rank=2, targets="all"))
    for name, weight in towers.visual.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(0))
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = towers.visual(towers.normalized(images))
        torch.testing.assert_close(towers.encode_image(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnets_of_torchvision_give_the_same_features(name: str) -> None:
    encoder = build_encoder({"trunk": {"kind": name}})
    trunk = stirred(encoder).trunk
    images = torch.rand(1, 3, 96, 64)
    with torch.inference_mode():
        normal = x = encoder.normalized(images)
        for part in trunk.children():
            x = part(x)
        calls = calls_of_norms(trunk)
        torch.testing.assert_close(next(iter(trunk.activations(normal))), x, rtol=1e-4, atol=1e-4 * float(x.max()))
    assert not calls
