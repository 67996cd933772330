from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import vlqa
from tests.predictors.test_ensemble import both, views
from tests.tiny import CONVOLUTIONS, VIT, backbone, joint_prompts, pictures
from vlqa.apps.cli import app
from vlqa.errors import CheckpointError, ConfigError
from vlqa.fewshot.predictor import FewShotPredictor
from vlqa.hub.exports import RUNTIME, export, towers_of
from vlqa.models.clip import build_backbone
from vlqa.models.lora import Adapters, LoraOptions
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.views import Square, WholeImage

pytest.importorskip("openvino")

IMAGES = pictures(6, lowest=40)
RESNET = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
    "text_cfg": VIT["text_cfg"],
}


def resnet() -> MultitaskPredictor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = build_backbone(RESNET, attention_pool_position=False).requires_grad_(False)
    return MultitaskPredictor(built, joint_prompts(), WholeImage(min_side=64), name="tiny")


def transformer() -> MultitaskPredictor:
    built = backbone(VIT)
    return MultitaskPredictor(built, joint_prompts(), Square(built.resize, 32), name="tiny")


def quality() -> MultitaskPredictor:
    return MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), WholeImage(), name="tiny")


def runs_exported(predictor: Any) -> bool:
    parts = [part for tower in towers_of(predictor).values() for part in (tower, *tower.modules())]
    return any(part.__dict__.get("exported") is not None for part in parts)


@pytest.mark.parametrize("build", [resnet, transformer, quality, both, lambda: views()[1]],
                         ids=["resnet", "transformer", "quality", "two views", "encoder"])  # fmt: skip
def test_an_exported_model_gives_the_same_scores(build: Any, tmp_path: Path) -> None:
    predictor = build()
    wanted, features = predictor.predict(IMAGES), predictor.embed(IMAGES)
    export(predictor, tmp_path / "fast")
    loaded = vlqa.load(tmp_path / "fast", device="cpu")
    assert runs_exported(loaded) and not runs_exported(predictor)
    np.testing.assert_allclose(loaded.predict(IMAGES), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loaded.embed(IMAGES), features, rtol=1e-3, atol=1e-4 * np.abs(features).max())
    assert loaded.digest == predictor.digest and loaded.features_digest == predictor.features_digest
    plain = vlqa.load(tmp_path / "fast", device="cpu", runtime="torch")
    assert not runs_exported(plain)
    np.testing.assert_allclose(plain.predict(IMAGES), wanted, rtol=1e-5)


def test_bf16_is_close_and_has_features_of_its_own(tmp_path: Path) -> None:
    predictor = resnet()
    export(predictor, tmp_path / "fast")
    rough = vlqa.load(tmp_path / "fast", device="cpu", precision="bf16")
    assert rough.digest != predictor.digest and rough.features_digest != predictor.features_digest
    assert np.abs(rough.predict(IMAGES) - predictor.predict(IMAGES)).max() < 0.05


def test_an_adapter_in_use_is_exported_with_it(tmp_path: Path) -> None:
    predictor = transformer()
    before = predictor.predict(IMAGES)
    Adapters(predictor.backbone).add("mine", LoraOptions(rank=2))
    for name, weight in predictor.backbone.visual.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=3, generator=torch.Generator().manual_seed(0))
    predictor.backbone.adapters.merge()
    wanted = predictor.predict(IMAGES)
    assert np.abs(wanted - before).max() > 1e-3
    export(predictor, tmp_path / "fast")
    np.testing.assert_allclose(vlqa.load(tmp_path / "fast", device="cpu").predict(IMAGES), wanted, rtol=1e-4)


def test_a_few_shot_model_is_exported_with_the_model_below(tmp_path: Path) -> None:
    few = FewShotPredictor(quality(), head="ridge").fit(pictures(20, 3, 40, 60), np.arange(20.0))
    export(few, tmp_path / "fast")
    loaded = vlqa.load(tmp_path / "fast", device="cpu")
    assert runs_exported(loaded)
    np.testing.assert_allclose(loaded.predict(IMAGES), few.predict(IMAGES), rtol=1e-3, atol=1e-2)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    export(quality(), tmp_path / "fast")
    with pytest.raises(ConfigError, match="runtime must be torch or openvino, not 'tpu'"):
        vlqa.load(tmp_path / "fast", device="cpu", runtime="tpu")
    quality_folder = vlqa.save(quality(), tmp_path / "plain")
    with pytest.raises(ConfigError, match="no exported towers there; make them by vlqa export"):
        vlqa.load(quality_folder, device="cpu", runtime="openvino")
    file = tmp_path / "fast" / RUNTIME / "high.bin"
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="the exported tower 'high' was changed; export it again"):
        vlqa.load(tmp_path / "fast", device="cpu")
    file.unlink()
    with pytest.raises(CheckpointError, match=r"high.bin: missing; export the model again"):
        vlqa.load(tmp_path / "fast", device="cpu")
    half = quality()
    half.backbone.cast(torch.bfloat16)
    with pytest.raises(ConfigError, match="load the model with device cpu, fp32"):
        export(half, tmp_path / "other")


def test_a_model_that_is_saved_over_an_exported_one_is_not_the_exported_one(tmp_path: Path) -> None:
    export(quality(), tmp_path / "fast")
    other = MultitaskPredictor(backbone(CONVOLUTIONS, seed=5), joint_prompts(), WholeImage(), name="tiny")
    vlqa.save(other, tmp_path / "fast")
    loaded = vlqa.load(tmp_path / "fast", device="cpu")
    np.testing.assert_allclose(loaded.predict(IMAGES), other.predict(IMAGES), rtol=1e-5)


def test_the_command(tmp_path: Path) -> None:
    vlqa.save(quality(), tmp_path / "plain")
    result = CliRunner().invoke(app, ["export", "--model", str(tmp_path / "plain"), "--output", str(tmp_path / "fast")])
    assert result.exit_code == 0, result.output
    assert "tiny with high in OpenVINO's format" in result.stdout
    assert runs_exported(vlqa.load(tmp_path / "fast", device="cpu"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own structure")
def test_no_stack_for_signals_is_left_that_is_gone(tmp_path: Path) -> None:
    """After models in the order A, B, A gone, B gone, a signal must find its stack: else the process ends."""
    code = (
        "import gc, os, signal, sys, vlqa\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('alive', flush=True))\n"
        "first = vlqa.load(sys.argv[1], device='cpu'); first.predict(sys.argv[2])\n"
        "second = vlqa.load(sys.argv[1], device='cpu'); second.predict(sys.argv[2])\n"
        "del first; gc.collect()\n"
        "del second; gc.collect()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    export(quality(), tmp_path / "fast")
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    command = [sys.executable, "-c", code, str(tmp_path / "fast"), str(tmp_path / "a.png")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert run.returncode == 0 and run.stdout == "alive\n", run.stderr
