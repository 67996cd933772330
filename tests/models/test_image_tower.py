from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.tiny import VIT, backbone
from vlqa.models.clip import build_backbone
from vlqa.models.image_tower import forward_class_token
from vlqa.models.lora import Adapters, LoraOptions

DEEP: dict[str, Any] = {**VIT, "vision_cfg": {**VIT["vision_cfg"], "layers": 3, "ls_init_value": 0.1}}


def counted(tower: Any) -> list[int]:
    """Tokens that the last MLP sees, call by call."""
    seen: list[int] = []
    tower.transformer.resblocks[-1].mlp.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[1]))
    return seen


@pytest.mark.parametrize("architecture", [VIT, DEEP], ids=["one block", "three"])
def test_only_the_class_token_passes_the_last_block(architecture: dict[str, Any]) -> None:
    tower = backbone(architecture).visual
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        expected = tower(images)
        seen = counted(tower)
        torch.testing.assert_close(forward_class_token(tower, images), expected, rtol=1e-5, atol=1e-6)
    assert seen == [1]


def test_gradients_are_those_of_the_whole_tower() -> None:
    tower = backbone(DEEP).visual.requires_grad_(True)
    images = torch.randn(2, 3, 32, 32)
    weights = [weight for weight in tower.parameters()]
    whole = torch.autograd.grad(tower(images).square().sum(), weights)
    brief = torch.autograd.grad(forward_class_token(tower, images).square().sum(), weights)
    for expected, found in zip(whole, brief, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_adapters_are_heard() -> None:
    towers = backbone(DEEP)
    Adapters(towers).add("one", LoraOptions(rank=2))
    for name, weight in towers.visual.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(forward_class_token(towers.visual, images), towers.visual(images))


@pytest.mark.parametrize("change", [{"pool_type": "avg"}, {"attentional_pool": True, "attn_pooler_heads": 2}])
def test_towers_that_pool_otherwise_run_whole(change: dict[str, Any]) -> None:
    tower = build_backbone({**VIT, "vision_cfg": {**VIT["vision_cfg"], **change}}).visual
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(forward_class_token(tower, images), tower(images), rtol=0, atol=0)


def test_a_resnet_of_clip_has_its_channels_last() -> None:
    resnet = {"embed_dim": 16, "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8}}
    towers = build_backbone({**resnet, "text_cfg": VIT["text_cfg"]}, attention_pool_position=False)
    assert towers.visual.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    images = torch.randint(0, 256, (2, 3, 96, 64), dtype=torch.uint8)
    assert towers.normalized(images).is_contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = towers.visual.to(memory_format=torch.contiguous_format)(towers.normalized(images).contiguous())
        torch.testing.assert_close(towers.encode_image(images), expected, rtol=1e-4, atol=1e-5)
