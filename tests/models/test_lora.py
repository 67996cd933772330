from __future__ import annotations

import dataclasses
import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.tiny import CONVOLUTIONS, VIT, backbone, joint_prompts, pictures
from tests.training.recipe import ARCHITECTURE
from vlqa.errors import CheckpointError, ConfigError
from vlqa.hub import load, save, store
from vlqa.hub.table import MODELS
from vlqa.models.clip import ClipBackbone, build_backbone
from vlqa.models.lora import Adapters, LoraOptions
from vlqa.models.split_attention import split_attention
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.views import Square

RESNET: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8},
    "text_cfg": VIT["text_cfg"],
}
POOLER: dict[str, Any] = {  # CoCa's, whose keys are as wide as the tower and its queries as the embedding
    **VIT,
    "vision_cfg": {**VIT["vision_cfg"], "attentional_pool": True, "attn_pooler_queries": 3, "attn_pooler_heads": 2},
}
BOTH = LoraOptions(rank=4, towers=("image", "text"), targets="all")
IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def shake(module: nn.Module, seed: int = 0) -> None:
    """Give adapters, whose B starts at 0, something to say."""
    numbers = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.05, generator=numbers)


def adapted(architecture: dict[str, Any], options: LoraOptions = BOTH) -> tuple[ClipBackbone, Adapters]:
    built = backbone(architecture)
    adapters = Adapters(built)
    adapters.add("one", options)
    shake(built)
    return built, adapters


@pytest.mark.parametrize("architecture", [VIT, RESNET, CONVOLUTIONS, POOLER], ids=["vit", "resnet", "own", "pooler"])
def test_merged_equals_unmerged(architecture: dict[str, Any]) -> None:
    built, adapters = adapted(architecture)
    plain = backbone(architecture)
    images, texts = built.encode_image(IMAGES), built.encode_text(["a photo", "a bad photo"])
    assert (images - plain.encode_image(IMAGES)).abs().max() > 1e-3
    assert (texts - plain.encode_text(["a photo", "a bad photo"])).abs().max() > 1e-3
    adapters.merge()
    assert built.adapters is None and built.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(built.encode_image(IMAGES), images, rtol=0, atol=1e-5)
    torch.testing.assert_close(built.encode_text(["a photo", "a bad photo"]), texts, rtol=0, atol=1e-5)


def test_the_base_never_changes() -> None:
    built, adapters = adapted(VIT)
    before = {name: tensor.clone() for name, tensor in backbone(VIT).state_dict().items()}
    for name in ("one", None, "one"):
        adapters.use(name)
        for _ in range(3):
            built.encode_image(IMAGES)
    after = adapters.base_state()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("towers", [("image",), ("text",)])
def test_only_the_adapter_of_the_chosen_tower_is_trained(towers: tuple[Any, ...]) -> None:
    built = backbone(VIT)
    built.requires_grad_(True)
    Adapters(built).add("one", LoraOptions(towers=towers, targets="all"))
    trained = [name for name, parameter in built.named_parameters() if parameter.requires_grad]
    prefix = "visual." if towers == ("image",) else "text."
    assert trained and all(".lora_" in name and name.startswith(prefix) for name in trained)


def test_switching_needs_no_loading(tmp_path: Path) -> None:
    built, adapters = adapted(VIT)
    one, digest = built.encode_image(IMAGES), built.digest
    adapters.add("two", LoraOptions(rank=2))
    shake(built, seed=1)
    adapters.use("two")
    two = built.encode_image(IMAGES)
    assert (one - two).abs().max() > 1e-3 and adapters.active == "two" and adapters.names == ("one", "two")
    adapters.use(None)
    torch.testing.assert_close(built.encode_image(IMAGES), backbone(VIT).encode_image(IMAGES), rtol=0, atol=1e-6)
    assert len({digest, built.digest, backbone(VIT).digest}) == 3
    with pytest.raises(ConfigError, match="no adapter 'tow'; there are one, two; did you mean 'two'"):
        adapters.use("tow")
    with pytest.raises(ConfigError, match="an adapter 'one' already"):
        adapters.add("one", BOTH)
    with pytest.raises(ConfigError, match="letters, digits"):
        adapters.add("a.b", BOTH)


def test_an_adapter_with_dropout_gives_the_same_each_time(tmp_path: Path) -> None:
    towers = backbone(VIT).eval()
    adapters = Adapters(towers)
    image = torch.rand(2, 3, 32, 32)

    def encoded() -> list[torch.Tensor]:
        with torch.inference_mode():
            return [towers.encode_image(image) for _ in range(2)]

    for name in ("one", "two"):
        adapters.add(name, LoraOptions(rank=2, alpha=4, dropout=0.5, targets=("c_fc",)))
        layer = next(module for module in towers.visual.modules() if hasattr(module, "lora_B") and module.lora_B)
        torch.nn.init.normal_(layer.lora_B[name].weight)
        assert torch.equal(*encoded())
    adapters.write("two", tmp_path / "two")
    adapters.average(("one", "two"), "mean")
    assert torch.equal(*encoded())
    adapters.read(tmp_path / "two", "again")
    adapters.use("again")
    assert torch.equal(*encoded())
    towers.train()
    assert not torch.equal(*encoded())


def test_writes_pefts_own_format(tmp_path: Path) -> None:
    built, adapters = adapted(VIT)
    adapters.write("one", tmp_path / "one")
    from peft import PeftModel

    plain = backbone(VIT)
    split_attention(plain)
    other = PeftModel.from_pretrained(plain, str(tmp_path / "one"))
    torch.testing.assert_close(other.base_model.model.encode_image(IMAGES), built.encode_image(IMAGES))
    again = backbone(VIT)
    Adapters(again).read(tmp_path / "one", "mine")
    torch.testing.assert_close(again.encode_image(IMAGES), built.encode_image(IMAGES))


def test_what_does_not_belong_is_refused(tmp_path: Path) -> None:
    _, adapters = adapted(VIT)
    adapters.write("one", tmp_path / "one")
    with pytest.raises(CheckpointError, match=r"belongs to the base [0-9a-f]{16}, not to [0-9a-f]{16}"):
        Adapters(backbone(VIT, seed=1)).read(tmp_path / "one", "one")
    with pytest.raises(CheckpointError, match=r"adapter_config\.json is missing"):
        Adapters(backbone(VIT)).read(tmp_path, "one")
    (tmp_path / "one" / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="not an adapter in peft's format"):
        Adapters(backbone(VIT)).read(tmp_path / "one", "one")
    with pytest.raises(ConfigError, match="the image tower has no layers"):
        Adapters(backbone(VIT)).add("one", LoraOptions(targets=("nonsense",)))
    adapters.write("one", tmp_path / "two")
    config = json.loads((tmp_path / "two" / "adapter_config.json").read_text())
    (tmp_path / "two" / "adapter_config.json").write_text(json.dumps(config | {"modules_to_save": ["visual.conv1"]}))
    with pytest.raises(CheckpointError, match=r"modules_to_save visual\.conv1\) are not read"):
        Adapters(backbone(VIT)).read(tmp_path / "two", "two")


@pytest.mark.parametrize("first", [True, False])
def test_an_adapter_that_cannot_be_read_leaves_nothing_behind(first: bool, tmp_path: Path) -> None:
    _, adapters = adapted(VIT)
    adapters.write("one", tmp_path / "one")
    config = json.loads((tmp_path / "one" / "adapter_config.json").read_text())
    fresh = backbone(VIT)
    reading = Adapters(fresh)
    if not first:
        reading.read(tmp_path / "one", "good")
    before = fresh.encode_image(IMAGES)
    file = tmp_path / "one" / "adapter_model.safetensors"
    weights = load_file(file)
    for wrong in ({"r": 3}, {}):
        (tmp_path / "one" / "adapter_config.json").write_text(json.dumps(config | wrong))
        save_file(dict(list(weights.items())[: None if wrong else -1]), file)
        with pytest.raises(CheckpointError, match="tensors do not fit its configuration") as caught:
            reading.read(tmp_path / "one", "bad")
        assert "\n" not in str(caught.value) and reading.names == (() if first else ("good",))
        torch.testing.assert_close(fresh.encode_image(IMAGES), before)
        save_file(weights, file)
    (tmp_path / "one" / "adapter_config.json").write_text(json.dumps(config))
    reading.read(tmp_path / "one", "bad")


@pytest.mark.parametrize("name", ["visual", "text", "0", "q_proj", "base_layer", "lora", "weight"])
def test_an_adapter_may_be_called_as_a_part_of_the_backbone_is(name: str, tmp_path: Path) -> None:
    built = backbone(VIT)
    Adapters(built).add(name, BOTH)
    shake(built)
    expected = predictor(built).predict(pictures(2))
    save(predictor(built), tmp_path / "model")
    for merge in (True, False):
        assert load(tmp_path / "model", merge=merge, device="cpu").predict(pictures(2)) == pytest.approx(
            expected, abs=1e-5
        )


@pytest.mark.parametrize("name", ["half", "keys", "training"])
def test_an_adapter_is_not_called_as_torchs_own_are(name: str, tmp_path: Path) -> None:
    _, adapters = adapted(VIT)
    with pytest.raises(ConfigError, match=f"cannot be called {name!r}, .*; choose another name"):
        adapters.add(name, BOTH)
    adapters.write("one", tmp_path / name)
    with pytest.raises(ConfigError, match="choose another name"):
        Adapters(backbone(VIT)).read(tmp_path / name, name)


def test_an_adapter_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, adapters = adapted(VIT)
    adapters.write("one", tmp_path)
    before = (tmp_path / "adapter_model.safetensors").read_bytes()

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    shake(adapters.backbone, seed=9)
    with pytest.raises(OSError, match="No space left"):
        adapters.write("one", tmp_path)
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == before


def predictor(built: ClipBackbone) -> MultitaskPredictor:
    return MultitaskPredictor(built, joint_prompts(), Square(built.resize), name="tuned")


def test_targets_are_ends_of_names_between_dots() -> None:
    def adapted_layers(*targets: str) -> list[str]:
        built = build_backbone(ARCHITECTURE)
        Adapters(built).add("one", LoraOptions(targets=targets))
        return sorted({name.partition(".lora_A")[0] for name, _ in built.named_parameters() if "lora_A" in name})

    assert adapted_layers("head.1", "head.3") == ["visual.head.1", "visual.head.3"]
    assert adapted_layers("1") == ["visual.head.1", "visual.stages.0.0.shortcut.1"]
    with pytest.raises(ConfigError, match="no layers"):
        adapted_layers("ead.1")


def test_a_model_keeps_its_adapters(tmp_path: Path) -> None:
    built, adapters = adapted(VIT)
    adapters.add("two", BOTH)
    shake(built, seed=3)
    images = pictures(3)
    expected = {}
    for name in (None, "one", "two"):
        adapters.use(name)
        expected[name] = predictor(built).predict(images)
    save(predictor(built), tmp_path / "model")
    assert json.loads((tmp_path / "model" / "adapters" / "two" / "adapter_config.json").read_text())["r"] == 4
    assert load(tmp_path / "model", device="cpu").predict(images) == pytest.approx(expected["two"], abs=1e-5)
    for name in (None, "one"):
        merged = load(tmp_path / "model", adapter=name, device="cpu")
        assert merged.predict(images) == pytest.approx(expected[name], abs=1e-5)
        assert merged.backbone.adapters is None
    kept = load(tmp_path / "model", merge=False, device="cpu")
    digests = set()
    for name in ("two", None, "one"):
        kept.backbone.adapters.use(name)
        assert kept.predict(images) == pytest.approx(expected[name], abs=1e-6)
        digests.add(kept.assess(images)[0].digest)
    assert len(digests) == 3
    with pytest.raises(ConfigError, match="adapters belong to weights in fp32"):
        save(load(tmp_path / "model", merge=False, precision="bf16", device="cpu"), tmp_path / "half")
    foreign = load(tmp_path / "model", adapter=tmp_path / "model" / "adapters" / "one", device="cpu")
    assert foreign.predict(images) == pytest.approx(expected["one"], abs=1e-5)
    with pytest.raises(ConfigError, match=r"no adapter 'three' in tuned \(one, two\)"):
        load(tmp_path / "model", adapter="three", device="cpu")
    with pytest.raises(ConfigError, match="adapter must be a name, a folder or None, not 3"):
        load(tmp_path / "model", adapter=3, device="cpu")
    shutil.copytree(tmp_path / "model" / "adapters" / "two", tmp_path / "one")  # the name of another one
    with pytest.raises(ConfigError, match="tuned has an adapter 'one' of its own; rename the folder"):
        load(tmp_path / "model", adapter=tmp_path / "one", merge=False, device="cpu")
    assert load(tmp_path / "model", adapter=tmp_path / "one", device="cpu").predict(images) == pytest.approx(
        expected["two"], abs=1e-5
    )


def test_each_tower_that_is_named_has_what_is_named() -> None:
    with pytest.raises(ConfigError, match="the image tower has no layers 'attention'"):
        Adapters(backbone(CONVOLUTIONS)).add("one", LoraOptions(towers=("image", "text"), targets="attention"))
    head = Adapters(backbone(CONVOLUTIONS))
    head.add("one", LoraOptions(towers=("image", "text"), targets=("head.1",)))  # names need not stand in both
    with pytest.raises(ConfigError, match=r"the image and text tower has no layers \('tail',\)"):
        head.add("two", LoraOptions(towers=("image", "text"), targets=("tail",)))


def test_a_model_is_saved_merged(tmp_path: Path) -> None:
    built, _ = adapted(VIT)
    images = pictures(3)
    expected = predictor(built).predict(images)
    with pytest.raises(ConfigError, match="half would change the weights"):
        save(predictor(built), tmp_path / "half", half=True)
    one = predictor(built)
    digest = one.digest
    built.adapters.use(None)
    bare = one.digest
    built.adapters.use("one")
    save(one, tmp_path / "merged")
    assert (tmp_path / "merged" / "adapters").exists()
    save(one, tmp_path / "merged", merge=True)
    assert len({one.digest, digest, bare}) == 3
    assert not (tmp_path / "merged" / "adapters").exists()
    assert load(tmp_path / "merged", device="cpu").predict(images) == pytest.approx(expected, abs=1e-5)


def test_adapters_of_a_base_in_half_are_saved_in_half_with_it(tmp_path: Path) -> None:
    base = predictor(backbone(VIT))
    save(base, tmp_path / "base", half=True)
    built = load(tmp_path / "base", device="cpu").backbone
    Adapters(built).add("one", BOTH)
    shake(built)
    images = pictures(3)
    expected = predictor(built).predict(images)
    save(predictor(built), tmp_path / "both", half=True)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("base", "both")]
    assert sizes[0] == sizes[1]
    assert load(tmp_path / "both", device="cpu").predict(images) == pytest.approx(expected, abs=1e-5)


def test_a_name_for_the_base_of_a_bundled_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built, adapters = adapted(VIT)
    save(predictor(built), tmp_path / "tuned")
    monkeypatch.setattr(store, "weights_dir", lambda name: tmp_path / name)
    row = dataclasses.replace(MODELS["mini"], name="bare", bundled=True, base_of="tuned")
    monkeypatch.setitem(MODELS, "bare", row)
    images = pictures(3)
    bare, tuned = load("bare", device="cpu"), load(tmp_path / "tuned", device="cpu")
    assert (bare.name, bare.assess(images)[0].model) == ("bare", "bare")
    assert tuned.predict(images) == pytest.approx(predictor(built).predict(images), abs=1e-5)
    adapters.use(None)
    assert bare.predict(images) == pytest.approx(predictor(built).predict(images), abs=1e-6)
    assert bare.predict(images).tolist() != tuned.predict(images).tolist()
    over = load("bare", adapter=tmp_path / "tuned" / "adapters" / "one", device="cpu")
    assert over.predict(images) == pytest.approx(tuned.predict(images), abs=1e-6)


def test_a_repository_of_the_hub_comes_with_its_adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "tuned"
    save(predictor(adapted(VIT)[0]), here)

    def fetched(_: str, allow_patterns: list[str]) -> str:
        for file in filter(Path.is_file, here.rglob("*")):
            if any(fnmatch(str(file.relative_to(here)), pattern) for pattern in allow_patterns):
                (tmp_path / "fetched" / file.relative_to(here)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / "fetched" / file.relative_to(here))
        return str(tmp_path / "fetched")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    images = pictures(3)
    found = load("someone/tuned", device="cpu").predict(images)
    assert found.tolist() == load(here, device="cpu").predict(images).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ViT-B-32", "RN50"])
def test_merged_equals_unmerged_at_full_size(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = build_backbone(name)
    adapters = Adapters(built)
    adapters.add("one", LoraOptions(towers=("image", "text"), targets="all"))
    shake(built)
    image = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        before = nn.functional.normalize(built.encode_image(image)), built.encode_text(["a good photo"])
        adapters.merge()
        after = nn.functional.normalize(built.encode_image(image)), built.encode_text(["a good photo"])
    for unmerged, merged in zip(before, after, strict=True):
        torch.testing.assert_close(merged, unmerged, rtol=0, atol=1e-5)
