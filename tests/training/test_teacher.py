from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import mobilenet_v2

from tests.training.recipe import recipe
from vlqa.errors import ConfigError
from vlqa.training.build import build_run
from vlqa.training.config import read_config
from vlqa.training.teacher import MobileNetV2Teacher


def write_teacher(path: Path) -> nn.Module:
    """A MobileNetV2 with random weights and neutral batch norm, in the teacher's file format."""
    torch.manual_seed(0)
    network = mobilenet_v2(weights=None).eval()
    tensors: dict[str, torch.Tensor] = {}
    layers: list[list[object]] = []
    for block in network.features:
        for conv in (module for module in block.modules() if isinstance(module, nn.Conv2d)):
            name = f"conv{len(tensors) // 2:02d}"
            kind = "DEPTHWISE_CONV_2D" if conv.groups > 1 else "CONV_2D"
            layers.append([name, kind, conv.stride[0], list(conv.weight.shape)])
            tensors[f"{name}.weight"] = conv.weight.detach() / (1 + 1e-5) ** 0.5  # what a fresh batch norm does
            tensors[f"{name}.bias"] = torch.zeros(conv.out_channels)
        if getattr(block, "use_res_connect", False):
            layers.append(["ADD"])
    layers += [["AVERAGE_POOL_2D"], ["SOFTMAX"]]
    save_file(tensors, path, {"layers": json.dumps(layers)})
    return network


def test_statistics_are_those_of_the_network(tmp_path: Path) -> None:
    network = write_teacher(tmp_path / "teacher.safetensors")
    teacher = MobileNetV2Teacher(tmp_path / "teacher.safetensors")
    images = torch.randint(0, 256, (2, 3, 65, 97), dtype=torch.uint8)  # odd sides: padding is the same on both ends
    expected = []
    with torch.no_grad():
        x = images.float() / 127.5 - 1
        for number, block in enumerate(network.features):
            x = block(x)
            if number in (3, 6, 10, 16, 17, 18):
                expected += [x.mean(dim=(2, 3)), x.std(dim=(2, 3), correction=0)]
    found = teacher(images)
    assert found.shape == (2, teacher.statistics_dim) == (2, 3760)
    torch.testing.assert_close(found, torch.cat(expected, dim=1), rtol=1e-3, atol=2e-3)


def test_the_teacher_is_neither_trained_nor_stored(tmp_path: Path) -> None:
    write_teacher(tmp_path / "teacher.safetensors")
    document = recipe(tmp_path)
    document["data"] |= {"teacher": str(tmp_path / "teacher.safetensors")}
    run = build_run(read_config(document))
    batch = torch.utils.data.default_collate([run.samples[i] for i in range(run.batch_size)])
    total, parts = run.objective(batch, 0)
    total.backward()
    assert parts["teacher"].item() > 0
    assert run.objective.teacher_head.weight.grad.abs().sum() > 0
    assert not any(name.startswith("teacher.") for name in run.objective.state_dict())
    assert not list(run.objective.teacher.parameters())


def test_a_file_that_is_no_teacher_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for content in (None, b"no tensors"):
        if content:
            path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"data.teacher: .*other.safetensors"):
            MobileNetV2Teacher(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match="list of its layers"):
        MobileNetV2Teacher(path)
