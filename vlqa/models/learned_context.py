"""Learned words around a pair of sentences, in the embedding space of a text tower (CLIP-IQA+, arXiv 2207.12396)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlqa.errors import CheckpointError, ConfigError
from vlqa.models.clip_backbone import ClipBackbone


class LearnedContext(nn.Module):
    """Vectors before and behind each of two opposite sentences: start, half of them, the sentence, the rest, end.

    Args:
        vectors: (n, d), shared by both sentences, or (2, n, d), each its own; n is even. Shared ones are copied.
        sentences: the positive and the negative one.
        backbone: into whose text tower they go; its tower is open_clip's, and is not held here.

    Raises:
        CheckpointError: vectors of another width than the tower's, or of an odd number.
        ConfigError: a text tower that is not open_clip's own.
    """

    tokens: Tensor

    def __init__(self, vectors: Tensor, sentences: tuple[str, str], backbone: ClipBackbone) -> None:
        super().__init__()
        tower: Any = backbone.text
        if not all(hasattr(tower, part) for part in ("token_embedding", "positional_embedding", "ln_final")):
            raise ConfigError("learned context needs a text tower of open_clip's own kind, such as RN50's")
        width = tower.token_embedding.weight.shape[1]
        if (
            vectors.ndim not in (2, 3)
            or vectors.shape[-1] != width
            or vectors.shape[-2] % 2
            or (vectors.ndim == 3 and len(vectors) != 2)
        ):
            expected = f"an even number n of learned vectors as (n, {width}) or (2, n, {width})"
            raise CheckpointError(f"expected {expected}, got {tuple(vectors.shape)}")
        self.vectors = nn.Parameter(vectors.detach().clone().float())
        self.sentences = sentences
        self.before = vectors.shape[-2] // 2
        # one full stop more, and as many stand-ins as vectors: that is where the published code reads the end
        filled = ["X " * (2 * self.before) + sentence + "." for sentence in sentences]
        lengths = {int(backbone.tokenizer([sentence])[0].argmax()) - 1 for sentence in sentences}
        if len(lengths) != 1:
            raise ConfigError(f"the two sentences must have as many tokens: {sentences}")
        self.length = lengths.pop()
        self.register_buffer("tokens", backbone.tokenizer(filled), persistent=False)
        if set(self.tokens.argmax(dim=1).tolist()) != {1 + 2 * self.before + self.length}:
            room = f"{2 * self.before} learned words and {sentences} do not fit into {backbone.context_length} tokens"
            raise ConfigError(f"{room}; take fewer words")

    @classmethod
    def random(cls, count: int, sentences: tuple[str, str], backbone: ClipBackbone) -> LearnedContext:
        """Shared vectors to start from, normal with deviation 0.02."""
        tower: Any = backbone.text
        return cls(0.02 * torch.randn(count, tower.token_embedding.weight.shape[1]), sentences, backbone)

    def forward(self, backbone: ClipBackbone) -> Float[Tensor, "2 d"]:
        """Text features of both sentences with their context, not unit length."""
        tower: Any = backbone.text
        ends = self.tokens.argmax(dim=1)
        last = int(ends.max()) + 1
        embedded = tower.token_embedding(self.tokens[:, :last])
        first, rest = embedded[:, :1], embedded[:, 1 + 2 * self.before :]
        own = self.vectors if self.vectors.ndim == 3 else self.vectors.expand(2, -1, -1)
        middle, end = rest[:, : self.length], rest[:, self.length :]
        tokens = torch.cat([first, own[:, : self.before], middle, own[:, self.before :], end], dim=1)
        mask = None if tower.attn_mask is None else tower.attn_mask[:last, :last]
        hidden = tower.transformer(tokens + tower.positional_embedding[:last], attn_mask=mask)
        pooled = tower.ln_final(hidden[torch.arange(2), ends])
        projection = tower.text_projection
        return projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection
