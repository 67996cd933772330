from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import vlqa
from tests.synthetic import picture
from tests.tiny import VIT, backbone
from tests.training.recipe import losses, train_in_two_processes, write_labels, write_photos
from tests.training.six_sets import write_six_sets
from vlqa.apps.cli import app
from vlqa.errors import CheckpointError, ConfigError, ManifestError, VLQAError
from vlqa.functional.fidelity import categorical_fidelity, multilabel_fidelity, pairwise_fidelity
from vlqa.functional.multitask import expected_quality
from vlqa.prompts import PromptSet
from vlqa.training.build import build_run
from vlqa.training.config import read_config
from vlqa.training.tasks import JointTasks

KINDS = ("blur", "noise", "color", "contrast", "spatial", "other", "blur", "noise")
IMAGES = [picture(50, 60, seed) for seed in range(3)]


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    write_photos(folder / "photos")
    labels = str(write_labels(folder / "labels.csv"))
    plain = folder / "plain.csv"  # a set without scenes and distortions, on another scale
    plain.write_text("path,mos\n" + "".join(f"photos/{name},{n}\n" for n, name in enumerate(_names(folder), 1)))
    document: dict[str, Any] = {
        "name": "tuned",
        "method": "liqe",
        "output": str(folder / "run"),
        "seed": 3,
        "steps": 6,
        "steps_per_epoch": 2,
        "checkpoint_every": 1,
        "log_every": 1,
        "data": {
            "sets": [
                {"labels": labels, "per_batch": 4},
                {"labels": str(plain), "per_batch": 2, "mos_range": [8, 1]},
            ],
            "size": 32,
            "windows": 2,
            "workers": 0,
        },
        "model": {"architecture": VIT, "lora": {"rank": 4, "targets": "all", "towers": ["image", "text"]}},
        "optimizer": {"learning_rate": 0.003, "warmup_steps": 0},
    }
    return document | changes


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "photos").iterdir())


def test_learns_saves_adapters_and_a_merged_copy(tmp_path: Path) -> None:
    folder = vlqa.train(recipe(tmp_path, steps=25), quiet=True)
    found = losses(tmp_path / "run")
    assert {"quality", "scene", "distortion"} <= found[0].keys()
    assert np.mean([row["loss"] for row in found[-5:]]) < np.mean([row["loss"] for row in found[:5]])
    assert (folder / "adapters" / "tuned" / "adapter_model.safetensors").is_file()
    tuned, merged = vlqa.load(folder, device="cpu"), vlqa.load(tmp_path / "run" / "merged", device="cpu")
    assert tuned.predict(IMAGES) == pytest.approx(merged.predict(IMAGES), abs=1e-5)
    bare = vlqa.load(folder, adapter=None, device="cpu")
    assert tuned.predict(IMAGES) != pytest.approx(bare.predict(IMAGES), abs=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        {"architecture": VIT, "lora": {"targets": "attention"}},
        {"architecture": VIT, "trained": ["image"]},
        {"architecture": VIT},
    ],
    ids=["lora", "image tower", "both towers"],
)
def test_a_run_goes_on_as_if_it_had_not_stopped(model: dict[str, Any], tmp_path: Path) -> None:
    vlqa.train(recipe(tmp_path, model=model, output=str(tmp_path / "whole")), quiet=True)
    vlqa.train(recipe(tmp_path, model=model), limit_steps=3, quiet=True)
    folder = vlqa.train(recipe(tmp_path, model=model), resume=True, quiet=True)
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    whole = vlqa.load(tmp_path / "whole" / "model", device="cpu").predict(IMAGES)
    assert vlqa.load(folder, device="cpu").predict(IMAGES).tolist() == whole.tolist()


def test_only_what_the_recipe_names_changes(tmp_path: Path) -> None:
    run = build_run(read_config(recipe(tmp_path, model={"architecture": VIT, "trained": ["image"]})))
    trained = {name for name, parameter in run.objective.named_parameters() if parameter.requires_grad}
    assert trained and all(name.startswith("backbone.visual.") for name in trained)


@pytest.mark.parametrize("balance", ["dynamic", "equal", "uncertainty"])
def test_any_subset_of_tasks_and_any_labels(balance: str, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text(
        "kind: joint\ntemplate: a {quality} photo with {distortion}\nlabels:\n  quality: [awful, fine, superb]\n"
        "  distortion: [softness, dirt]\nvalues: [0, 1, 4]\n"
        "aliases:\n  distortion:\n    softness: [blur]\n    dirt: [noise, other, jpeg compression]\n"
    )
    vlqa.train(recipe(tmp_path, prompts=str(prompts), balance=balance), quiet=True)
    found = losses(tmp_path / "run")
    assert all(row.keys() >= {"quality", "distortion"} and "scene" not in row for row in found)
    quality = recipe(tmp_path, prompts="liqe_quality", output=str(tmp_path / "one"), balance=balance)
    vlqa.train(quality, quiet=True)
    assert vlqa.load(tmp_path / "one" / "model", device="cpu").assess(IMAGES)[0].scene is None


def test_the_tasks_are_the_losses_of_the_marginals() -> None:
    prompts = PromptSet.load("liqe_multitask")
    logits = torch.randn(6, 495, generator=torch.Generator().manual_seed(0))
    scenes = torch.full((6, 9), -1)
    scenes[1:4] = (torch.arange(27).reshape(3, 9) % 4 == 0).long()
    facts = {
        "mos": torch.tensor([1.0, 2, 3, 4, 5, float("nan")]),
        "set_id": torch.tensor([1, 1, 1, 2, 2, 2]),
        "scenes": scenes,
        "distortion": torch.tensor([0, 3, -1, 5, -1, 2]),
    }
    parts, score = JointTasks(prompts)(logits, facts)
    joint = logits.softmax(1).reshape(6, 5, 9, 11)
    expected = expected_quality(joint.sum((2, 3)))
    torch.testing.assert_close(score, expected)
    torch.testing.assert_close(parts["quality"], pairwise_fidelity(expected, facts["mos"], facts["set_id"]))
    torch.testing.assert_close(
        parts["scene"], multilabel_fidelity(joint.sum((1, 3))[1:4], scenes[1:4].float()), atol=1e-6, rtol=1e-5
    )
    torch.testing.assert_close(parts["distortion"], categorical_fidelity(joint.sum((1, 2)), facts["distortion"]))


def test_uncertainty_weights_follow_their_formula() -> None:
    tasks = JointTasks(PromptSet.load("liqe_multitask"), {"scene": 0.5}, "uncertainty")
    tasks.log_variance.data = torch.tensor([0.1, -0.2, 0.3])
    tasks.requires_grad_(False)
    parts = {"quality": torch.tensor(0.4), "scene": torch.tensor(0.2), "distortion": torch.tensor(0.7)}
    expected = sum(math.exp(-s) * loss + s for s, loss in zip((0.1, -0.2, 0.3), (0.4, 0.5 * 0.2, 0.7), strict=True))
    assert float(tasks.total(parts)) == pytest.approx(expected, rel=1e-5)


def test_a_task_without_labels_keeps_its_variance() -> None:
    tasks = JointTasks(PromptSet.load("liqe_multitask"), balance="uncertainty")
    parts = {"quality": torch.tensor(0.4), "scene": torch.tensor(0.0), "distortion": torch.tensor(0.7)}
    tasks.total(parts).backward()
    assert tasks.log_variance.grad is not None
    assert tasks.log_variance.grad.tolist() == pytest.approx([1 - 0.4, 0, 1 - 0.7])


def test_parts_of_a_batch_are_averaged(tmp_path: Path) -> None:
    """The loss of distortions is a mean over pictures: of two halves the mean is that of the whole."""
    document = recipe(tmp_path, quality=0.0, scene=0.0, balance="equal")
    rows = [f"photos/{name},{n},{kind}" for n, (name, kind) in enumerate(zip(_names(tmp_path), KINDS, strict=True))]
    (tmp_path / "all.csv").write_text("\n".join(["path,mos,distortion", *rows]) + "\n")
    document["data"]["sets"] = [{"labels": str(tmp_path / "all.csv"), "per_batch": 4}]
    vlqa.train(document, quiet=True)
    vlqa.train(document | {"accumulate": 2, "output": str(tmp_path / "halves")}, quiet=True)
    whole, halves = (losses(tmp_path / name) for name in ("run", "halves"))
    assert [row["loss"] for row in halves] == pytest.approx([row["loss"] for row in whole], rel=1e-4)
    with pytest.raises(ConfigError, match="a batch of 4 has no 3 equal parts"):
        vlqa.train(document | {"accumulate": 3, "output": str(tmp_path / "thirds")}, quiet=True)


def test_group_contrast_joins_the_losses(tmp_path: Path) -> None:
    vlqa.train(recipe(tmp_path, group={"share": 0.4, "width": 8}), quiet=True)
    found = losses(tmp_path / "run")
    assert all(math.isfinite(row["group"]) and row["group"] > 0 for row in found)


def test_a_low_level_model_scores_beside_it(tmp_path: Path) -> None:
    low = recipe_of_low(tmp_path)
    vlqa.train(recipe(tmp_path, low={"model": str(low), "weights": [1.0, 0.5]}), quiet=True)
    model = vlqa.load(tmp_path / "run" / "model", device="cpu")
    (found,) = model.assess(IMAGES[0])
    assert found.high is not None and found.low is not None
    assert found.raw == pytest.approx(found.high + 0.5 * found.low)
    merged = vlqa.load(tmp_path / "run" / "merged", device="cpu")
    assert merged.predict(IMAGES) == pytest.approx(model.predict(IMAGES), abs=1e-5)
    taken = vlqa.load(vlqa.train(recipe(tmp_path, low={"model": "mini"}, output=str(tmp_path / "x")), quiet=True))
    assert taken.low.digest == vlqa.load("mini").low.digest  # of a model of two views
    vlqa.train(recipe(tmp_path, output=str(tmp_path / "alone")), quiet=True)
    alone = {"model": str(tmp_path / "alone" / "model")}
    with pytest.raises(ConfigError, match="is no model of image encoders"):
        vlqa.train(recipe(tmp_path, low=alone, output=str(tmp_path / "y")), quiet=True)


def recipe_of_low(folder: Path) -> Path:
    from tests.predictors.test_ensemble import views

    _, low = views()
    return vlqa.save(low, folder / "low")


def test_what_does_not_fit_is_one_clear_line(tmp_path: Path) -> None:
    two = tmp_path / "two.yaml"
    two.write_text(
        "kind: joint\ntemplate: a {quality} {distortion}\nlabels: {quality: [bad, good], distortion: [haze]}\n"
    )
    message = r"labels\.csv: unknown distortion 'blur'; known are haze; correct it, or add it to the aliases"
    with pytest.raises(ManifestError, match=message):
        vlqa.train(recipe(tmp_path, prompts=str(two)), quiet=True)
    with pytest.raises(ConfigError, match="expected joint prompts with two labels of quality"):
        vlqa.train(recipe(tmp_path, prompts="clip_iqa"), quiet=True)
    one = tmp_path / "one.yaml"
    one.write_text("kind: joint\ntemplate: a {quality} {scene}\nlabels: {quality: [good], scene: [plant, animal]}\n")
    with pytest.raises(ConfigError, match="expected joint prompts with two labels of quality"):
        vlqa.train(recipe(tmp_path, prompts=str(one)), quiet=True)
    for wrong, message in (
        ({"half": True}, "half: an adapter needs its base as it is"),
        ({"group": {"share": 0.5}, "accumulate": 2}, "group: 3 pictures a pass make no two groups of two"),
        ({"model": {"architecture": VIT, "trained": []}}, "model.trained: .*at least 1"),
        ({"model": {"architecture": {**VIT, "vision_cfg": 3}}}, "vision_cfg holds names and values, not 3"),
    ):
        with pytest.raises(ConfigError, match=message):
            vlqa.train(recipe(tmp_path, **wrong), quiet=True)
    with pytest.raises(CheckpointError, match=r"there is no file missing\.pt"):
        vlqa.train(recipe(tmp_path, model={"architecture": VIT, "weights": "missing.pt"}), quiet=True)
    document = recipe(tmp_path)
    (tmp_path / "photos" / "street.png").unlink()
    with pytest.raises(ManifestError, match=r"1 of 6 pictures are missing, first .*street\.png; set images"):
        vlqa.train(document, quiet=True)


def test_weights_that_are_not_finite_are_told_from_a_rate_that_is_too_high(tmp_path: Path) -> None:
    state = backbone(VIT).state_dict()
    torch.save({name: tensor * math.nan for name, tensor in state.items()}, tmp_path / "start.pt")
    model = {"architecture": VIT, "weights": str(tmp_path / "start.pt")}
    with pytest.raises(VLQAError, match="step 1 is not finite; check the weights it starts from"):
        vlqa.train(recipe(tmp_path, model=model), quiet=True)


def test_starts_from_given_weights(tmp_path: Path) -> None:
    torch.save(backbone(VIT, seed=5).state_dict(), tmp_path / "start.pt")
    model = {"architecture": VIT, "weights": str(tmp_path / "start.pt")}
    run = build_run(read_config(recipe(tmp_path, model=model)))
    expected = backbone(VIT, seed=5).encode_image(torch.ones(1, 3, 32, 32))
    torch.testing.assert_close(run.objective.backbone.encode_image(torch.ones(1, 3, 32, 32)), expected)


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    document = recipe(tmp_path, steps=3, group={"share": 0.4, "width": 8})
    vlqa.train(document | {"output": str(tmp_path / "one")}, quiet=True)
    train_in_two_processes(document, tmp_path)
    for two, one in zip(losses(tmp_path / "run"), losses(tmp_path / "one"), strict=True):
        for name in ("loss", "quality", "scene", "distortion", "group"):
            assert two[name] == pytest.approx(one[name], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", ["vlqa_vit_b32", "vlqa_vit_b16", "liqe"])
def test_the_flagships_recipes_run_on_six_small_sets(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in configs/, by the command, but for a tiny backbone with random weights and a tiny low-level model."""
    write_six_sets(tmp_path)
    monkeypatch.chdir(tmp_path)
    overrides = [f"data.sets.{i}.per_batch=2" for i in range(6)]
    overrides += [f"model.architecture={json.dumps(VIT)}", "model.weights=null", "data.size=32", "data.workers=0"]
    overrides += ["checkpoint_every=10", "log_every=1", "optimizer.warmup_steps=0", "optimizer.learning_rate=0.003"]
    if name != "liqe":
        overrides += [f"low.model={recipe_of_low(tmp_path)}"]
    command = ["train", name, *(part for each in overrides for part in ("--set", each))]
    for more in (["--limit-steps", "10"], ["--limit-steps", "20", "--resume"]):
        outcome = CliRunner().invoke(app, [*command, *more])
        assert outcome.exit_code == 0, outcome.output
    folder = tmp_path / "runs" / name
    found = [row["loss"] for row in losses(folder)]
    assert len(found) == 20 and np.mean(found[-5:]) < np.mean(found[:5])
    assert np.isfinite(vlqa.load(folder / "model", device="cpu").predict(IMAGES)).all()


def test_rows_may_lack_any_label(tmp_path: Path) -> None:
    document = recipe(tmp_path)
    names = _names(tmp_path)
    labels = tmp_path / "some.csv"
    rows = [f"photos/{names[0]},,blur,animal", f"photos/{names[1]},3,,plant", f"photos/{names[2]},4,noise,"]
    labels.write_text("path,mos,distortion,scenes\n" + "\n".join(rows) + "\n")
    document["data"] |= {"sets": [{"labels": str(labels), "per_batch": 6, "mos_range": [1, 5]}]}
    vlqa.train(document, quiet=True)
    assert all(np.isfinite(row["loss"]) for row in losses(tmp_path / "run"))
    labels.write_text("path,mos,scenes\n" + "".join(f"photos/{name},,plant\n" for name in names))
    folder = vlqa.train(document | {"output": str(tmp_path / "scenes")}, quiet=True)
    assert {(row["quality"], row["distortion"]) for row in losses(tmp_path / "scenes")} == {(0.0, 0.0)}
    assert np.mean([row.scene == "plant" for row in vlqa.load(folder, device="cpu").assess(IMAGES)]) == 1
