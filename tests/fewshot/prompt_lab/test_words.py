from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fewshot.prompt_lab.laboratory import WORDS
from vlqa.errors import ConfigError
from vlqa.fewshot.prompt_lab import WordLists


def test_every_word_meets_every_opposite_in_every_template() -> None:
    lists = WordLists.of(WORDS)
    candidates = lists.candidates()
    assert len(candidates) == len(set(candidates)) == len({each.label for each in candidates}) == 18
    assert candidates[0].pair == ("a sharp photo", "a blurry photo")
    assert candidates[-1].pair == ("happy image", "sad image")
    assert candidates[0].label == "sharp / blurry in a {word} photo"
    assert {each.template for each in candidates[:9]} == {"a {word} photo"}
    assert WordLists.of(lists) is lists


def test_a_file_has_its_name_and_options(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text('positive: [sharp]\nnegative: [very  blurry]\ntemplates: ["{word} photo"]\ntemperature: 1\n')
    lists = WordLists.of(file)
    assert (lists.name, lists.temperature, lists.negative) == ("mine", 1.0, ("very blurry",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "w.yaml:1: expected keys such as positive:"),
        ("positive: [a]\n", "w.yaml:1: the key 'negative' is missing"),
        ("positive: [a]\nnegativ: [b]\n", "w.yaml:2: a word file has no key 'negativ'; did you mean 'negative'?"),
        ("positive: a\nnegative: [b]\ntemplates: ['{word}']\n", "w.yaml:1: expected a list of texts, found 'a'"),
        ("positive: [a, 3]\nnegative: [b]\ntemplates: ['{word}']\n", "w.yaml:1: expected text, found the number 3"),
        ("positive: [a]\nnegative:\n - b\n - B\ntemplates: ['{word}']\n", "w.yaml:4: 'B' is there twice"),
        ("positive: [a]\nnegative: [b, A]\ntemplates: ['{word}']\n", "w.yaml:2: 'A' stands on both sides"),
        ("positive: [a]\nnegative: [b]\ntemplates: [photo]\n", "w.yaml:3: expected a sentence with {word}"),
        ("positive: [a]\nnegative: [b]\ntemplates: ['{word} {x}']\n", "w.yaml:3: expected a sentence with {word}"),
        ("positive: [a]\nnegative: [b]\ntemplates: ['{word} }']\n", "w.yaml:3: expected a sentence with {word}"),
        (
            "positive: [a]\nnegative: [b]\ntemplates: ['{word}']\ntemperature: 0\n",
            "w.yaml:4: expected a number above 0",
        ),
        (
            "positive: [a]\nnegative: [b]\ntemplates: ['{word}']\nname: 3\n",
            "w.yaml:4: expected text, found the number 3",
        ),
    ],
)
def test_a_wrong_file_is_one_line_with_its_number(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "w.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        WordLists.of(tmp_path / "w.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_other_wrong_words() -> None:
    with pytest.raises(ConfigError, match="no such prompt file"):
        WordLists.of("nowhere/words.yaml")
    many: dict[str, Any] = WORDS | {side: [f"{side} {n}" for n in range(400)] for side in ("positive", "negative")}
    with pytest.raises(ConfigError, match="the lists make 320000 pairs; expected at most 100000"):
        WordLists.of(many)
