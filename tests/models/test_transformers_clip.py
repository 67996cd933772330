from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.utils._python_dispatch import TorchDispatchMode

import vlqa
from tests.tiny import pictures
from vlqa.errors import CheckpointError, ConfigError, VLQAError
from vlqa.models.clip import build_backbone, download_weights
from vlqa.models.lora import Adapters, LoraOptions

TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
PICTURES = {**TOWER, "image_size": 32, "patch_size": 16}
TEXTS = ["a good photo", "a bad photo"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    config = transformers.CLIPConfig(
        text_config={**TOWER, "vocab_size": 49408}, vision_config=PICTURES, projection_dim=16
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    return preprocessing(folder, resample=3, do_center_crop=True)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("siglip")
    torch.manual_seed(0)
    texts = {**TOWER, "vocab_size": 16, "bos_token_id": 2, "eos_token_id": 3, "max_position_embeddings": 8}
    config = transformers.SiglipConfig(text_config=texts, vision_config=PICTURES)
    transformers.SiglipModel(config).save_pretrained(folder)
    words = {
        word: number
        for number, word in enumerate(["<unk>", "<pad>", "<s>", "</s>", "a", "good", "bad", "photo", "Good", "Bad"])
    }
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 3)])
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(folder)
    return preprocessing(folder, resample=2)


def preprocessing(folder: Path, **options: Any) -> Path:
    given = {"image_mean": [0.5, 0.5, 0.4], "image_std": [0.5, 0.4, 0.5], **options}
    (folder / "preprocessor_config.json").write_text(json.dumps(given))
    return folder


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_features_are_those_of_transformers(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    architecture, weights = download_weights(f"transformers:{folder}")
    backbone = build_backbone(architecture, weights=weights)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    images = torch.rand(3, 3, 32, 32)
    normal = (images - backbone.mean) / backbone.std
    with torch.inference_mode():
        expected = model.get_image_features(pixel_values=normal).pooler_output
        torch.testing.assert_close(backbone.encode_image(images), expected)
        tokens = backbone.tokenizer(TEXTS)
        texts = model.get_text_features(input_ids=tokens).pooler_output
    torch.testing.assert_close(backbone.encode_text(TEXTS), torch.nn.functional.normalize(texts))
    assert backbone.fixed_size and backbone.embed_dim == expected.shape[1]
    assert backbone.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))
    assert backbone.resize_mode == ("shortest" if kind == "clip" else "squash")
    assert backbone.interpolation == ("bicubic" if kind == "clip" else "bilinear")


def test_no_start_value_is_drawn_where_weights_come(clip: Path) -> None:
    class Counting(TorchDispatchMode):
        drawn = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.drawn += args[0].numel() if func is torch.ops.aten.normal_.default else 0
            return func(*args, **(kwargs or {}))

    architecture, weights = download_weights(f"transformers:{clip}")
    counts = []
    for given in (None, weights):
        with Counting() as counting:
            build_backbone(architecture, weights=given)
        counts.append(counting.drawn)
    assert counts[0] > 1_000_000 and counts[1] == 0


def test_the_tokens_of_clip_are_those_of_its_own_tokenizer(clip: Path) -> None:
    backbone = build_backbone(f"transformers:{clip}")
    tokens = backbone.tokenizer(TEXTS)
    assert tokens.shape == (2, 77) and tokens[0, :5].tolist() == [49406, 320, 886, 1125, 49407]


def test_a_name_stands_for_a_repository_of_the_hub(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "models--someone--clip"
    shutil.copytree(clip, cached / "snapshots" / "f00d")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("f00d")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    images = torch.rand(2, 3, 32, 32)
    found, expected = (
        build_backbone(architecture, weights=weights).encode_image(images)
        for architecture, weights in map(download_weights, ("transformers:someone/clip", f"transformers:{clip}"))
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    with pytest.raises(CheckpointError, match=r"of someone/other: .*set HF_HUB_CACHE"):
        download_weights("transformers:someone/other")


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_scores_saves_and_takes_adapters(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    predictor = vlqa.load("clip-iqa", weights=request.getfixturevalue(kind), device="cpu")
    images = pictures(3)
    scores = predictor.predict(images)
    assert predictor.view.as_dict() == {"kind": "square"}
    vlqa.save(predictor, tmp_path / "model")
    again = vlqa.load(tmp_path / "model", device="cpu")
    assert again.predict(images) == pytest.approx(scores, abs=1e-6) and again.digest == predictor.digest
    adapters = Adapters(again.backbone)
    adapters.add("mine", LoraOptions(towers=("image", "text")))
    for name, parameter in again.backbone.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.1)
    tuned = again.predict(images)
    assert tuned != pytest.approx(scores, abs=1e-4)
    vlqa.save(again, tmp_path / "tuned")
    assert vlqa.load(tmp_path / "tuned", device="cpu").predict(images) == pytest.approx(tuned, abs=1e-5)


def test_what_is_no_such_model_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        build_backbone(f"transformers:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="'bert' has no image and text tower"):
        build_backbone(f"transformers:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "nonsense", "vision_config": {}, "text_config": {}}')
    with pytest.raises(ConfigError, match="no model type 'nonsense'"):
        build_backbone(f"transformers:{tmp_path}")
    preprocessing(tmp_path)
    (tmp_path / "config.json").write_bytes((clip / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is missing"):
        download_weights(f"transformers:{tmp_path}")
    weights = (clip / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    for file, change, message in (
        ("config.json", {"vision_config": {"hidden_size": "x"}}, "transformers refuses the configuration"),
        ("config.json", {"model_type": "bert"}, "'bert' has no image and text tower"),
        ("preprocessor_config.json", {"image_mean": "x"}, "image_mean must be three numbers"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, 0]}, "a deviation above 0"),
        ("preprocessor_config.json", {"image_mean": None}, "image_mean must be three numbers"),
    ):
        whole = (tmp_path / file).read_text()
        (tmp_path / file).write_text(json.dumps(json.loads(whole) | change))
        with pytest.raises(VLQAError, match=message) as caught:
            download_weights(f"transformers:{tmp_path}")
        assert "\n" not in str(caught.value)
        (tmp_path / file).write_text(whole)
    (tmp_path / "config.json").write_text(json.dumps(json.loads(whole_of(clip)) | {"projection_dim": 8}))
    with pytest.raises(CheckpointError, match=f"^{tmp_path}: weights do not fit"):
        vlqa.load("clip-iqa", weights=tmp_path, device="cpu")


def whole_of(folder: Path) -> str:
    return (folder / "config.json").read_text()


def test_a_saved_model_finds_its_tokenizer_from_any_place(
    siglip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(siglip.parent)
    near, far = (vlqa.load("clip-iqa", weights=folder, device="cpu") for folder in (siglip.name, siglip))
    assert near.backbone.digest == far.backbone.digest  # else an adapter of one would not fit the other
    vlqa.save(near, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    again = vlqa.load(tmp_path / "model", device="cpu")
    assert again.backbone.tokenizer(TEXTS).shape == (2, 8)


def test_a_saved_model_keeps_its_tokenizer(siglip: Path, tmp_path: Path) -> None:
    shutil.copytree(siglip, tmp_path / "source")
    first = vlqa.load("clip-iqa", weights=tmp_path / "source", device="cpu")
    expected = first.predict(pictures(2))
    vlqa.save(first, tmp_path / "model")
    shutil.rmtree(tmp_path / "source")
    again = vlqa.load(tmp_path / "model", device="cpu")
    assert again.digest == first.digest
    assert again.backbone.tokenizer(TEXTS).tolist() == first.backbone.tokenizer(TEXTS).tolist()
    assert again.predict(pictures(2)).tolist() == expected.tolist()
    vlqa.save(again, tmp_path / "copy")
    assert (tmp_path / "copy" / "tokenizer" / "tokenizer.json").is_file()
