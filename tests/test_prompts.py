from __future__ import annotations

import dataclasses
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vlqa.data.degradations import TYPES
from vlqa.errors import ConfigError
from vlqa.prompts import PromptSet

JOINT = """\
kind: joint
template: a {scene} of {quality} quality
labels:
  quality: [bad, good]
  scene: [city, forest]
"""
PAIRS = """\
kind: attributes
pairs:
  sharp: [A sharp photo., A blurry photo.]
  bright: [A bright photo., A dark photo.]
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# What is bundled


def test_bundled_names_and_counts() -> None:
    counts = {name: (PromptSet.load(name).kind, PromptSet.load(name).shape) for name in PromptSet.bundled_names()}
    assert counts == {
        "attributes": ("attributes", (16, 2)),
        "clip_iqa": ("antonyms", (1, 2)),
        "clip_iqa_ensemble": ("ensemble", (5, 2)),
        "degradations": ("joint", (26,)),
        "grepq": ("antonyms", (1, 2)),
        "liqe_multitask": ("joint", (5, 9, 11)),
        "liqe_quality": ("joint", (5,)),
        "qualiclip": ("ensemble", (7, 2)),
    }


def test_liqe_knows_the_types_of_kadid() -> None:
    prompts = PromptSet.load("liqe_multitask")
    assert [prompts.fold("distortion", kind.name) for kind in TYPES] == [kind.distortion for kind in TYPES]


def test_clip_iqa_is_the_papers_pair() -> None:
    prompts = PromptSet.load("clip_iqa")
    assert prompts.texts == ("Good photo.", "Bad photo.")
    assert prompts.pair_labels == ("quality",)


def test_ensemble_is_pyiqas_five_pairs() -> None:
    # IQA-PyTorch 01ae427, pyiqa/archs/clipiqa_arch.py: the sentences as they stand, on which parity depends.
    assert PromptSet.load("clip_iqa_ensemble").pairs == (
        ("Good image", "bad image"),
        ("Sharp image", "blurry image"),
        ("sharp edges", "blurry edges"),
        ("High resolution image", "low resolution image"),
        ("Noise-free image", "noisy image"),
    )


def test_attributes_name_what_users_know() -> None:
    named = dict(zip(PromptSet.load("attributes").pair_labels, PromptSet.load("attributes").pairs, strict=True))
    assert list(named) == [
        "quality", "brightness", "noisiness", "colorfulness", "sharpness", "contrast", "complexity", "natural",
        "happy", "scary", "new", "warm", "real", "beautiful", "lonely", "relaxing",
    ]  # fmt: skip
    assert named["noisiness"] == ("Clean photo.", "Noisy photo.")
    assert named["scary"] == ("Scary photo.", "Peaceful photo.")


def test_liqe_texts_are_in_product_order() -> None:
    prompts = PromptSet.load("liqe_multitask")
    assert len(prompts.texts) == len(set(prompts.texts)) == 495
    sentences = [
        f"a photo of a {scene} with {distortion} artifacts, which is of {quality} quality"
        for quality, scene, distortion in itertools.product(*(labels for _, labels in prompts.axes))
    ]
    assert list(prompts.texts) == sentences
    assert prompts.texts[0] == "a photo of a animal with jpeg2000 compression artifacts, which is of bad quality"
    assert prompts.texts[1] == "a photo of a animal with jpeg compression artifacts, which is of bad quality"
    assert prompts.texts[11].startswith("a photo of a cityscape with jpeg2000")
    assert prompts.texts[-1] == "a photo of a others with other artifacts, which is of perfect quality"
    assert [axis for axis, _ in prompts.axes] == ["quality", "scene", "distortion"]
    assert prompts.values == (1.0, 2.0, 3.0, 4.0, 5.0)


def test_liqe_folds_its_33_distortion_names() -> None:
    prompts = PromptSet.load("liqe_multitask")
    by_label = {
        "jpeg2000 compression": "jpeg2000 compression,fastfading",
        "jpeg compression": "jpeg compression",
        "noise": "white noise,fnoise,white with color,impulse,multiplicative,white noise with denoise,realistic noise",
        "blur": "gaussian blur,lens,motion,shifting,realistic blur",
        "color": "diffusion,oversaturation,desaturation",
        "contrast": "contrast,sharpness,realistic contrast change",
        "overexposure": "brighten,overexposure",
        "underexposure": "darken,underexposure",
        "spatial": "jitter,noneccentricity patch,pixelate,color blocking",
        "quantization": "color quantization,quantization",
        "other": "shifting the mean,other realistic",
    }
    raw = {name: label for label, names in by_label.items() for name in names.split(",")}
    assert len(raw) == 33
    assert {name: prompts.fold("distortion", name) for name in raw} == raw
    assert prompts.fold("distortion", "White_Noise ") == "noise"
    assert prompts.fold("scene", "still life") == "still_life"
    with pytest.raises(ConfigError, match=r"'gausian blur' is no distortion.*did you mean 'gaussian blur'"):
        prompts.fold("distortion", "gausian blur")
    with pytest.raises(ConfigError, match="no labels 'taste'"):
        prompts.fold("taste", "sweet")


def test_liqe_quality_texts() -> None:
    expected = tuple(f"a photo with {quality} quality" for quality in ("bad", "poor", "fair", "good", "perfect"))
    assert PromptSet.load("liqe_quality").texts == expected


# Loading


def test_load_takes_names_paths_and_strings(tmp_path: Path) -> None:
    path = write(tmp_path, PAIRS)
    assert PromptSet.load(path) == PromptSet.load(str(path)) == PromptSet.from_file(path) == PromptSet.of(path)
    assert PromptSet.load(path).name == "x"
    assert PromptSet.of("clip_iqa") == PromptSet.load("clip_iqa")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clip_iqua", "no prompts named 'clip_iqua'; there are attributes, .*did you mean 'clip_iqa'?"),
        ("zzz", "qualiclip; give one of these or the path of a .yaml file"),
        ("no/such.yaml", "no/such.yaml: no such prompt file"),
        ("such.yaml", "such.yaml: no such prompt file"),
    ],
)
def test_unknown_names_say_what_there_is(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptSet.load(name)


def test_a_bom_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    plain = PromptSet.load(write(tmp_path, PAIRS))
    assert PromptSet.load(write(tmp_path, b"\xef\xbb\xbf" + PAIRS.replace("\n", "\r\n").encode())) == plain


# Errors: every one names the file, the line and what was expected

BAD = {
    "unknown kind": ("kind: antonym\n", 1, "kind must be antonyms, ensemble, attributes or joint.*mean 'antonyms'"),
    "kind of wrong type": ("kind: [joint]\n", 1, "kind must be .* found a list of 1"),
    "no kind": ("pairs: {a: [b, c]}\n", 1, "the key 'kind' is missing"),
    "unknown key": (PAIRS + "temprature: 2\n", 5, "no key 'temprature'; did you mean 'temperature'"),
    "key of other kind": (PAIRS + "template: x\n", 5, "kind attributes has no key 'template'.*it takes kind"),
    "duplicate key": (PAIRS + "  sharp: [a, b]\n", 5, "'sharp' is given twice, first in line 3"),
    "duplicate top key": (PAIRS + "kind: joint\n", 5, "'kind' is given twice, first in line 1"),
    "empty string": ("kind: antonyms\npairs:\n  a:\n    - good\n    - ''\n", 5, "found an empty string"),
    "blank string": ("kind: antonyms\npairs:\n  a: [' ', b]\n", 3, "found an empty string"),
    "empty value": ("kind: antonyms\npairs:\n  a: [good, ]\n", 3, "expected .positive sentence.*a list of 1"),
    "null": ("kind: antonyms\npairs:\n  a: [good, ~]\n", 3, "expected text, found nothing"),
    "three sides": ("kind: antonyms\npairs:\n  a: [a, b, c]\n", 3, "found a list of 3"),
    "one sentence": ("kind: antonyms\npairs:\n  a: good\n", 3, "expected .positive.* found 'good'"),
    "pairs as a list": ("kind: antonyms\npairs:\n  - [a, b]\n", 2, "expected names under 'pairs', found a list of 1"),
    "no pairs": ("kind: antonyms\npairs:\n", 2, "expected names under 'pairs', found nothing"),
    "missing pairs": ("kind: antonyms\n", 1, "the key 'pairs' is missing"),
    "empty pairs": ("kind: antonyms\npairs: {}\n", 2, "found nothing"),
    "same text": ("kind: antonyms\npairs:\n  a: [Good photo, good  photo]\n", 3, "both sides say 'Good photo'"),
    "same pair": (PAIRS + "  again: [a sharp photo., a blurry photo.]\n", 5, "'again' repeats the pair 'sharp'"),
    "swapped in an ensemble": ("kind: ensemble\npairs:\n  a: [x, y]\n  b: [z, x]\n", 4, "'x' stands on the other side"),
    "two antonyms": (PAIRS.replace("attributes", "antonyms"), 2, "takes one pair, found 2"),
    "lone ensemble": ("kind: ensemble\npairs: {a: [b, c]}\n", 2, "two pairs or more, found 1"),
    "truth value": ("kind: antonyms\npairs:\n  a: [yes, b]\n", 3, "found the truth value True.*put it in quotes"),
    "number": ("kind: antonyms\npairs:\n  a: [1, b]\n", 3, "found the number 1"),
    "number as a name": ("kind: antonyms\npairs:\n  1: [a, b]\n", 3, "expected a name before the colon"),
    "list as a name": ("kind: antonyms\npairs:\n  ? [a]\n  : [a, b]\n", 3, "expected a name before the colon"),
    "odd number": ("kind: antonyms\npairs:\n  a: [0x1F, b]\n", 3, "'0x1F' is no decimal number"),
    "temperature text": (PAIRS + "temperature: hot\n", 5, "expected a number, found 'hot'"),
    "temperature zero": (PAIRS + "temperature: 0\n", 5, "must be above 0"),
    "temperature truth": (PAIRS + "temperature: true\n", 5, "expected a number"),
    "template without labels": (JOINT.replace("{scene}", "{place}"), 2, "asks for {place}, for which there are no"),
    "template near labels": (JOINT.replace("{scene}", "{scenes}"), 2, "asks for {scenes}.*did you mean 'scene'"),
    "labels without template": (JOINT + "  taste: [sour, sweet]\n", 6, "'taste' are not used: the template has no"),
    "stray brace": (JOINT.replace("{scene}", "{scene"), 2, "brace without its partner"),
    "format field": (JOINT.replace("{scene}", "{scene.__class__}"), 2, "asks for {scene.__class__}"),
    "no template": ("kind: joint\nlabels: {a: [b, c]}\n", 1, "the key 'template' is missing"),
    "duplicate label": (JOINT.replace("forest", "City"), 5, "'City' is already a label of 'scene'"),
    "labels as text": (JOINT.replace("[city, forest]", "city"), 5, "expected a list of words, found 'city'"),
    "no labels": (JOINT.replace("[city, forest]", "[]"), 5, "expected a list of words"),
    "one sentence in all": ("kind: joint\ntemplate: '{a}'\nlabels: {a: [b]}\n", 3, "make 1 sentences"),
    "values too few": (JOINT + "values: [1]\n", 6, "one number for each of the 2 words.*found a list of 1"),
    "values text": (JOINT + "values:\n  - 1\n  - good\n", 8, "expected a number, found 'good'"),
    "values equal": (JOINT + "values: [1, 1]\n", 6, "worth the same"),
    "values of nothing": ("kind: joint\ntemplate: '{a}'\nlabels: {a: [b, c]}\nvalues: [1, 2]\n", 4, "no such labels"),
    "alias of no axis": (JOINT + "aliases: {scenes: {city: [town]}}\n", 6, "no labels 'scenes'; did you mean 'scene'"),
    "alias of no label": (
        JOINT + "aliases:\n  scene:\n    citi: [town]\n",
        8,
        "no label of 'scene'; did you mean 'city'",
    ),
    "alias is a label": (JOINT + "aliases:\n  scene:\n    city: [Forest]\n", 8, "itself a label"),
    "alias twice": (JOINT + "aliases:\n  scene:\n    city: [a]\n    forest: [A]\n", 9, "already stands for 'city'"),
    "alias as text": (JOINT + "aliases:\n  scene:\n    city: town\n", 8, "expected a list of other names"),
    "not YAML": ("kind: antonyms\npairs: [a, b\nx: y\n", 3, "not valid YAML"),
    "tab": ("kind: antonyms\n\tpairs: 1\n", 2, "not valid YAML"),
    "two documents": (PAIRS + "---\n" + PAIRS, 5, "not valid YAML"),
    "python tag": (
        "kind: !!python/object/apply:os.system ['true']\n",
        1,
        "tag !!python/object/apply:os.system is refused",
    ),
    "python name": ("kind: antonyms\npairs: !!python/name:os.system\n", 2, "is refused"),
    "own tag": ("kind: !mine antonyms\n", 1, "the tag !mine is refused"),
    "merge key": ("kind: antonyms\n<<: {a: b}\n", 2, "tag !!merge is refused"),
    "list": ("- a\n- b\n", 1, "expected keys such as kind: and pairs:, found a list of 2"),
    "text": ("good photo\n", 1, "expected keys"),
    "NUL": ("kind: antonyms\npairs: a\0b\n", 2, "'.x00' is not allowed in YAML"),
    "control character": ('kind: antonyms\npairs:\n  a: ["x\\ay", b]\n', 3, "control characters"),
    "empty": ("", 1, "the file is empty"),
    "only comments": ("# nothing\n", 1, "the file is empty"),
    "recursive": ("kind: antonyms\npairs: &a\n  b: *a\n", 2, "nested more than"),
    "deep": ("kind: " + "[" * 600, 1, "nested more than|not valid YAML"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_name_the_line(case: str, tmp_path: Path) -> None:
    text, line, message = BAD[case]
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        PromptSet.load(path)
    found = str(caught.value)
    assert "\n" not in found
    assert found.startswith(f"{path}:{line}: ")


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path, PAIRS.encode() + b"  warm: [\xe9t\xe9, hiver]\n")
    with pytest.raises(ConfigError, match=r"x.yaml:5: byte 0xe9 is not UTF-8"):
        PromptSet.load(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a folder"):
        PromptSet.load(tmp_path)
    with pytest.raises(ConfigError, match="no such prompt file"):
        PromptSet.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="this is no prompt file"):
        PromptSet.load(write(tmp_path, "# " + "x" * 1_000_001))


def test_aliases_that_multiply_are_stopped(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in itertools.pairwise("abcdefg")]
    with pytest.raises(ConfigError, match="this is no prompt file"):
        PromptSet.load(write(tmp_path, "\n".join(lines)))


def test_too_many_sentences(tmp_path: Path) -> None:
    words = [f"w{index}" for index in range(30)]
    labels = {"a": words, "b": words, "c": words}
    document = {"kind": "joint", "template": "{a} {b} {c}", "labels": labels}
    with pytest.raises(ConfigError, match="make 27000 sentences"):
        PromptSet.load(write(tmp_path, yaml.safe_dump(document)))


# Prompts made in Python


def test_from_pairs() -> None:
    one = PromptSet.from_pairs([("a sharp photo", "a blurry photo")])
    assert (one.kind, one.texts, one.pair_labels) == (
        "antonyms",
        ("a sharp photo", "a blurry photo"),
        ("a sharp photo",),
    )
    assert one.scored == (0,)
    two = PromptSet.from_pairs([("sharp", "blurry"), ("sharp", "soft")], temperature=0.5)
    assert (two.kind, two.scored, two.temperature) == ("ensemble", (0, 1), 0.5)
    assert two.pair_labels == ("sharp / blurry", "sharp / soft")
    assert two.texts == ("sharp", "blurry", "sharp", "soft")
    free = PromptSet.from_pairs([("a", "b"), ("c", "d")], kind="attributes", labels=["x", "y"])
    assert (free.pair_labels, free.scored, free.shape) == (("x", "y"), (0,), (2, 2))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "expected names under 'pairs', found nothing"),
        ([("a", "b", "c")], "expected pairs .* found .'a', 'b', 'c'."),
        (["ab"], "expected pairs"),
        ([("a", 1)], "expected pairs"),
        ([3], "expected pairs"),
        ([("a", "A")], "pairs → a: both sides say 'a'"),
        ([("a", "b"), ("a", "b")], "two pairs are called 'a / b'"),
        ([("a", "")], "empty string"),
        ([("a", "\ud800")], "control characters"),
    ],
)
def test_from_pairs_refuses(pairs: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptSet.from_pairs(pairs)


def test_from_pairs_labels_must_fit() -> None:
    with pytest.raises(ConfigError, match="one label for each of 1 pairs, found 2"):
        PromptSet.from_pairs([("a", "b")], labels=["x", "y"])


def test_from_labels() -> None:
    animals = PromptSet.from_labels(["a cat", "a dog"])
    assert (animals.kind, animals.texts, animals.shape) == ("joint", ("a cat", "a dog"), (2,))
    assert animals.axes == (("label", ("a cat", "a dog")),)
    assert animals.values == ()
    quality = PromptSet.from_labels(["bad", "good"], template="a {label} photo", axis="quality")
    assert (quality.texts, quality.values) == (("a bad photo", "a good photo"), (1.0, 2.0))
    with pytest.raises(ConfigError, match="put it in a list"):
        PromptSet.from_labels("cat")
    with pytest.raises(ConfigError, match="make 1 sentences"):
        PromptSet.from_labels(["cat"])


def test_of_takes_whatever_a_user_has() -> None:
    pair = [("a sharp photo", "a blurry photo")]
    assert PromptSet.of(pair) == PromptSet.from_pairs(pair)
    assert PromptSet.of([list(pair[0])]) == PromptSet.from_pairs(pair)  # type: ignore[list-item]
    assert PromptSet.of(["a cat", "a dog"]) == PromptSet.from_labels(["a cat", "a dog"])
    prompts = PromptSet.load("liqe_quality")
    assert PromptSet.of(prompts) is prompts
    with pytest.raises(ConfigError, match="expected pairs"):
        PromptSet.of(["a cat", ("a", "b")])  # type: ignore[list-item]
    with pytest.raises(ConfigError):
        PromptSet.of([])


def test_values_and_temperature_come_from_the_file(tmp_path: Path) -> None:
    prompts = PromptSet.load(write(tmp_path, JOINT + "values: [0, 100]\ntemperature: 0.02\nname: mine\n"))
    assert (prompts.values, prompts.temperature, prompts.name) == ((0.0, 100.0), 0.02, "mine")
    assert prompts.texts[1] == "a forest of bad quality"


# Saving, identity


@pytest.mark.parametrize("name", PromptSet.bundled_names())
def test_round_trip_through_json_and_yaml(name: str, tmp_path: Path) -> None:
    prompts = PromptSet.load(name)
    again = PromptSet.from_dict(json.loads(json.dumps(prompts.as_dict())))
    assert again == prompts
    assert again.digest == prompts.digest
    assert PromptSet.load(write(tmp_path, yaml.safe_dump(prompts.as_dict(), sort_keys=False))) == prompts


def test_from_dict_checks_as_a_file_does() -> None:
    document = PromptSet.load("liqe_quality").as_dict() | {"labels": {"quality": ["bad", "bad"]}}
    with pytest.raises(ConfigError, match=r"prompts 'liqe_quality': labels → quality → 1: 'bad' is already"):
        PromptSet.from_dict(document)
    with pytest.raises(ConfigError, match="expected names that are text"):
        PromptSet.from_dict({"kind": "antonyms", "pairs": {1: ["a", "b"]}})


def test_frozen_and_hashable() -> None:
    prompts = PromptSet.load("clip_iqa")
    assert {prompts: 1}[PromptSet.load("clip_iqa")] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompts.kind = "joint"  # type: ignore[misc]


def test_digest_depends_on_what_decides_scores_and_nothing_else() -> None:
    base = {"kind": "joint", "template": "{quality}", "labels": {"quality": ["bad", "good"]}}
    same = base | {"name": "other", "description": "words", "aliases": {"quality": {"bad": ["awful"]}}}
    assert PromptSet.from_dict(same).digest == PromptSet.from_dict(base).digest
    different = [
        base,
        base | {"labels": {"quality": ["good", "bad"]}},
        base | {"labels": {"quality": ["bad", "fine"]}},
        base | {"template": "{quality}!"},
        base | {"temperature": 0.5},
        base | {"values": [1, 3]},
        {"kind": "antonyms", "pairs": {"quality": ["bad", "good"]}},
        {"kind": "attributes", "pairs": {"quality": ["bad", "good"]}},
        {"kind": "attributes", "pairs": {"other": ["bad", "good"]}},
        {"kind": "attributes", "pairs": {"quality": ["good", "bad"]}},
    ]
    digests = [PromptSet.from_dict(document).digest for document in different]
    assert len(set(digests)) == len(digests)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)


words = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=6)


@given(st.lists(words, min_size=4, max_size=10, unique_by=lambda word: word.casefold()))
def test_any_words_survive_yaml_and_json(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    half = len(labels) // 2
    prompts = PromptSet.from_pairs(list(zip(labels[:half], labels[half:], strict=False)))
    text = yaml.safe_dump(prompts.as_dict(), sort_keys=False, allow_unicode=True)
    path = tmp_path_factory.getbasetemp() / "words.yaml"
    path.write_text(text, encoding="utf-8")
    assert PromptSet.load(path) == prompts == PromptSet.from_dict(json.loads(json.dumps(prompts.as_dict())))


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "replace"))
    with pytest.raises(ConfigError) as caught:
        PromptSet.load(path)
    assert "\n" not in str(caught.value)


def test_importing_prompts_loads_no_torch() -> None:
    code = "import sys, vlqa.prompts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
