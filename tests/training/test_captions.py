from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlqa.data.facts import ATTRIBUTES, DISTORTIONS, QUALITIES, SCENES, Facts
from vlqa.data.training_sets import quality_bin
from vlqa.models.vocabulary import PrunedTokenizer
from vlqa.training.build.multitask import with_vocabulary
from vlqa.training.captions import (
    ATTRIBUTE_WORDS,
    DISTORTION_WORDS,
    QUALITY_WORDS,
    SCENE_WORDS,
    SEVERITY_WORDS,
    attribute_sentence,
    caption_batch,
    describes,
    opposite_sentences,
)

CONTENTS = ["golden retriever", "sports car", "tench"]


def facts(count: int, seed: int) -> dict[str, Tensor]:
    """A batch in which everything may be known, unknown or, of scenes, several at once."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        row = Facts(mos=float(rng.uniform(1, 5)) if rng.random() < 0.8 else float("nan"))
        if rng.random() < 0.8:
            row.scenes = rng.integers(-1 if rng.random() < 0.5 else 0, 2, len(SCENES))
        if rng.random() < 0.7:
            row.distortion, row.severity = int(rng.integers(len(DISTORTIONS))), int(rng.integers(-1, 3))
        row.content = int(rng.integers(-1, len(CONTENTS)))
        rows.append(row.tensors())
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def truth(told: dict[str, int], image: dict[str, Any]) -> bool | None:
    """Does a caption describe an image? The slow way: claim by claim."""
    claims: list[bool | None] = []
    for name in ("content", "distortion", "severity", "quality"):
        if told[name] >= 0:
            claims.append(None if image[name] < 0 else told[name] == image[name])
    if told["scene"] >= 0:
        claims.append({1: True, 0: False, -1: None}[image["scenes"][told["scene"]]])
    if False in claims:
        return False
    return None if None in claims else True


def test_a_caption_describes_the_image_it_was_made_from() -> None:
    batch = facts(200, 1)
    captions = caption_batch(batch, CONTENTS, np.random.default_rng(2))
    holds, known = describes(captions, batch)
    assert holds.diagonal().all() and known.diagonal().all()
    assert 0 < holds.float().mean() < 0.5  # and not every other one as well


def test_truth_is_what_a_slow_comparison_of_claims_finds() -> None:
    batch = facts(40, 3)
    captions = caption_batch(batch, CONTENTS, np.random.default_rng(4))
    holds, known = describes(captions, batch)
    quality = quality_bin(batch["mos"])
    answers = set()
    for i in range(40):
        image = {name: int(batch[name][i]) for name in ("content", "distortion", "severity")}
        image |= {"quality": int(quality[i]), "scenes": batch["scenes"][i].tolist()}
        for k in range(40):
            told = {n: int(getattr(captions, n)[k]) for n in ("content", "scene", "distortion", "severity", "quality")}
            expected = truth(told, image)
            assert bool(known[i, k]) is (expected is not None)
            assert bool(holds[i, k]) is (expected is True)
            answers.add(expected)
    assert answers == {True, False, None}


def test_captions_say_what_they_claim_and_nothing_else() -> None:
    batch = facts(150, 5)
    captions = caption_batch(batch, CONTENTS, np.random.default_rng(6))
    for k, text in enumerate(captions.texts):
        content, scene, distortion, severity, quality = (
            int(getattr(captions, name)[k]) for name in ("content", "scene", "distortion", "severity", "quality")
        )
        assert any(content == i for i, name in enumerate(CONTENTS) if f"of a {name}" in text) or content < 0
        assert content < 0 or scene < 0  # one subject
        assert (" quality" in text) is (quality >= 0)
        if quality >= 0:
            assert any(f"{word} quality" in text for word in QUALITY_WORDS[QUALITIES[quality]])
        if scene >= 0:
            assert any(f"of a {word}" in text for word in SCENE_WORDS[SCENES[scene]])
        if distortion >= 0:
            assert any(word in text for word in DISTORTION_WORDS[DISTORTIONS[distortion]])
        if severity >= 0:
            assert distortion >= 0 and any(f" {word} " in text for word in SEVERITY_WORDS[severity])


def test_every_word_list_belongs_to_a_label() -> None:
    assert tuple(QUALITY_WORDS) == QUALITIES and tuple(SCENE_WORDS) == SCENES
    assert tuple(DISTORTION_WORDS) == DISTORTIONS and set(ATTRIBUTE_WORDS) == set(ATTRIBUTES)
    for sides in ATTRIBUTE_WORDS.values():
        assert not set(sides["positive"]) & set(sides["negative"])


def test_sentences_depend_on_the_generator_alone() -> None:
    first, again, other = (opposite_sentences(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 2 * len(ATTRIBUTES)
    batch = facts(20, 7)
    texts = [caption_batch(batch, CONTENTS, np.random.default_rng(seed)).texts for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_opposite_sentences_stand_positive_first_in_the_order_of_attributes() -> None:
    sentences = [sentence.lower() for sentence in opposite_sentences(np.random.default_rng(8))]
    for attribute, positive, negative in zip(ATTRIBUTES, sentences[::2], sentences[1::2], strict=True):
        assert any(word.lower() in positive for word in ATTRIBUTE_WORDS[attribute]["positive"])
        assert any(word.lower() in negative for word in ATTRIBUTE_WORDS[attribute]["negative"])


def test_no_generated_word_is_unknown_to_the_vocabulary() -> None:
    architecture = {"vision_cfg": {"kind": "quality"}, "text_cfg": {}}
    kept = with_vocabulary(architecture, CONTENTS)["text_cfg"]["vocabulary"]
    rng = np.random.default_rng(9)
    sentences = caption_batch(facts(400, 9), CONTENTS, rng).texts
    for attribute in ATTRIBUTES:
        sentences += [attribute_sentence(attribute, positive, rng) for positive in (True, False) for _ in range(60)]
    assert PrunedTokenizer(kept).unknown_words(sentences) == []
    assert PrunedTokenizer(kept).unknown_words("a xylophone") == ["xylophone"]  # the test can fail
