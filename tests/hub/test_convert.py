from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.synthetic import checkpoint
from tests.tiny import pictures
from vlqa.errors import CheckpointError, ConfigError, UnknownModelError
from vlqa.hub import load
from vlqa.hub.convert import convert
from vlqa.models.clip import build_backbone
from vlqa.predictors.views import LiqePatches, Square, WholeImage

_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}


def openai(vision: dict[str, Any]) -> dict[str, Tensor]:
    """A small CLIP under OpenAI's names."""
    tower = build_backbone({"embed_dim": 32, "quick_gelu": True, "vision_cfg": vision, "text_cfg": _TEXT})
    shapes = {name.removeprefix("text."): tuple(tensor.shape) for name, tensor in tower.state_dict().items()}
    return checkpoint(shapes, seed=1)


@pytest.fixture(scope="module")
def transformer() -> dict[str, Tensor]:
    return openai({"image_size": 224, "patch_size": 112, "width": 64, "layers": 1})


@pytest.fixture(scope="module")
def resnet() -> dict[str, Tensor]:
    return openai({"image_size": 64, "layers": [1, 1, 1, 1], "width": 8})


def test_every_published_layout_of_liqe_is_the_same_model(transformer: dict[str, Tensor], tmp_path: Path) -> None:
    layouts: dict[str, Any] = {
        "LIQE.pt": transformer,
        "training.pt": {"epoch": 7, "model_state_dict": transformer, "optimizer_state_dict": {"state": {}}},
        "liqe_mix.pt": {"params": {f"clip_model.{name}": tensor for name, tensor in transformer.items()}},
    }
    scores = []
    for name, content in layouts.items():
        torch.save(content, tmp_path / name)
        folder = convert(tmp_path / name, "liqe", tmp_path / name.removesuffix(".pt"))
        predictor = load(folder, device="cpu")
        assert len(predictor.prompts.texts) == 495 and predictor.view == LiqePatches()
        assert predictor.backbone.architecture["quick_gelu"] is True
        scores.append(predictor.predict(pictures(2)))
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])


def test_prompts_of_pyiqas_two_files(
    transformer: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = {"params": {f"clip_model.{name}": tensor for name, tensor in transformer.items()}}
    for name in ("liqe_koniq.pt", "renamed.pt"):
        torch.save(content, tmp_path / name)
    assert load("liqe", weights=tmp_path / "liqe_koniq.pt", device="cpu").prompts.shape == (5,)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert load("liqe", weights=tmp_path / "renamed.pt", device="cpu").prompts.shape == (5, 9, 11)
    assert "--prompts liqe_quality" in caplog.text
    caplog.clear()
    assert load("liqe", weights=tmp_path / "renamed.pt", prompts="liqe_quality", device="cpu").prompts.shape == (5,)
    assert not caplog.records


def test_options_and_prompts_are_kept(transformer: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(transformer, tmp_path / "LIQE.pt")
    convert(tmp_path / "LIQE.pt", "liqe", tmp_path / "model", patches="pyiqa", prompts="liqe_quality")
    predictor = load(tmp_path / "model", device="cpu")
    assert predictor.view == LiqePatches(rule="pyiqa") and predictor.prompts.shape == (5,)
    with pytest.raises(ConfigError, match="liqe has no option 'stride'; it has patches"):
        convert(tmp_path / "LIQE.pt", "liqe", tmp_path / "other", stride=32)
    with pytest.raises(ConfigError, match="patches must be one of demo, pyiqa"):
        convert(tmp_path / "LIQE.pt", "liqe", tmp_path / "other", patches="all")
    assert not (tmp_path / "other").exists()


def test_clip_iqa_reads_a_resnet_at_any_size(resnet: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(resnet, tmp_path / "RN50.pt")
    predictor = load(convert(tmp_path / "RN50.pt", "clip-iqa-ensemble", tmp_path / "model"), device="cpu")
    assert predictor.view == WholeImage() and predictor.name == "clip-iqa-ensemble"
    assert predictor.backbone.architecture["attention_pool_position"] is False
    assert len(predictor.prompts.pairs) == 5
    before = load("clip-iqa-ensemble", weights=tmp_path / "RN50.pt", device="cpu")
    images = [*pictures(3), np.zeros((1, 1, 3), np.uint8)]
    np.testing.assert_array_equal(predictor.predict(images), before.predict(images))


def test_clip_iqa_on_a_transformer_sees_its_square(transformer: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(transformer, tmp_path / "ViT.pt")
    predictor = load("clip-iqa", weights=tmp_path / "ViT.pt", device="cpu")
    assert isinstance(predictor.view, Square)
    assert predictor.predict(pictures(2)).shape == (2,)


def damaged(weights: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    if kind == "missing":
        return {name: tensor for name, tensor in weights.items() if name != "visual.ln_post.weight"}
    if kind == "unexpected":
        return weights | {"head.weight": torch.zeros(3)}
    return weights | {"visual.ln_post.weight": torch.zeros(3)}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"lack visual\.ln_post\.weight"),
        ("unexpected", r"unknown head\.weight"),
        ("shape", r"visual\.ln_post\.weight \(3,\) instead of \(64,\)"),
    ],
)
def test_names_and_shapes_that_do_not_fit_are_named(
    transformer: dict[str, Tensor], tmp_path: Path, kind: str, message: str
) -> None:
    torch.save(damaged(transformer, kind), tmp_path / "LIQE.pt")
    with pytest.raises(CheckpointError, match=message) as caught:
        convert(tmp_path / "LIQE.pt", "liqe", tmp_path / "model")
    assert str(tmp_path / "LIQE.pt") in str(caught.value) and "\n" not in str(caught.value)


def test_files_of_other_methods_are_refused(tmp_path: Path) -> None:
    torch.save({"encoder.0.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "contrique.tar")
    torch.save({"params": {"clip_model.a": torch.zeros(1), "head.b": torch.zeros(1)}}, tmp_path / "mixed.pt")
    torch.save({"params": 3}, tmp_path / "number.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    for name in ("contrique.tar", "mixed.pt", "number.pt", "empty.pt"):
        with pytest.raises(CheckpointError, match=name):
            convert(tmp_path / name, "liqe", tmp_path / "model")
    for method in ("liqe", "clip-iqa"):
        with pytest.raises(CheckpointError, match="no such weights file"):
            convert(tmp_path / "missing.pt", method, tmp_path / "model")


class _Trap:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    torch.save({"params": {"clip_model.a": torch.zeros(1)}, "extra": _Trap(tmp_path / "ran")}, tmp_path / "trap.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(_Trap(tmp_path / "ran")))
    for name in ("trap.pt", "bare.pt"):
        with pytest.raises(CheckpointError, match="refused as weights"):
            convert(tmp_path / name, "liqe", tmp_path / "model")
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning", "ignore:`torch.jit:DeprecationWarning")
def test_torchscript_is_refused_with_its_remedy(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "RN50.pt")
    with pytest.raises(CheckpointError, match=r"TorchScript archive.*save its state dict as safetensors"):
        convert(tmp_path / "RN50.pt", "clip-iqa", tmp_path / "model")


def test_what_convert_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'liqe'"):
        convert(tmp_path / "x.pt", "liqee", tmp_path / "model")
    with pytest.raises(
        ConfigError, match=r"mini has no published checkpoint .* clip-iqa, clip-iqa-ensemble, clip-iqa-plus, liqe"
    ):
        convert(tmp_path / "x.pt", "mini", tmp_path / "model")
    with pytest.raises(ConfigError, match="liqe is one file and has no part 'clip'"):
        convert(tmp_path / "x.pt", "liqe", tmp_path / "model", parts={"clip": "y.pt"})
    with pytest.raises(ConfigError, match="convert needs the checkpoint of liqe"):
        convert(None, "liqe", tmp_path / "model")
