"""Every pretext task from recipe to model: it trains, resumes exactly, and its encoder embeds pictures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml

from tests.synthetic import picture
from tests.training.recipe import losses, train_in_two_processes, write_labels, write_photos
from vlqa.errors import CheckpointError, ConfigError
from vlqa.functional.contrastive import info_nce
from vlqa.hub import load
from vlqa.hub.convert import convert
from vlqa.models.image_encoder import build_encoder, perceptron
from vlqa.predictors.pristine import PristinePredictor
from vlqa.training.build.pretext import encoder_of
from vlqa.training.config.common import EncoderConfig
from vlqa.training.loop import train
from vlqa.training.momentum import MomentumContrast
from vlqa.training.processes import synchronise

TRUNK = {"kind": "quality", "widths": [32], "blocks": [1]}
CONTRAST = {"queue": 16, "momentum": 0.9, "width": 8}
METHODS: dict[str, dict[str, Any]] = {
    "grepq-low": {"types": 1, "encoder": {"trunk": TRUNK, "head": [16, 8]}},
    "contrique": {"projection": 8},
    "re-iqa-quality": {"types": 1, "contrast": CONTRAST},
    "re-iqa-content": {"contrast": CONTRAST, "encoder": {"trunk": TRUNK, "statistics": "imagenet"}},
    "qpt": {"contrast": CONTRAST},
    "arniqa": {"projection": 8},
}
GATHERED = ("grepq-low", "contrique", "arniqa")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLQA_CACHE", str(tmp_path / "cache"))


def recipe(folder: Path, method: str, **changes: Any) -> dict[str, Any]:
    write_photos(folder / "photos", side=120)
    document = {
        "name": method,
        "method": method,
        "output": str(folder / "run"),
        "seed": 1,
        "steps": 4,
        "checkpoint_every": 2,
        "log_every": 1,
        "data": {
            "photos": [str(folder / "photos")],
            "held_out_photos": 0,
            "size": 56 if method == "grepq-low" else 32,
            "photos_per_batch": 4,
            "workers": 0,
        },
        "encoder": {"trunk": TRUNK},
        "optimizer": {"learning_rate": 0.01, "warmup_steps": 0},
    }
    return document | METHODS[method] | changes


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_is_the_unbroken_one_and_its_model_embeds(method: str, tmp_path: Path) -> None:
    document = recipe(tmp_path, method)
    train(document, quiet=True)
    whole = losses(tmp_path / "run")
    assert len(whole) == 4 and all(np.isfinite(record["loss"]) for record in whole)
    broken = document | {"output": str(tmp_path / "broken")}
    train(broken, quiet=True, limit_steps=2)
    folder = train(broken, quiet=True, resume=True)
    assert losses(tmp_path / "broken") == whole
    model = load(folder, device="cpu")
    images = [picture(70, 90, 1), picture(64, 64, 2)]
    np.testing.assert_allclose(model.embed(images), load(tmp_path / "run" / "model", device="cpu").embed(images))
    assert model.embed(images).shape == (2, model.width) and model.name == method


def test_grepq_with_photographs_scores_blindly(tmp_path: Path) -> None:
    document = recipe(tmp_path, "grepq-low", steps=1)
    folder = train(document | {"pristine": [str(tmp_path / "photos")]}, quiet=True)
    model = load(folder, device="cpu")
    assert isinstance(model, PristinePredictor) and model.statistics is not None
    assert 0 < float(model.predict(picture(200, 200, 1))[0]) <= 0.5


def test_regression_fine_tunes_a_trained_encoder_and_predicts_on_the_opinions_scale(tmp_path: Path) -> None:
    pretext = train(recipe(tmp_path, "qpt", steps=1), quiet=True)
    document = {
        "name": "qpt",
        "method": "regression",
        "output": str(tmp_path / "tuned"),
        "steps": 40,
        "log_every": 1,
        "data": {
            "rated": {"labels": str(write_labels(tmp_path / "labels.csv")), "per_batch": 6},
            "size": 32,
            "workers": 0,
        },
        "encoder": str(pretext),
        "optimizer": {"learning_rate": 0.01, "warmup_steps": 0},
    }
    model = load(train(document, quiet=True), device="cpu")
    recorded = [record["loss"] for record in losses(tmp_path / "tuned")]
    assert np.mean(recorded[-5:]) < np.mean(recorded[:5])
    assert model.scale == (0, 100)
    scores = model.predict(sorted((tmp_path / "photos").glob("*.png")))
    assert np.isfinite(scores).all() and 0 < scores.mean() < 100
    with pytest.raises(ConfigError, match="no model of one image encoder"):
        train(document | {"encoder": "mini", "output": str(tmp_path / "none")}, quiet=True)


def test_two_trained_halves_become_one_re_iqa(tmp_path: Path) -> None:
    halves = {
        part: train(recipe(tmp_path, f"re-iqa-{part}", steps=1, output=str(tmp_path / part)), quiet=True)
        for part in ("content", "quality")
    }
    model = load(convert(None, "re-iqa", tmp_path / "both", parts=halves), device="cpu")
    images = [picture(70, 90, 1), picture(64, 64, 2)]
    alone = [load(folder, device="cpu").embed(images) for folder in halves.values()]
    for part, rows in zip(halves, alone, strict=True):
        np.testing.assert_allclose(model.embed(images)[:, model.feature_slices[part]], rows, rtol=1e-4, atol=1e-5)
    with pytest.raises(CheckpointError, match="expected a model of one image encoder"):
        convert(None, "re-iqa", tmp_path / "no", parts={"content": halves["content"], "quality": tmp_path / "both"})


def test_statistics_by_recipe(tmp_path: Path) -> None:
    bare = train(recipe(tmp_path, "grepq-low", steps=1), quiet=True)
    document = {
        "name": "blind",
        "method": "pristine",
        "output": str(tmp_path / "pristine"),
        "model": str(bare),
        "photos": [str(tmp_path / "photos")],
    }
    model = load(train(document), device="cpu")
    assert model.name == "blind" and 0 < float(model.predict(picture(200, 200, 1))[0]) <= 0.5
    with pytest.raises(ConfigError, match="does not score by pristine statistics"):
        train(document | {"model": "mini"})


def test_an_encoder_may_start_from_published_weights(tmp_path: Path) -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "resnet18.pth")
    config = {"trunk": {"kind": "resnet18"}, "weights": tmp_path / "resnet18.pth"}
    found = encoder_of(EncoderConfig.model_validate(config))
    assert torch.equal(found.state_dict()["trunk.layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    torch.save({"layer4.1.conv2.weight": torch.zeros(2)}, tmp_path / "resnet18.pth")
    with pytest.raises(CheckpointError, match="layer4"):
        encoder_of(EncoderConfig.model_validate(config))


def encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(build_encoder({"trunk": TRUNK}), perceptron([128, 8]))


def test_momentum_contrast_is_info_nce_with_a_following_key_encoder_and_a_ring_of_keys() -> None:
    moco = MomentumContrast(encoder(), 8, queue=6, momentum=0.5, temperature=0.2)
    numbers = torch.Generator().manual_seed(0)
    query, key = (torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=numbers) for _ in range(2))
    with torch.no_grad():
        for slow in moco.key_encoder.parameters():
            slow.zero_()
    before = moco.queue.clone()
    loss = moco(query, key, 0)
    for slow, quick in zip(moco.key_encoder.parameters(), moco.encoder.parameters(), strict=True):
        torch.testing.assert_close(slow, quick.detach() / 2)
        assert slow.grad is None and not slow.requires_grad
    keys = moco.queue[:4].clone()
    torch.testing.assert_close(moco.queue[4:], before[4:])
    torch.testing.assert_close(loss, info_nce(moco.encoder(query), keys, before, 0.2), rtol=1e-4, atol=1e-5)
    loss.backward()
    moco(query, key, 1)
    assert int(moco.place) == 2 and not torch.equal(moco.queue[:2], keys[:2])  # it went round
    torch.testing.assert_close(moco.queue[2:4], keys[2:])


def test_batch_norm_of_one_process_is_torchs() -> None:
    plain, other = torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3)
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(synchronise(other)(x), plain(x))
    assert other.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    document = recipe(tmp_path, "qpt", steps=60, checkpoint_every=5)
    train(document, quiet=True)
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(document | {"output": str(tmp_path / "killed")}))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vlqa", "train", str(file), "--resume"]
    root = Path(__file__).parents[2]
    process = subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 300
    while len(list(checkpoints.glob("step_*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < len(losses(tmp_path / "killed")) < 60
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, timeout=300)
    assert losses(tmp_path / "killed") == losses(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("method", GATHERED)
def test_two_processes_are_one_with_the_whole_batch(method: str, tmp_path: Path) -> None:
    document = recipe(tmp_path, method)
    train(document, quiet=True)
    train_in_two_processes(document | {"output": str(tmp_path / "two")}, tmp_path)
    one, two = (losses(tmp_path / name) for name in ("run", "two"))
    np.testing.assert_allclose([r["loss"] for r in two], [r["loss"] for r in one], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["qpt"])
def test_momentum_contrast_runs_in_two_processes(method: str, tmp_path: Path) -> None:
    train_in_two_processes(recipe(tmp_path, method), tmp_path)
    assert len(losses(tmp_path / "run")) == 4


def test_metrics_say_how_much_of_the_time_the_model_had(tmp_path: Path) -> None:
    train(recipe(tmp_path, "arniqa", steps=2), quiet=True)
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        assert 0 <= json.loads(line)["model_share"] <= 1
