from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.models.towers import QUALITY, TEXT, VIT
from vlqa.errors import TextWarning
from vlqa.models import clip_backbone, text_cache
from vlqa.models.clip import ClipBackbone, build_backbone
from vlqa.models.text_tower import forward_trimmed

TEXTS = ["a photo", "a much longer text with many words", "", "good"]


@pytest.fixture(scope="module")
def backbone() -> ClipBackbone:
    return build_backbone(VIT)


@pytest.fixture(autouse=True)
def _forget(backbone: ClipBackbone) -> None:
    backbone._texts.clear()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each chunk that was really computed had."""
    chunks: list[int] = []

    def count(tower: torch.nn.Module, tokens: Tensor) -> Tensor:
        chunks.append(len(tokens))
        return forward_trimmed(tower, tokens)

    monkeypatch.setattr(clip_backbone, "forward_trimmed", count)
    return chunks


@given(st.lists(st.text("abc xyz!", max_size=60), min_size=1, max_size=5))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_trimming_leaves_the_features_as_they_are(backbone: ClipBackbone, texts: list[str]) -> None:
    tokens = backbone.tokenizer(texts)
    with torch.inference_mode():
        whole = torch.nn.functional.normalize(run_whole(backbone.text, tokens), dim=-1)
        trimmed = torch.nn.functional.normalize(forward_trimmed(backbone.text, tokens), dim=-1)
    torch.testing.assert_close(trimmed, whole, atol=1e-6, rtol=0)


def run_whole(tower: torch.nn.Module, tokens: Tensor) -> Tensor:
    return tower(tokens)


@pytest.mark.parametrize(
    "settings_",
    [{"no_causal_mask": True, "pool_type": "last"}, {"embed_cls": True}, {"pool_type": "first"}, {"proj_bias": True}],
)
def test_other_towers_run_as_they_are(settings_: dict) -> None:
    tower = build_backbone(VIT | {"text_cfg": TEXT | settings_})
    tokens = tower.tokenizer(TEXTS)
    with torch.inference_mode():
        torch.testing.assert_close(tower.encode_tokens(tokens), tower.text(tokens), atol=1e-6, rtol=1e-6)


def test_end_token_pooling_is_found() -> None:
    tower = build_backbone(VIT | {"text_cfg": TEXT | {"pool_type": "eos", "eos_id": 49407}})
    tokens = tower.tokenizer(TEXTS)
    with torch.inference_mode():
        torch.testing.assert_close(tower.encode_tokens(tokens), tower.text(tokens), atol=1e-6, rtol=1e-6)


def test_features_are_unit_length_and_ordinary_tensors(backbone: ClipBackbone) -> None:
    features = backbone.encode_text(TEXTS)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(4))
    assert features.dtype == torch.float32
    weight = torch.ones(16, requires_grad=True)
    (features * weight).sum().backward()  # fails on inference tensors
    assert not features.requires_grad


def test_chunks_change_nothing(backbone: ClipBackbone, computed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"a {word} photo of {thing}" for word, thing in itertools.product(TEXTS, ["one", "two", "a tall tree"])]
    together = backbone.encode_text(texts)
    monkeypatch.setattr(clip_backbone, "_TEXTS_AT_ONCE", 5)
    apart = torch.cat([backbone.encode_text([text]) for text in texts])
    backbone._texts.clear()
    text_cache.path(text_cache.key(backbone.text_digest, backbone.tokenizer(texts))).unlink()
    chunked = backbone.encode_text(texts)
    assert computed == [12, *[1] * 12, 5, 5, 2]
    torch.testing.assert_close(chunked, together, atol=1e-6, rtol=0)
    torch.testing.assert_close(apart, together, atol=1e-6, rtol=0)


def test_memory_and_disk_answer_the_second_time(backbone: ClipBackbone, computed: list[int]) -> None:
    first = backbone.encode_text(TEXTS)
    from_memory = backbone.encode_text(TEXTS)
    from_memory += 1  # the caller's own copy
    backbone._texts.clear()
    from_disk = backbone.encode_text(TEXTS)
    assert computed == [4]
    assert torch.equal(from_disk, first)
    backbone.encode_text(list(reversed(TEXTS)))
    assert computed == [4, 4]


def test_other_weights_or_settings_have_entries_of_their_own(backbone: ClipBackbone, computed: list[int]) -> None:
    before = backbone.encode_text(TEXTS)
    other = copy.deepcopy(backbone)
    other.text.token_embedding.weight.data[:] *= 1.01  # an update that torch's version counters do not see
    assert other.text_digest != backbone.text_digest
    assert not torch.equal(other.encode_text(TEXTS), before)
    assert computed == [4, 4]


def test_image_weights_do_not_matter_to_texts(backbone: ClipBackbone, computed: list[int]) -> None:
    before = backbone.encode_text(TEXTS)
    other = build_backbone(VIT)
    other.text.load_state_dict(backbone.text.state_dict())
    other.cast(torch.bfloat16)
    assert other.digest != backbone.digest
    assert torch.equal(other.encode_text(TEXTS), before)
    assert computed == [4]


def test_training_mode_and_autocast_do_not_reach_the_cache(backbone: ClipBackbone) -> None:
    tower = copy.deepcopy(backbone)
    tower.text.ln_final.register_forward_hook(lambda module, _, out: torch.dropout(out, 0.5, module.training))
    plain = backbone._compute_text(backbone.tokenizer(TEXTS))
    tower.train()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tower.encode_text(TEXTS), plain)
    assert tower.text.training
    assert tower.text.ln_final.training


def test_adapters_are_never_cached(backbone: ClipBackbone, computed: list[int]) -> None:
    import peft

    tower = copy.deepcopy(backbone)
    config = peft.LoraConfig(r=2, target_modules=["c_fc", "c_proj"], init_lora_weights=False)
    tower.text = peft.inject_adapter_in_model(config, tower.text)
    features = tower.encode_text(TEXTS)
    assert not torch.equal(features, backbone.encode_text(TEXTS))
    tower.encode_text(TEXTS)
    assert computed == [4, 4, 4]


@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_damaged_file_is_computed_again(backbone: ClipBackbone, computed: list[int], damage: bytes | None) -> None:
    first = backbone.encode_text(TEXTS)
    file = text_cache.path(text_cache.key(backbone.text_digest, backbone.tokenizer(TEXTS)))
    content = bytearray(file.read_bytes())
    content[-3] ^= 1  # one bit of the numbers: the file still reads
    file.write_bytes(content if damage is None else damage)
    backbone._texts.clear()
    assert torch.equal(backbone.encode_text(TEXTS), first)
    assert computed == [4, 4]
    backbone._texts.clear()
    backbone.encode_text(TEXTS)
    assert computed == [4, 4]  # and the file is whole again


def test_an_unwritable_cache_is_done_without(
    backbone: ClipBackbone, computed: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("VLQA_CACHE", str(tmp_path / "file"))
    first = backbone.encode_text(TEXTS)
    assert torch.equal(backbone.encode_text(TEXTS), first)
    assert computed == [4]


def test_nothing_and_a_single_text(backbone: ClipBackbone) -> None:
    assert backbone.encode_text([]).shape == (0, 16)
    assert torch.equal(backbone.encode_text("a photo"), backbone.encode_text(["a photo"]))


def test_memory_holds_a_limited_number_of_lists(backbone: ClipBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_backbone, "_SETS_IN_MEMORY", 2)
    for text in TEXTS:
        backbone.encode_text([text])
    assert len(backbone._texts) == 2


def test_a_pruned_tower_encodes_unknown_words_and_says_which() -> None:
    tower = build_backbone(QUALITY)
    with pytest.warns(TextWarning, match="never taught 'qwzx'"):
        features = tower.encode_text(["a photo", "a qwzx"])
    assert features.shape == (2, 16)
    assert not torch.equal(features[0], features[1])
    tower.encode_text(["a photo", "a qwzx"])  # once a list of texts: further warnings would be errors here


def test_a_text_that_is_cut_is_named(backbone: ClipBackbone) -> None:
    longest = backbone.context_length - 3
    backbone.encode_text(["photo " * longest])
    with pytest.warns(
        TextWarning, match=f"reads {backbone.context_length} tokens; an end beyond them is cut: 'cut photo"
    ):
        backbone.encode_text(["a photo", "cut " + "photo " * (longest + 2)])


def test_weights_that_change_places_have_another_digest(backbone: ClipBackbone) -> None:
    digest = backbone.text_digest
    weight = backbone.text.token_embedding.weight
    with torch.no_grad():
        weight.copy_(weight.flip(0))
    assert backbone.text_digest != digest
    digest = backbone.text_digest
    with torch.no_grad():
        weight.copy_(weight.flip(1))
    assert backbone.text_digest != digest
