from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.synthetic import picture
from tests.training.recipe import write_photos
from vlqa.data.degradations import TYPES, degrade
from vlqa.data.pretext import datasets, similarity
from vlqa.data.pretext.spaces import PRISTINE_CLASS, QptSpace, apply_chain, draw_arniqa, draw_single
from vlqa.data.pretext.views import (
    COLOUR_SPACES,
    at_least,
    crop,
    cut_fragments,
    fragment_corners,
    half,
    overlapping_corners,
    to_colour_space,
)
from vlqa.functional.fsim import fsim_matrix


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("VLQA_CACHE", str(tmp_path / "cache"))
    return write_photos(tmp_path / "photos", side=90)


def test_chains_are_repeatable_and_each_place_draws_its_own_numbers() -> None:
    image = picture(64, 64, 0)
    chain = ((11, 5), (11, 5))
    twice = apply_chain(image, chain, [1])
    assert np.array_equal(twice, apply_chain(image, chain, [1])) and not np.array_equal(
        twice, apply_chain(image, chain, [2])
    )
    once = apply_chain(image, chain[:1], [1])
    assert not np.array_equal(once, twice) and apply_chain(image, (), [1]) is image
    np.testing.assert_array_equal(apply_chain(image, ((10, 3),), [0]), degrade(image, 10, 3))


def test_the_126_classes_are_all_drawn_and_named_after_their_damage() -> None:
    numbers = np.random.default_rng(0)
    seen = set()
    for _ in range(3000):
        chain, label = draw_single(numbers)
        seen.add(label)
        assert chain == () if label == PRISTINE_CLASS else chain == ((label // 5 + 1, label % 5 + 1),)
    assert seen == set(range(126))


def test_arniqa_takes_one_type_of_each_group_and_weak_levels_more_often() -> None:
    numbers = np.random.default_rng(0)
    chains = [draw_arniqa(numbers) for _ in range(4000)]
    lengths = Counter(map(len, chains))
    assert set(lengths) == {0, 1, 2, 3, 4} and 0.03 < lengths[0] / 4000 < 0.07
    for chain in chains:
        groups = [TYPES[number - 1].group for number, _ in chain]
        assert len(set(groups)) == len(groups)
    levels = Counter(level for chain in chains for _, level in chain)
    assert levels[1] > levels[2] > levels[3] > levels[4] > levels[5] > 0
    assert len({chain[0][0] for chain in chains if chain}) == 25


def test_the_space_of_qpt_is_large_and_its_size_is_counted_rightly() -> None:
    assert QptSpace().size() >= 2e7
    small = QptSpace(families=(("a", (1,)), ("b", (2, 3))))
    numbers = np.random.default_rng(0)
    found = {small.draw(numbers) for _ in range(60000)}
    # 5 and 10 options; runs "", a, b, ab, ba and their concatenations
    orders = {x + y for x in ("", "a", "b", "ab", "ba") for y in ("", "a", "b", "ab", "ba")}
    assert small.size() == sum(5 ** order.count("a") * 10 ** order.count("b") for order in orders)
    assert {tuple("a" if number == 1 else "b" for number, _ in chain) for chain in found} == {tuple(o) for o in orders}


@settings(max_examples=60)
@given(st.integers(64, 300), st.integers(64, 300), st.integers(0, 1000))
def test_crops_overlap_by_the_share_asked_for_where_there_is_room(height: int, width: int, seed: int) -> None:
    (y1, x1), (y2, x2) = overlapping_corners(height, width, 64, np.random.default_rng(seed))
    for y, x in ((y1, x1), (y2, x2)):
        assert 0 <= y <= height - 64 and 0 <= x <= width - 64
    share = (64 - abs(y1 - y2)) * (64 - abs(x1 - x2)) / 64**2
    if min(height, width) >= 128:
        assert 0.08 < share < 0.33


def test_fragments_come_one_from_each_cell() -> None:
    image = picture(260, 231, 0)
    corners = fragment_corners(260, 231, np.random.default_rng(0))
    assert corners.shape == (7, 7, 2)
    for row in range(7):
        for column in range(7):
            y, x = corners[row, column]
            assert row * 260 // 7 <= y and y + 32 <= -(-(row + 1) * 260 // 7)
            assert column * 231 // 7 <= x and x + 32 <= -(-(column + 1) * 231 // 7)
    view = cut_fragments(image, corners)
    assert view.shape == (224, 224, 3)
    y, x = corners[2, 3]
    np.testing.assert_array_equal(view[64:96, 96:128], image[y : y + 32, x : x + 32])


def test_colour_spaces() -> None:
    image = picture(40, 50, 0)
    views = {space: to_colour_space(image, space) for space in COLOUR_SPACES}
    assert all(view.shape == image.shape and view.dtype == np.uint8 for view in views.values())
    assert np.array_equal(views["none"], image) and np.ptp(views["grey"], axis=2).max() == 0
    np.testing.assert_array_equal(views["lab"], cv2.cvtColor(image, cv2.COLOR_RGB2LAB))
    local = views["local mean"]
    assert local.min(axis=(0, 1)).tolist() == [0, 0, 0] and local.max(axis=(0, 1)).tolist() == [255, 255, 255]
    plain = to_colour_space(np.full((20, 20, 3), 90, np.uint8), "local mean")
    assert plain.max() == 0


def test_small_pictures_are_padded_or_enlarged() -> None:
    image = picture(30, 50, 0)
    padded = crop(image, 64, np.random.default_rng(0))
    np.testing.assert_array_equal(padded[:30, :50], image)
    assert padded.shape == (64, 64, 3) and not padded[30:].any()
    assert at_least(image, 60).shape == (60, 100, 3) and at_least(image, 20) is image
    assert half(picture(31, 51, 0)).shape == (15, 25, 3)


def make(kind: str, photos: list[Path]) -> datasets.PretextSet:
    return {
        "grepq": lambda: datasets.GrepqVersions(photos, seed=1, size=56, types=2),
        "contrique": lambda: datasets.ContriqueViews(photos, photos[:2], seed=1, size=32),
        "re-iqa": lambda: datasets.ReIqaVersions(photos, seed=1, size=32, types=3),
        "content": lambda: datasets.ContentViews(photos, seed=1, size=32),
        "qpt": lambda: datasets.QptPatches(photos, seed=1, size=32, negatives=2),
        "arniqa": lambda: datasets.ArniqaPairs(photos, seed=1, size=32),
    }[kind]()


SHAPES = {
    "grepq": {"image": (5, 3, 56, 56), "augmented": (5, 3, 56, 56), "similarity": (5, 5)},
    "contrique": {"first": (3, 32, 32), "second": (3, 32, 32), "label": ()},
    "re-iqa": {"query": (8, 3, 32, 32), "key": (8, 3, 32, 32)},
    "content": {"query": (1, 3, 32, 32), "key": (1, 3, 32, 32)},
    "qpt": {"query": (1, 3, 32, 32), "key": (1, 3, 32, 32), "negative": (1, 2, 3, 32, 32)},
    "arniqa": {"first": (2, 3, 32, 32), "second": (2, 3, 32, 32)},
}


@pytest.mark.parametrize("kind", SHAPES)
def test_samples_depend_on_seed_and_number_alone(kind: str, photos: list[Path]) -> None:
    first, again = make(kind, photos), make(kind, photos)
    state = torch.random.get_rng_state()
    sample = first[7]
    assert torch.equal(state, torch.random.get_rng_state())
    assert {name: tuple(value.shape) for name, value in sample.items()} == SHAPES[kind]
    again[3]
    assert all(torch.equal(value, again[7][name]) for name, value in sample.items())
    other = first[8]
    assert any(not torch.equal(value, other[name]) for name, value in sample.items())


def test_similarity_is_computed_once_and_belongs_to_its_versions(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = make("grepq", photos)
    found = samples[0]["similarity"]
    monkeypatch.setattr(similarity, "fsim_matrix", lambda versions: pytest.fail("computed again"))
    assert torch.equal(samples[0]["similarity"], found)
    pixels = [picture(80, 90, 0), picture(80, 90, 1)]
    monkeypatch.setattr(similarity, "fsim_matrix", fsim_matrix)
    one = similarity.cached(similarity.key(photos[0], [1]), pixels)
    expected = fsim_matrix(torch.stack([torch.from_numpy(p).permute(2, 0, 1) for p in pixels]).float() / 255)
    torch.testing.assert_close(one, expected)
    assert similarity.key(photos[0], [1]) != similarity.key(photos[0], [2]) != similarity.key(photos[1], [2])


def test_half_of_the_versions_are_exchanged_at_each_scale(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "apply_chain", lambda image, chain, seed: image)  # all versions equal
    sample = make("re-iqa", photos)[0]
    query, key = sample["query"], sample["key"]
    for scale in (slice(0, 4), slice(4, 8)):
        swapped, straight = (0, 2) if scale.start == 0 else (2, 0)
        assert torch.equal(query[scale][swapped], key[scale][straight])
        assert torch.equal(key[scale][swapped], query[scale][straight])
    assert not torch.equal(query[0], key[0])


def test_contrique_gives_authentic_pictures_a_class_each(photos: list[Path]) -> None:
    samples = make("contrique", photos)
    labels = [int(samples[number]["label"]) for number in range(20)]
    assert all(label <= PRISTINE_CLASS for label in labels[::2])
    assert len(set(labels[1::2])) == 10 and min(labels[1::2]) > PRISTINE_CLASS


def test_broken_photographs_are_named_once_and_replaced(photos: list[Path]) -> None:
    photos[0].write_bytes(b"broken")
    samples = make("arniqa", photos)
    with pytest.warns(UserWarning, match="left out of training") as caught:
        for number in range(30):
            samples[number]
    assert len(caught) == 1


def test_two_workers_name_a_broken_photograph_once(photos: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    photos[0].write_bytes(b"broken")
    loader = torch.utils.data.DataLoader(make("arniqa", photos), 4, sampler=range(80), num_workers=2)
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # in the workers, which inherit it
        assert sum(len(batch["first"]) for batch in loader) == 80
    assert capfd.readouterr().err.count("left out of training") <= 2  # two may meet it at the same moment
