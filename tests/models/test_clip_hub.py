from __future__ import annotations

import time
from pathlib import Path

import huggingface_hub
import open_clip
import pytest
import torch
from huggingface_hub import constants

from tests.models.towers import VIT
from vlqa import artifacts
from vlqa.errors import CheckpointError, ConfigError
from vlqa.models import clip, clip_hub
from vlqa.models.clip import build_backbone, download_weights


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Session:
        def head(self, *_: object, **__: object) -> None:
            raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: download_weights("ViT-B-32", "openai"),
        lambda: download_weights("hf-hub:somebody/something"),
        lambda: build_backbone("hf-hub:somebody/something"),
        lambda: build_backbone("xlm-roberta-base-ViT-B-32"),
    ],
)
def test_without_a_network_it_says_so_at_once(ask) -> None:
    started = time.perf_counter()
    with pytest.raises(CheckpointError, match=r"cannot be reached; set HF_HUB_CACHE \(now .*hub\)") as caught:
        ask()
    assert time.perf_counter() - started < 10  # huggingface_hub alone retries for half a minute
    assert "\n" not in str(caught.value)


def test_weights_name_the_option_for_a_file() -> None:
    with pytest.raises(CheckpointError, match="--weights"):
        download_weights("RN50", "openai")


def test_a_tokenizer_is_fetched_only_when_texts_come() -> None:
    text = VIT["text_cfg"] | {"hf_tokenizer_name": "somebody/something"}
    backbone = build_backbone(VIT | {"text_cfg": text})
    assert backbone.encode_image(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    with pytest.raises(CheckpointError, match="tokenizer somebody/something"):
        backbone.encode_text(["a photo"])


def test_forbidden_downloads_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE forbids"):
        download_weights("RN50", "openai")
    assert constants.HF_HUB_OFFLINE is True


def test_cached_weights_come_with_their_activation_and_need_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.safetensors"
    artifacts.write_tensors(file, {"visual.proj": torch.zeros(2)})
    monkeypatch.setattr(open_clip, "download_pretrained", lambda published: str(file))
    config, weights = download_weights("ViT-B-32", "openai")
    assert config["quick_gelu"] is True
    assert weights.keys() == {"visual.proj"}
    assert download_weights("ViT-B-32", "laion2b_s34b_b79k")[0]["quick_gelu"] is False


def test_a_failing_download_gives_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("disk full\nand more")

    monkeypatch.setattr(clip_hub, "_reachable", lambda: True)
    with pytest.raises(CheckpointError, match=r"weights: cannot be downloaded \(disk full\); set HF_HUB_CACHE"):
        clip_hub.fetch(fail, "weights")


def test_unknown_tags_name_the_known() -> None:
    with pytest.raises(ConfigError, match=r"RN50 has no weights 'opena'; published are: openai, yfcc15m, cc12m"):
        clip.download_weights("RN50", "opena")
