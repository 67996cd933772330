from __future__ import annotations

import json

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models.towers import QUALITY
from vlqa.models.clip import bpe_tokenizer, build_backbone
from vlqa.models.vocabulary import SPECIAL_ROWS, PrunedTokenizer, pruned_vocabulary

SENTENCES = ["a sharp photo of a tree", "A blurry photo!", "jpeg2000 compression"]


def test_vocabulary_is_sorted_and_has_what_the_sentences_use() -> None:
    kept = pruned_vocabulary(SENTENCES)
    assert kept == sorted(set(kept))
    assert set(kept) == {piece for sentence in SENTENCES for piece in bpe_tokenizer().encode(sentence)}
    assert max(kept) < 49406  # neither start nor end
    assert pruned_vocabulary([]) == []
    assert pruned_vocabulary(["<end_of_text>"]) == []


def test_rows() -> None:
    tokenizer = PrunedTokenizer(pruned_vocabulary(SENTENCES), context_length=8)
    kept = len(tokenizer.kept_ids)
    assert tokenizer.vocab_size == kept + SPECIAL_ROWS
    unknown, padding, start, end = range(kept, kept + 4)
    rows = tokenizer(["a photo of a zebra", "a", ""])
    assert rows.shape == (3, 8)
    assert rows.dtype == torch.long
    assert rows[0, 0] == start
    assert unknown in rows[0]
    assert rows[1].tolist() == [start, kept_row(tokenizer, "a"), end, *[padding] * 5]
    assert rows[2].tolist() == [start, end, *[padding] * 6]
    assert torch.equal(tokenizer("a"), tokenizer(["a"]))


def kept_row(tokenizer: PrunedTokenizer, word: str) -> int:
    (piece,) = bpe_tokenizer().encode(word)
    return tokenizer.kept_ids.index(piece)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_the_end_is_where_the_row_is_highest(texts: list[str]) -> None:
    tokenizer = PrunedTokenizer([320, 786, 1125], context_length=7)
    rows = tokenizer(texts)
    assert (rows < tokenizer.vocab_size).all()
    assert ((rows == tokenizer.end).sum(dim=1) == 1).all()  # also of texts that were cut, or that spell <end_of_text>
    after = rows.argmax(dim=1)
    for row, position in zip(rows, after, strict=True):
        assert row[position] == tokenizer.end
        assert (row[position + 1 :] == tokenizer.padding).all()


def test_unknown_words_are_named() -> None:
    tokenizer = PrunedTokenizer(pruned_vocabulary(SENTENCES))
    assert tokenizer.unknown_words(SENTENCES) == []
    assert tokenizer.unknown_words("A sharp Zebra of a tree, zebra") == ["zebra", ","]


def test_the_vocabulary_travels_with_the_architecture() -> None:
    kept = pruned_vocabulary(SENTENCES)
    first = build_backbone(QUALITY | {"text_cfg": QUALITY["text_cfg"] | {"vocabulary": kept}})
    again = build_backbone(json.loads(json.dumps(first.architecture)), weights=first.state_dict())
    assert again.tokenizer.kept_ids == kept
    assert torch.equal(again.encode_text(SENTENCES), first.encode_text(SENTENCES))
    other = build_backbone(
        QUALITY | {"text_cfg": QUALITY["text_cfg"] | {"vocabulary": kept[::-1]}}, weights=first.state_dict()
    )
    assert other.text_digest != first.text_digest


def test_words_that_prompts_have_but_no_caption_had_are_unknown() -> None:
    tokenizer = PrunedTokenizer(pruned_vocabulary(["a sharp happy photo"]), untaught=["happy"])
    assert tokenizer.unknown_words(["A happy, sharp photo", "a lonely photo"]) == ["happy", ",", "lonely"]
