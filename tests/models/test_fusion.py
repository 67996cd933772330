from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.synthetic import picture
from tests.training.recipe import ARCHITECTURE, losses, recipe, write_labels
from vlqa.errors import CheckpointError, ConfigError
from vlqa.hub import load, save
from vlqa.models.clip import build_backbone
from vlqa.models.fusion import FusionEncoder, build_fusion
from vlqa.models.image_encoder import build_encoder
from vlqa.models.lora import Adapters, LoraOptions
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.regression import RegressionPredictor
from vlqa.predictors.views import Scales, WholeImage
from vlqa.prompts import PromptSet
from vlqa.training.build import build_run
from vlqa.training.config import read_config
from vlqa.training.loop import train

LOW: dict[str, Any] = {"trunk": {"kind": "quality", "widths": [32], "blocks": [1]}, "head": [16]}
FIXED: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def fusion(**options: bool) -> FusionEncoder:
    torch.manual_seed(0)
    return FusionEncoder(build_backbone(ARCHITECTURE), build_encoder(LOW).eval(), **options).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(np.stack([picture(48, 64, seed) for seed in (1, 2)])).permute(0, 3, 1, 2)


@torch.no_grad()
def test_features_stand_side_by_side_as_they_are(images: torch.Tensor) -> None:
    encoder = fusion()
    rows = encoder.encode_image(images)
    assert rows.shape == (2, encoder.embed_dim) == (2, 48) and rows.dtype == torch.float32
    assert torch.equal(rows[:, encoder.feature_slices["high"]], encoder.high.encode_image(images))
    assert torch.equal(rows[:, encoder.feature_slices["low"]], encoder.low.encode_image(images))


@torch.no_grad()
def test_normalized_views_weigh_the_same(images: torch.Tensor) -> None:
    encoder = fusion(normalize=True)
    rows = encoder.encode_image(images)
    for part in encoder.feature_slices.values():
        torch.testing.assert_close(rows[:, part].norm(dim=1), torch.ones(2))


def test_a_gate_changes_nothing_until_it_is_trained_and_then_turns_a_view_down(images: torch.Tensor) -> None:
    encoder = fusion(gate=True)
    assert encoder.gate is not None
    with torch.no_grad():
        torch.testing.assert_close(encoder.encode_image(images), fusion().encode_image(images))
    high, low = torch.randn(64, 32), torch.randn(64, 16)
    wanted = high[:, 0]  # the low view is noise to it
    optimizer = torch.optim.Adam(encoder.gate.parameters(), lr=0.1)
    for _ in range(50):
        fused = encoder.fuse(high, low)
        loss = (fused[:, 0] - wanted).square().mean() + fused[:, encoder.feature_slices["low"]].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = 2 * torch.sigmoid(encoder.gate(torch.cat([high, low], dim=1)))
    assert weights[:, 1].mean() < 0.3 < 0.7 < weights[:, 0].mean()


@torch.no_grad()
def test_a_tower_of_one_size_sees_the_whole_picture_at_it(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    high, low = build_backbone(FIXED), build_encoder(LOW).eval()
    encoder = FusionEncoder(high, low).eval()
    assert encoder.encode_image(images).shape == (2, 40)
    small = images[..., :32, :32]
    assert torch.equal(encoder.encode_image(small)[:, :24], high.encode_image(small))


def test_built_again_it_is_the_same_and_what_does_not_fit_is_named(images: torch.Tensor) -> None:
    encoder = fusion(normalize=True, gate=True)
    again = build_fusion(encoder.architecture, encoder.state_dict())
    assert again.digest == encoder.digest
    with torch.no_grad():
        assert torch.equal(again.encode_image(images), encoder.encode_image(images))
    with pytest.raises(ConfigError, match="a fusion has high, low, normalize and gate; found high, middle"):
        build_fusion({"high": ARCHITECTURE, "middle": LOW})
    with pytest.raises(CheckpointError, match=r"this fusion.* lack gate\.bias, gate\.weight"):
        build_fusion(encoder.architecture, fusion().state_dict())


def test_a_run_trains_both_encoders_and_the_gate_and_its_model_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    prompts = PromptSet.load("liqe_multitask")
    high = MultitaskPredictor(build_backbone(ARCHITECTURE), prompts, WholeImage(), name="high")
    low = RegressionPredictor({"encoder": build_encoder(LOW).eval()}, Scales(), None, normalize=False, name="low")
    for name, predictor in (("high", high), ("low", low)):
        save(predictor, tmp_path / name)
    document = recipe(tmp_path, method="regression", steps=12)
    del document["model"]
    document["data"] = {"rated": {"labels": str(write_labels(tmp_path / "labels.csv")), "per_batch": 6}, "size": 48}
    document["encoder"] = {"high": str(tmp_path / "high"), "low": str(tmp_path / "low"), "gate": True}
    folder = train(document, quiet=True)
    curve = [record["regression"] for record in losses(tmp_path / "run")]
    assert sum(curve[-3:]) < sum(curve[:3])
    model = load(folder, device="cpu")
    (encoder,) = model.encoders.values()
    assert encoder.gate.weight.abs().sum() > 0
    assert model.feature_slices == encoder.feature_slices and set(model.feature_slices) == {"high", "low"}
    start = high.backbone.visual.state_dict()
    assert any(not torch.equal(start[name], value) for name, value in encoder.high.visual.state_dict().items())
    assert np.isfinite(model.predict([picture(60, 70, 1)])).all()
    Adapters(high.backbone).add("tuned", LoraOptions(targets=("head.1",)))
    for name, weight in high.backbone.named_parameters():
        if "lora_B" in name:
            nn.init.constant_(weight, 0.1)
    save(high, tmp_path / "adapted")
    adapted = document | {"encoder": document["encoder"] | {"high": str(tmp_path / "adapted")}}
    fused = build_run(read_config(adapted)).objective.encoder.high.eval()  # what the adapter learned goes in
    images = torch.rand(2, 3, 48, 48)
    torch.testing.assert_close(fused.encode_image(images), high.backbone.eval().encode_image(images))
    swapped = document | {"encoder": {"high": str(tmp_path / "low"), "low": str(tmp_path / "high")}}
    with pytest.raises(ConfigError, match=r"encoder\.high: .* has no text tower"):
        train(swapped | {"output": str(tmp_path / "swapped")}, quiet=True)
