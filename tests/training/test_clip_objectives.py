"""GRepQ's high level, QualiCLIP and CLIP-IQA+ on a tiny backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vlqa
from tests.synthetic import picture
from tests.tiny import VIT
from tests.training.recipe import losses, train_in_two_processes, write_labels, write_photos
from vlqa.data.pretext.clip_views import CentreSquares, RisingDamage
from vlqa.errors import ConfigError
from vlqa.training.build import build_run
from vlqa.training.config import read_config

IMAGES = [picture(50, 60, seed) for seed in range(3)]
METHODS = ("grepq-high", "qualiclip", "clip-iqa-plus")


def recipe(folder: Path, method: str, **changes: Any) -> dict[str, Any]:
    write_photos(folder / "photos")
    photos = {"photos": [str(folder / "photos")], "held_out_photos": 0, "photos_per_batch": 4}
    rated = {"rated": {"labels": str(write_labels(folder / "labels.csv")), "per_batch": 6}}
    own: dict[str, dict[str, Any]] = {
        "grepq-high": {"data": photos, "group": {"share": 0.5, "width": 8}},
        "qualiclip": {"data": photos, "levels": 3},
        "clip-iqa-plus": {"data": rated, "words": 4},
    }
    document = {
        "name": method,
        "method": method,
        "output": str(folder / "run"),
        "seed": 1,
        "steps": 4,
        "checkpoint_every": 2,
        "log_every": 1,
        "model": {"architecture": VIT, "trained": ["image"]},
        "optimizer": {"learning_rate": 0.003, "warmup_steps": 0},
    }
    document |= own[method] | changes
    document["data"] = {"size": 32, "workers": 0, **document["data"]}
    return document


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_is_the_unbroken_one_and_its_model_scores(method: str, tmp_path: Path) -> None:
    document = recipe(tmp_path, method)
    vlqa.train(document, quiet=True)
    broken = document | {"output": str(tmp_path / "broken")}
    vlqa.train(broken, quiet=True, limit_steps=2)
    folder = vlqa.train(broken, quiet=True, resume=True)
    assert losses(tmp_path / "broken") == losses(tmp_path / "run")
    whole, resumed = vlqa.load(tmp_path / "run" / "model", device="cpu"), vlqa.load(folder, device="cpu")
    assert resumed.predict(IMAGES).tolist() == whole.predict(IMAGES).tolist()
    assert resumed.name == method and resumed.scale == (0, 1)


@pytest.mark.parametrize("method", METHODS)
def test_learns(method: str, tmp_path: Path) -> None:
    document = recipe(tmp_path, method, steps=40)
    if method == "clip-iqa-plus":
        document["optimizer"] = {"kind": "sgd", "learning_rate": 2.0, "warmup_steps": 0, "weight_decay": 0}
    vlqa.train(document, quiet=True)
    found = [row["loss"] for row in losses(tmp_path / "run")]
    assert np.mean(found[-8:]) < np.mean(found[:8])


def test_only_the_words_of_clip_iqa_plus_are_trained(tmp_path: Path) -> None:
    run = build_run(read_config(recipe(tmp_path, "clip-iqa-plus")))
    assert [name for name, p in run.objective.named_parameters() if p.requires_grad] == ["context.vectors"]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_equal_one(method: str, tmp_path: Path) -> None:
    document = recipe(tmp_path, method)
    vlqa.train(document, quiet=True)
    train_in_two_processes(document | {"output": str(tmp_path / "two")}, tmp_path)
    one, two = (losses(tmp_path / name) for name in ("run", "two"))
    np.testing.assert_allclose([r["loss"] for r in two], [r["loss"] for r in one], rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grepq-high", "qualiclip"])
def test_two_processes_on_a_tower_that_pools_without_position(method: str, tmp_path: Path) -> None:
    """As configs/grepq_high.yaml has it; a weight that is promised a gradient and gets none stops all processes."""
    resnet = {**VIT, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}}
    model = {"architecture": resnet, "weights": None, "attention_pool_position": False, "trained": ["image"]}
    train_in_two_processes(recipe(tmp_path, method, model=model), tmp_path)
    assert np.isfinite([row["loss"] for row in losses(tmp_path / "run")]).all()


def test_squares_are_the_centres_of_whole_photographs(tmp_path: Path) -> None:
    sample = CentreSquares(write_photos(tmp_path), seed=0, size=40)[0]
    assert sample["image"].shape == (3, 40, 40) and sample["image"].dtype == torch.uint8


def test_damage_rises_from_version_to_version(tmp_path: Path) -> None:
    samples = RisingDamage(write_photos(tmp_path, side=90), seed=0, size=48)
    grows = []
    for number in range(30):
        versions = samples[number]["image"].float()
        assert versions.shape == (2, 5, 3, 48, 48)
        distances = (versions - versions[:, :1]).square().mean((0, 2, 3, 4))
        grows.append(float(distances[4]) >= float(distances[1]))
    assert np.mean(grows) > 0.9


def test_an_adapter_that_nothing_would_train_is_refused(tmp_path: Path) -> None:
    model = {"architecture": VIT, "lora": {"rank": 2, "targets": "all"}}
    with pytest.raises(ConfigError, match="clip-iqa-plus trains its words and no adapter"):
        vlqa.train(recipe(tmp_path, "clip-iqa-plus", model=model), quiet=True)


def test_groups_fit_into_small_batches(tmp_path: Path) -> None:
    for count in (4, 5, 7):  # half of 7 rounds up to 4
        document = recipe(tmp_path, "grepq-high", steps=1, output=str(tmp_path / str(count)))
        document["data"]["photos_per_batch"] = count
        vlqa.train(document, quiet=True)
    document["data"]["photos_per_batch"] = 3
    with pytest.raises(ConfigError, match="3 pictures a pass make no two groups of two"):
        vlqa.train(document | {"output": str(tmp_path / "three")}, quiet=True)


def test_prompts_that_do_not_fit_are_one_clear_line(tmp_path: Path) -> None:
    for method, prompts, message in (
        ("clip-iqa-plus", "clip_iqa_ensemble", "expected one pair of opposite sentences, found 5"),
        ("qualiclip", "liqe_multitask", "'liqe_multitask' of kind joint"),
    ):
        with pytest.raises(ConfigError, match=message):
            vlqa.train(recipe(tmp_path, method, prompts=prompts), quiet=True)
    with pytest.raises(ConfigError, match=r"group\.prompts: expected one pair"):
        vlqa.train(recipe(tmp_path, "grepq-high", group={"prompts": "attributes"}), quiet=True)
