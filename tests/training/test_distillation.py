from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.synthetic import picture
from tests.training.recipe import losses, recipe
from tests.training.test_teacher import write_teacher
from vlqa.errors import CheckpointError, ConfigError
from vlqa.hub import load
from vlqa.models.image_encoder import build_encoder
from vlqa.models.quality_encoder import QualityTrunk
from vlqa.training.build import build_run
from vlqa.training.config import read_config
from vlqa.training.distillation import TeacherMaps
from vlqa.training.loop import build_optimizer, train
from vlqa.training.teacher import MobileNetV2Teacher

TRUNK = {"kind": "quality", "widths": [32], "blocks": [1]}  # as tests.training.recipe.ARCHITECTURE has it


def distillation(folder: Path, **changes: Any) -> dict[str, Any]:
    document = recipe(folder, method="distillation", output=str(folder / "taught"))
    del document["model"]
    document["data"] |= {"teacher": str(folder / "teacher.safetensors"), "sizes": [32, 64]}
    document["encoder"] = {"trunk": TRUNK, "statistics": "clip"}
    document["optimizer"] |= {"kind": "muon"}
    return document | changes


@pytest.fixture(autouse=True)
def teacher(tmp_path: Path) -> MobileNetV2Teacher:
    write_teacher(tmp_path / "teacher.safetensors")
    return MobileNetV2Teacher(tmp_path / "teacher.safetensors")


def test_maps_meet_stages_of_their_stride_and_cost_what_they_do_not_explain(teacher: MobileNetV2Teacher) -> None:
    trunk = QualityTrunk(widths=(32, 32, 32), blocks=(1, 1, 1))
    maps = TeacherMaps(trunk, teacher)
    images = torch.randint(0, 256, (4, 3, 65, 97), dtype=torch.uint8)  # sides that no stride divides
    stages = list(trunk.activations(images.float() / 255))
    assert [stages[stage].shape[-2:] for _, stage in maps.pairs] == [m.shape[-2:] for m in teacher.maps(images)[:4]]
    assert [teacher.shown[number][0] for number, _ in maps.pairs] == [4, 8, 16, 16]  # no stage has stride 32
    for head, standard in zip(maps.heads, maps.standard, strict=True):
        standard.eps = 1e-12
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    spread = [shown.var(dim=(0, 2, 3), correction=0) for shown in teacher.maps(images)[:4]]
    left = [(variance / (variance + 1e-12)).mean() for variance in spread]  # 1 but for channels that are dead
    assert maps(images, stages).item() == pytest.approx(torch.stack(left).mean().item(), abs=0.01)
    assert min(left) > 0.1
    with pytest.raises(ConfigError, match="no stage has the stride"):
        TeacherMaps(build_encoder({"trunk": {"kind": "timm", "name": "resnet18"}}).trunk, teacher)


def test_maps_stay_over_the_pixels_that_made_them(teacher: MobileNetV2Teacher) -> None:
    """A spot in the middle of a picture is seen in the middle of every map, which the network's own padding moves."""
    images = torch.full((2, 3, 129, 129), 127, dtype=torch.uint8)
    images[1, :, 60:69, 60:69] = 255
    for (stride, _), shown in zip(teacher.shown, teacher.maps(images), strict=True):
        change = (shown[1] - shown[0]).square().sum(dim=0)
        rows = torch.arange(len(change)).float()
        centre = (change.sum(dim=1) * rows).sum() / change.sum() * stride
        assert abs(centre.item() - 64) < stride


def test_a_run_resumes_exactly_and_its_losses_fall(tmp_path: Path) -> None:
    train(distillation(tmp_path, steps=30, checkpoint_every=15), quiet=True)
    whole = losses(tmp_path / "taught")
    assert sum(r["maps"] for r in whole[-6:]) < 0.8 * sum(r["maps"] for r in whole[:6])
    assert all(set(record) >= {"maps", "type", "opinion"} for record in whole)
    again = distillation(tmp_path, steps=30, checkpoint_every=15, output=str(tmp_path / "again"))
    train(again, quiet=True, limit_steps=15)
    train(again, quiet=True, resume=True)
    assert losses(tmp_path / "again") == whole


def test_the_trunk_starts_an_image_tower_and_stays_where_only_the_head_is_trained(tmp_path: Path) -> None:
    taught = train(distillation(tmp_path), quiet=True)
    encoder = load(taught, device="cpu")
    assert encoder.embed([picture(40, 50, 1)]).shape == (1, encoder.width)
    model = recipe(tmp_path)["model"] | {"trunk": str(taught), "trained": "head"}
    tower = load(train(recipe(tmp_path, model=model), quiet=True), device="cpu").backbone.visual
    (trunk,) = encoder.encoders.values()
    state = trunk.trunk.state_dict()
    assert state and all(torch.equal(tower.state_dict()[name], value) for name, value in state.items())
    whole = recipe(tmp_path, model=model | {"trained": "all"}, output=str(tmp_path / "whole"))
    moved = load(train(whole, quiet=True), device="cpu").backbone.visual.state_dict()
    assert any(not torch.equal(moved[name], value) for name, value in state.items())


def test_a_trunk_that_does_not_fit_is_named(tmp_path: Path) -> None:
    model = recipe(tmp_path)["model"]
    other = train(distillation(tmp_path, encoder={"trunk": TRUNK}), quiet=True)
    with pytest.raises(ConfigError, match=r"model\.trunk: .* other statistics of its input; train it with"):
        build_run(read_config(recipe(tmp_path, model=model | {"trunk": str(other)})))
    wide = {"trunk": TRUNK | {"widths": [64]}, "statistics": "clip"}
    other = train(distillation(tmp_path, encoder=wide, output=str(tmp_path / "wide")), quiet=True)
    with pytest.raises(CheckpointError, match=r"model\.trunk"):
        build_run(read_config(recipe(tmp_path, model=model | {"trunk": str(other)})))
    with pytest.raises(ConfigError, match="a trunk needs an architecture"):
        read_config(recipe(tmp_path, model={"start": "mini", "trunk": str(other)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": {"trunk": TRUNK, "head": [8]}}, r"encoder\.head"),
        ({"encoder": {"trunk": {"kind": "timm", "name": "resnet18"}}}, "no stage has the stride"),
    ],
)
def test_an_encoder_that_cannot_learn_maps_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_run(read_config(distillation(tmp_path, **change)))


def test_without_a_teacher(tmp_path: Path) -> None:
    document = distillation(tmp_path)
    del document["data"]["teacher"]
    with pytest.raises(ConfigError, match=r"data\.teacher"):
        build_run(read_config(document))


def test_muon_turns_only_convolutions_over_neighbours(tmp_path: Path) -> None:
    """One step from nothing: all singular values of a turned step are alike, which AdamW's are not."""
    torch.manual_seed(0)
    config = read_config(distillation(tmp_path))
    convolution, reading, linear = nn.Conv2d(4, 8, 3, bias=False), nn.Conv2d(8, 8, 1, bias=False), nn.Linear(8, 8)
    objective = nn.ModuleList([convolution, reading, linear])
    optimizer = build_optimizer(objective, config.optimizer.model_copy(update={"weight_decay": 0.0}))
    matrices = [convolution.weight, reading.weight, linear.weight]
    before = [weight.detach().clone() for weight in matrices]
    for weight in objective.parameters():
        weight.grad = torch.randn_like(weight) * torch.logspace(0, 2, len(weight)).reshape(-1, *[1] * (weight.ndim - 1))
    optimizer.step()
    spread = []
    for old, new in zip(before, matrices, strict=True):
        values = torch.linalg.svdvals((new.detach() - old).flatten(1))
        spread.append(float(values.max() / values.min()))
    assert spread[0] < 2.5 < min(spread[1:])
