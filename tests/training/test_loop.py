from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import vlqa
from tests.synthetic import picture
from tests.training.recipe import ARCHITECTURE, losses, recipe
from vlqa.errors import ConfigError, VLQAError
from vlqa.training.checkpoint import last_state, write_state
from vlqa.training.config import OptimizerConfig
from vlqa.training.loop import train, warmup_cosine

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an unbroken run of six steps, beside the files of its recipe."""
    folder = tmp_path_factory.mktemp("whole")
    train(recipe(folder), quiet=True)
    return folder / "run"


def assert_same_run(output: Path, other: Path) -> None:
    assert losses(output) == losses(other)
    weights = [(run / "model" / "model.safetensors").read_bytes() for run in (output, other)]
    assert weights[0] == weights[1]


def test_a_resumed_run_gives_the_losses_and_weights_of_an_unbroken_one(whole: Path, tmp_path: Path) -> None:
    config = recipe(whole.parent, output=str(tmp_path / "run"))
    train(config, quiet=True, limit_steps=3)
    assert [record["step"] for record in losses(tmp_path / "run")] == [1, 2, 3]
    train(config, quiet=True, resume=True)
    assert [record["step"] for record in losses(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    assert_same_run(tmp_path / "run", whole)


def test_dropout_goes_on_where_it_stopped(tmp_path: Path) -> None:
    document = recipe(tmp_path)
    vision = {**ARCHITECTURE["vision_cfg"], "dropout": [0.3, 0.3], "counts_pixels": True}
    document["model"] |= {"architecture": {**ARCHITECTURE, "vision_cfg": vision}}
    train(document | {"output": str(tmp_path / "whole")}, quiet=True)
    train(document, quiet=True, limit_steps=3)
    train(document, quiet=True, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_another_seed_gives_other_losses(whole: Path, tmp_path: Path) -> None:
    train(recipe(whole.parent, output=str(tmp_path / "run"), seed=4), quiet=True, limit_steps=1)
    assert losses(tmp_path / "run")[0]["loss"] != losses(whole)[0]["loss"]


def test_metrics_written_after_the_last_checkpoint_are_written_anew(whole: Path, tmp_path: Path) -> None:
    config = recipe(whole.parent, output=str(tmp_path / "run"))
    train(config, quiet=True, limit_steps=4)
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:200])  # as a full disk leaves it
    train(config, quiet=True, resume=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.slow
def test_a_killed_run_goes_on_exactly(whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    config = recipe(whole.parent, output=str(output), steps=40)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from vlqa.training.loop import train; train(sys.argv[1], quiet=True)"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "recipe.yaml")], cwd=ROOT)
    until = time.monotonic() + 120
    while time.monotonic() < until and run.poll() is None and not list(output.glob("checkpoints/step_*3.safetensors")):
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    stored = last_state(output / "checkpoints")
    assert stored is not None and 3 <= stored[0] < 40
    train(config, quiet=True, resume=True)
    train({**config, "output": str(tmp_path / "unbroken")}, quiet=True)
    assert_same_run(output, tmp_path / "unbroken")


def test_an_output_that_holds_a_run_is_refused_unless_resumed(whole: Path) -> None:
    before = (whole / "metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"^[^\n]*holds a run of 6 steps; pass --resume[^\n]*$"):
        train(recipe(whole.parent), quiet=True)
    assert (whole / "metrics.jsonl").read_bytes() == before


def test_a_run_of_another_model_is_not_resumed(whole: Path) -> None:
    config = recipe(whole.parent)
    with pytest.raises(ConfigError, match=r"^[^\n]*another model[^\n]*$"):
        train(config, overrides=["model.architecture.embed_dim=16"], resume=True, quiet=True)


def test_the_trained_model_loads_and_scores(whole: Path) -> None:
    predictor = vlqa.load(whole / "model", device="cpu")
    assert (predictor.name, predictor.scale) == ("tiny", (1, 5))
    scores = predictor.predict([picture(60, 80, 50), picture(33, 47, 51)])
    assert np.isfinite(scores).all() and ((scores >= 1) & (scores <= 5)).all()


def test_the_whole_recipe_is_kept_with_the_run(whole: Path) -> None:
    kept = yaml.safe_load((whole / "config.yaml").read_text(encoding="utf-8"))
    assert kept["data"]["rated"][0]["exclude_folds"] == [0] and kept["objective"]["balance"] == "dynamic"
    assert vlqa.training.config.read_config(kept) == vlqa.training.config.read_config(recipe(whole.parent))


def test_only_the_last_two_checkpoints_are_kept(whole: Path) -> None:
    names = sorted(path.name for path in (whole / "checkpoints").iterdir())
    assert names == ["step_00000005.safetensors", "step_00000006.safetensors"]


def test_workers_change_no_loss_and_bf16_little(whole: Path, tmp_path: Path) -> None:
    def course(name: str, **changes: object) -> list[float]:
        document = recipe(whole.parent, output=str(tmp_path / name), **changes)
        document["data"] |= {"workers": 2 if name == "workers" else 0}
        train(document, quiet=True)
        return [record["loss"] for record in losses(tmp_path / name)]

    exact = [record["loss"] for record in losses(whole)]
    assert course("workers") == exact
    coarse = course("bf16", precision="bf16")
    assert coarse != exact and coarse == pytest.approx(exact, rel=0.1)


def test_a_run_may_mix_sizes(whole: Path, tmp_path: Path) -> None:
    document = recipe(whole.parent, output=str(tmp_path / "run"))
    document["data"] |= {"sizes": [32, 40, 48]}
    train(document, quiet=True)
    assert [record["step"] for record in losses(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


def test_the_loss_falls(tmp_path: Path) -> None:
    train(recipe(tmp_path, steps=30, checkpoint_every=30), quiet=True)
    course = [record["loss"] for record in losses(tmp_path / "run")]
    assert len(course) == 30
    assert np.mean(course[-8:]) < 0.9 * np.mean(course[:8])


def test_the_learning_rate_warms_up_and_falls_to_its_final_fraction() -> None:
    factor = warmup_cosine(OptimizerConfig(warmup_steps=4, final_fraction=0.1), 20)
    assert [factor(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    falling = [factor(step) for step in range(4, 21)]
    assert falling == sorted(falling, reverse=True) and len(set(falling)) == len(falling)
    assert falling[0] == pytest.approx(1) and falling[8] == pytest.approx(0.55) and falling[-1] == pytest.approx(0.1)


def test_a_limited_run_follows_the_schedule_of_the_whole_recipe(whole: Path, tmp_path: Path) -> None:
    train(recipe(whole.parent, output=str(tmp_path / "run")), quiet=True, limit_steps=2)
    assert losses(tmp_path / "run") == losses(whole)[:2]


def test_a_line_of_metrics_that_a_kill_left_unfinished_does_not_stop_a_resume(whole: Path, tmp_path: Path) -> None:
    config = recipe(whole.parent, output=str(tmp_path / "run"))
    train(config, limit_steps=4, quiet=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes() + b'{"step": 5, "lo')
    train(config, resume=True, quiet=True)
    assert_same_run(tmp_path / "run", whole)


def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_stored(tmp_path: Path) -> None:
    config = recipe(tmp_path) | {"optimizer": {"learning_rate": 1e30, "warmup_steps": 0, "clip_norm": 1e30}}
    with pytest.raises(VLQAError, match=r"loss of step \d+ is not finite; lower optimizer.learning_rate"):
        train(config, quiet=True)


def test_a_resumed_run_takes_the_rates_of_its_recipe(whole: Path, tmp_path: Path) -> None:
    config = recipe(whole.parent, output=str(tmp_path / "run"))
    train(config, limit_steps=4, quiet=True)
    slower = ["optimizer.learning_rate=1e-6", "optimizer.weight_decay=0.5"]
    train(config, overrides=slower, resume=True, quiet=True)
    before, after = losses(whole), losses(tmp_path / "run")
    assert [row["learning_rate"] for row in after[:4]] == [row["learning_rate"] for row in before[:4]]
    assert [row["learning_rate"] for row in after[4:]] == pytest.approx(
        [row["learning_rate"] * 1e-6 / 0.003 for row in before[4:]]
    )
    stored = last_state(tmp_path / "run" / "checkpoints")
    assert stored is not None
    groups = stored[1]["optimizer"]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]


def test_what_is_no_state_of_this_run_is_one_clear_line(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    config = recipe(whole.parent, output=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"holds a run with optimizer\.kind adamw; choose another output"):
        train(config, overrides=["optimizer.kind=sgd"], resume=True, quiet=True)
    for damage in (": : [", "- a list"):
        (tmp_path / "run" / "config.yaml").write_text(damage)
        with pytest.raises(ConfigError, match=r"config\.yaml: damaged, .*; delete it"):
            train(config, resume=True, quiet=True)
    shutil.copy(whole / "config.yaml", tmp_path / "run")
    for number in (7, 8):
        write_state(tmp_path / "run" / "checkpoints", number, {"other": True})
    with pytest.raises(ConfigError, match="holds a run of another recipe"):
        train(config, resume=True, quiet=True)
