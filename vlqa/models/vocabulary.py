"""A vocabulary cut down to the words a small model was trained on: CLIP's 49 408 rows cost 12.6 MB at width 128."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from vlqa.models.clip import bpe_tokenizer

SPECIAL_ROWS = 4
"""Rows behind the kept pieces: unknown, padding, start, end."""


def pruned_vocabulary(sentences: Iterable[str]) -> list[int]:
    """The byte-pair ids that some sentences use, ascending; without start and end."""
    bpe = bpe_tokenizer()
    return sorted({piece for sentence in sentences for piece in bpe.encode(sentence)} - set(bpe.all_special_ids))


class PrunedTokenizer:
    """Sentences to rows of a small embedding table.

    Kept pieces are rows 0 … k−1 in the order given; k is the unknown piece, k+1 padding, k+2 the start, k+3 the end.
    The end has the highest row because open_clip's towers pool where the id is highest.

    Args:
        kept_ids: byte-pair ids of open_clip's SimpleTokenizer, as `pruned_vocabulary` gives them.
        context_length: tokens a text, start and end included; longer texts are cut.
        untaught: words, lower case, whose pieces are kept though no sentence of the training has them.
    """

    def __init__(self, kept_ids: Sequence[int], context_length: int = 77, untaught: Iterable[str] = ()) -> None:
        self.kept_ids = list(kept_ids)
        self.untaught = frozenset(untaught)
        self.context_length = context_length
        self.unknown, self.padding, self.start, self.end = range(len(self.kept_ids), self.vocab_size)
        self._bpe = bpe_tokenizer()
        self._row = {piece: row for row, piece in enumerate(self.kept_ids)}

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding table."""
        return len(self.kept_ids) + SPECIAL_ROWS

    def __call__(self, texts: str | Sequence[str]) -> Int[Tensor, "k length"]:
        """Rows of each text, padded to the context length."""
        texts = [texts] if isinstance(texts, str) else texts
        tokens = torch.full((len(texts), self.context_length), self.padding, dtype=torch.long)
        for i, text in enumerate(texts):
            rows = [self._row.get(piece, self.unknown) for piece in self._bpe.encode(text)][: self.context_length - 2]
            tokens[i, : len(rows) + 2] = torch.tensor([self.start, *rows, self.end])
        return tokens

    def unknown_words(self, texts: str | Sequence[str]) -> list[str]:
        """Words that were never taught, or of which some piece is not kept: in their order, each once, lower case."""
        texts = [texts] if isinstance(texts, str) else texts
        found = dict.fromkeys(word for text in texts for word in words(text))
        return [w for w in found if w in self.untaught or any(i not in self._row for i in self._bpe.encode(w))]


def words(text: str) -> list[str]:
    """The words of a text, lower case, as the tokenizer tells them apart."""
    bpe = bpe_tokenizer()
    return [word for part in re.findall(r"\S+", bpe.clean_fn(text)) for word in bpe.pat.findall(part)]
