from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import vlqa
from tests.tiny import VIT, backbone, pictures
from vlqa.errors import CheckpointError, ConfigError
from vlqa.functional.similarity import unit
from vlqa.hub.convert import clip_iqa_plus
from vlqa.models.clip import build_backbone
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.learned_context import LearnedContext

PAIR = ("Good photo.", "Bad photo.")
GENERATOR = torch.Generator().manual_seed(0)
VECTORS = torch.randn(16, 32, generator=GENERATOR)


def slowly(tower: Any, vectors: Tensor, tokens: Tensor) -> Tensor:
    """Word by word, at full length: start, 8 vectors, three tokens of the sentence, 8 vectors, all the rest."""
    rows = []
    for number, row in enumerate(tokens):
        own = vectors[number] if vectors.ndim == 3 else vectors
        words = [tower.token_embedding(token) for token in row]
        sequence = [words[0], *own[:8], *words[17:20], *own[8:], *words[20:]]
        x = torch.stack(sequence)[None] + tower.positional_embedding
        x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask))
        rows.append(x[0, row.argmax()] @ tower.text_projection)
    return torch.stack(rows)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@torch.no_grad()
def test_the_words_stand_where_the_published_code_puts_them(own: bool) -> None:
    tower = backbone(VIT)
    vectors = torch.stack([VECTORS, -VECTORS]) if own else VECTORS
    tokens = tower.tokenizer(["X " * 16 + "Good photo..", "X " * 16 + "Bad photo.."])
    assert int(tokens[0].argmax()) == 20
    found = LearnedContext(vectors, PAIR, tower)(tower)
    torch.testing.assert_close(found, slowly(tower.text, vectors, tokens), rtol=1e-5, atol=1e-5)


def openai(tower: ClipBackbone) -> dict[str, Tensor]:
    return {name.removeprefix("text."): tensor for name, tensor in tower.state_dict().items()}


@pytest.mark.parametrize("layout", ["bare", "pyiqa"])
def test_converts_saves_and_loads(layout: str, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
        clip = build_backbone(
            {
                "embed_dim": 32,
                "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
                "text_cfg": text,
                "quick_gelu": True,
            }
        )
    torch.save(openai(clip), tmp_path / "clip.pt")
    vectors = torch.randn(16, 64, generator=GENERATOR)
    value = vectors if layout == "bare" else {"params": {"prompt_learner.ctx": torch.stack([vectors, vectors])}}
    torch.save(value, tmp_path / "words.pt")
    folder = vlqa.convert(
        tmp_path / "words.pt", "clip-iqa-plus", tmp_path / "model", parts={"clip": tmp_path / "clip.pt"}
    )
    model, images = vlqa.load(folder, device="cpu"), pictures(3, lowest=40)
    with torch.no_grad():
        texts = unit(LearnedContext(vectors, PAIR, model.backbone)(model.backbone))
    logits = model.backbone.logit_scale * unit(torch.from_numpy(model.embed(images))) @ texts.T
    assert model.predict(images) == pytest.approx(logits.softmax(1)[:, 0].numpy(), abs=1e-5)
    assert [record.raw for record in model.assess(images)] == pytest.approx(model.predict(images), abs=1e-6)
    plain = vlqa.load(folder, prompts="clip_iqa", device="cpu")
    assert plain.predict(images) != pytest.approx(model.predict(images), abs=1e-4)
    assert plain.digest != model.digest


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    tower = backbone(VIT)
    for wrong in (torch.zeros(16, 31), torch.zeros(15, 32), torch.zeros(3, 16, 32), torch.zeros(32)):
        with pytest.raises(CheckpointError, match=r"even number n of learned vectors as \(n, 32\)"):
            LearnedContext(wrong, PAIR, tower)
    with pytest.raises(ConfigError, match="as many tokens"):
        LearnedContext(VECTORS, ("Good photo.", "A very bad photo."), tower)
    with pytest.raises(ConfigError, match="do not fit into 32 tokens; take fewer words"):
        LearnedContext.random(30, PAIR, tower)
    with pytest.raises(CheckpointError, match=r"one named prompt_learner\.ctx; found something"):
        clip_iqa_plus._vectors({"something": torch.zeros(1)})
