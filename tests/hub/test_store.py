from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.tiny import CONVOLUTIONS, VIT, backbone, joint_prompts, pictures
from vlqa.artifacts import read_checkpoint
from vlqa.errors import CheckpointError, ConfigError, UnknownModelError
from vlqa.hub import available_models, load, save, store
from vlqa.models import clip_hub
from vlqa.predictors import AntonymPredictor, MultitaskPredictor
from vlqa.predictors.views import LiqePatches, Square, WholeImage
from vlqa.prompts import PromptSet


def made(seed: int = 0, name: str = "mini") -> MultitaskPredictor:
    return MultitaskPredictor(backbone(CONVOLUTIONS, seed), joint_prompts(), WholeImage(max_shorter_side=64), name=name)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clip_hub, "_reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_saved_model_gives_the_same_scores(tmp_path: Path) -> None:
    before = made()
    assert save(before, tmp_path / "new" / "model") == tmp_path / "new" / "model"
    after = load(tmp_path / "new" / "model", device="cpu")
    images = pictures(4)
    np.testing.assert_array_equal(after.predict(images), before.predict(images))
    assert (after.name, after.scale, after.digest) == (before.name, before.scale, before.digest)
    assert after.view == before.view and after.prompts == before.prompts
    assert not after.backbone.training
    assert not any(parameter.requires_grad for parameter in after.backbone.parameters())
    assert sorted(path.name for path in (tmp_path / "new").rglob("*") if path.is_file()) == [
        "config.json",
        "model.safetensors",
    ]


def test_the_configuration_says_what_the_model_is(tmp_path: Path) -> None:
    save(made(), tmp_path / "model", licence="CC0-1.0")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["format"] == 1 and config["method"] == "multitask" and config["scale"] == [1, 3]
    assert config["licence"] == "CC0-1.0"
    assert config["prompts"]["labels"]["quality"] == ["bad", "fair", "good"]
    assert config["view"] == WholeImage(max_shorter_side=64).as_dict()
    assert set(config["versions"]) == {"vlqa", "torch", "open_clip_torch"}
    assert set(config["digests"]) == {"weights", "prompts"}


@pytest.mark.parametrize("view", [LiqePatches(rule="pyiqa", size=32, limit=3), "square"])
def test_views_and_antonyms_are_saved(tmp_path: Path, view: LiqePatches | str) -> None:
    tower = backbone(VIT)
    pixels = Square(tower.resize) if isinstance(view, str) else view
    before = AntonymPredictor(tower, PromptSet.load("clip_iqa"), pixels, name="mine")
    after = load(save(before, tmp_path / "model"), device="cpu")
    assert isinstance(after, AntonymPredictor) and after.view.as_dict() == before.view.as_dict()
    np.testing.assert_array_equal(after.predict(pictures(2)), before.predict(pictures(2)))


def test_half_precision_storage_is_smaller_and_computed_in_full(tmp_path: Path) -> None:
    before = made()
    whole, half = save(before, tmp_path / "whole"), save(before, tmp_path / "half", half=True)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.52 * sizes[0]
    after = load(half, device="cpu")
    assert {parameter.dtype for parameter in after.backbone.parameters()} == {torch.float32}
    assert after.backbone.logit_scale == before.backbone.logit_scale
    np.testing.assert_allclose(after.predict(pictures(4)), before.predict(pictures(4)), atol=1e-3)
    np.testing.assert_array_equal(
        load(save(after, tmp_path / "again"), device="cpu").predict(pictures(4)), after.predict(pictures(4))
    )


def test_saving_over_a_model_replaces_it(tmp_path: Path) -> None:
    save(made(0), tmp_path / "model")
    save(made(1), tmp_path / "model")
    np.testing.assert_array_equal(
        load(tmp_path / "model", device="cpu").predict(pictures(2)), made(1).predict(pictures(2))
    )


def test_a_save_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(store.artifacts, "write_json", full)
    with pytest.raises(OSError, match="no space left"):
        save(made(), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_damage_is_noticed(tmp_path: Path) -> None:
    folder = save(made(), tmp_path / "model")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["visual.stem.0.weight"][0, 0, 0, 0] += 1
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"weights are not those of its config\.json"):
        load(folder)
    (folder / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(CheckpointError, match="refused as weights"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no such weights file"):
        load(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(CheckpointError, match="format 99, expected 1"):
        load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        load(folder)


def test_an_incomplete_configuration_is_named(tmp_path: Path) -> None:
    folder = save(made(), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    del config["view"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="not a complete description"):
        load(folder)


def test_prompts_are_replaced_and_the_method_follows(tmp_path: Path) -> None:
    folder = save(made(), tmp_path / "model")
    images = pictures(3)
    five = load(folder, prompts="liqe_quality", device="cpu")
    assert five.scale == (1, 5) and five.digest != made().digest
    pair = load(folder, prompts=[("a sharp photo", "a blurry photo")], device="cpu")
    assert isinstance(pair, AntonymPredictor) and pair.scale == (0, 1)
    np.testing.assert_allclose(
        pair.predict(images), made().probabilities(images, [("a sharp photo", "a blurry photo")])[:, 0], atol=1e-6
    )
    with pytest.raises(ConfigError, match="labels of 'quality'"):
        load(folder, prompts=["a cat", "a dog"])
    with pytest.raises(ConfigError, match="no prompts named 'clip_iqaa'"):
        load(folder, prompts="clip_iqaa")


def test_options(tmp_path: Path) -> None:
    folder = save(made(), tmp_path / "model")
    changed = load(folder, device="cpu", max_shorter_side=32, batch_size=3, workers=0)
    assert changed.view == WholeImage(max_shorter_side=32)
    assert changed.reading == {"batch_size": 3, "workers": 0}
    with pytest.raises(ConfigError, match="mini has no option 'patches'; it has max_shorter_side, min_side, multiple"):
        load(folder, patches="demo")
    for wrong in (
        {"batch_size": 0},
        {"batch_size": 10**20},
        {"max_image_pixels": 0},
        {"batch_size": True},
        {"workers": -1},
        {"min_side": "a"},
    ):
        with pytest.raises(ConfigError, match="must be a whole number"):
            load(folder, **wrong)
    liqe = save(MultitaskPredictor(backbone(VIT), joint_prompts(), LiqePatches(size=32)), tmp_path / "liqe")
    assert load(liqe, device="cpu", patches="pyiqa").view == LiqePatches(rule="pyiqa", size=32)
    with pytest.raises(
        ConfigError, match="liqe has no option 'rule'; it has patches, adapter, merge, batch_size, workers"
    ):
        load(liqe, rule="demo")


def test_precision(tmp_path: Path) -> None:
    folder = save(made(), tmp_path / "model")
    half = load(folder, device="cpu", precision="bf16")
    assert half.backbone.visual.stem[0].weight.dtype == torch.bfloat16
    np.testing.assert_allclose(half.predict(pictures(3)), made().predict(pictures(3)), atol=0.05)
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        load(folder, device="cpu", precision="fp16")
    with pytest.raises(ConfigError, match="precision must be one of"):
        load(folder, precision="int8")


def test_names_that_do_not_exist(tmp_path: Path, offline: None) -> None:
    with pytest.raises(UnknownModelError, match=r"no model is called 'miny'; there are mini, .*did you mean 'mini'"):
        load("miny")
    with pytest.raises(UnknownModelError, match=r"written as \./folder"):
        load("zzzzzz")
    for missing in (str(tmp_path / "nothing"), "./nothing"):
        with pytest.raises(CheckpointError, match="no vlqa model there"):
            load(missing)
    with pytest.raises(CheckpointError, match="someone/something: not in the local cache"):
        load("someone/something")
    with pytest.raises(CheckpointError, match="no vlqa model there"):
        load(tmp_path)


def test_a_folder_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(made(), tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "./mine", Path("mine")):
        assert load(name, device="cpu").name == "mini"
    with pytest.raises(ConfigError, match="weights belong to a model name"):
        load("./mine", weights="x.pt")


def test_weights_that_are_nowhere(offline: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"liqe are not here: pass --weights .* or train them with vlqa train"):
        load("liqe")
    monkeypatch.setattr(store, "weights_dir", lambda name: tmp_path / name)
    with pytest.raises(CheckpointError, match=r"mini are not here: pass --weights .*vlqa train"):
        load("mini")
    with pytest.raises(CheckpointError, match="--weights"):
        load("clip-iqa")
    with pytest.raises(CheckpointError, match="mini has no published file"):
        load("mini", weights=tmp_path / "mini.pt")


def test_a_bundled_model_is_found_and_weights_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "weights_dir", lambda name: tmp_path / name)
    save(made(0), tmp_path / "mini")
    save(made(1), tmp_path / "other")
    images = pictures(2)
    np.testing.assert_array_equal(load(device="cpu").predict(images), made(0).predict(images))
    other = load("mini", weights=tmp_path / "other", device="cpu")
    np.testing.assert_array_equal(other.predict(images), made(1).predict(images))
    save(made(1, name="trained"), tmp_path / "trained")
    with pytest.raises(CheckpointError, match="holds the model trained, not mini"):
        load("mini", weights=tmp_path / "trained")


def test_available_models() -> None:
    rows = available_models()
    assert {
        "mini",
        "mini-zero",
        "clip-iqa",
        "clip-iqa-ensemble",
        "clip-iqa-plus",
        "liqe",
        "grepq",
        "grepq-low",
        "contrique",
        "re-iqa",
        "qpt",
        "arniqa",
        "vlqa",
    } == {row.name for row in rows}
    assert rows[0].name == "mini"
    for row in rows:
        assert row.what and row.licence and row.source and (row.scale is None or row.scale[0] < row.scale[1])
        assert row.parts or PromptSet.load(row.prompts)


def test_the_flagship_has_no_published_weights() -> None:
    with pytest.raises(CheckpointError, match=r"weights of vlqa are not here.* vlqa train configs/vlqa_vit_b32\.yaml"):
        load("vlqa")


def test_damaged_torch_files_are_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save({"a": torch.zeros(50), "b": torch.ones(3, 3)}, file)
    whole = file.read_bytes()
    numbers = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in numbers.integers(0, len(whole), 8):
            damaged[place] = numbers.integers(256)
        file.write_bytes(damaged[: int(numbers.integers(1, len(whole) + 1))])
        try:
            read_checkpoint(file)
        except CheckpointError as error:
            assert "\n" not in str(error)
    file.write_bytes(b"\xff\xd8\xff\xe0 a JPEG" * 9)
    with pytest.raises(CheckpointError, match="it is no torch file"):
        read_checkpoint(file)


def test_nothing_that_is_not_a_model_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"my": "project"}')
    with pytest.raises(ConfigError, match="is not that of a vlqa model and would be lost"):
        save(made(), tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        save(made(), tmp_path / "config.json")
    with pytest.raises(CheckpointError, match="is not that of a vlqa model"):
        load(tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"my": "project"}'
