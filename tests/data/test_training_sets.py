from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.recipe import write_labels, write_opinions, write_photos
from vlqa.data import crops
from vlqa.data.degradations import TYPES
from vlqa.data.facts import DISTORTIONS, SCENES
from vlqa.data.manifest import Manifest
from vlqa.data.opinions import PRISTINE_OPINION, OpinionTable
from vlqa.data.rated import Labels, RatedPhotos, RatedWindows
from vlqa.data.training_sets import (
    PRISTINE_TYPE,
    Interleaved,
    Renderings,
    content_names,
    content_scenes,
    quality_bin,
    random_crop,
)
from vlqa.errors import ConfigError, ManifestError


def renderings(folder: Path, **options: object) -> Renderings:
    photos = write_photos(folder / "photos")
    given = {"seed": 5} | options
    return Renderings(photos, OpinionTable.read(write_opinions(folder / "o.csv")), **given)  # type: ignore[arg-type]


def rated(folder: Path, labels: Labels | None = None, mos_range: tuple[float, float] = (0, 100)) -> RatedPhotos:
    write_photos(folder / "photos")
    manifest = Manifest.read(write_labels(folder / "labels.csv"))
    return RatedPhotos(manifest, set_id=1, seed=5, mos_range=mos_range, labels=labels)


def windows(folder: Path) -> RatedWindows:
    write_photos(folder / "photos")
    manifest = Manifest.read(write_labels(folder / "labels.csv"))
    return RatedWindows(manifest, set_id=1, seed=5, mos_range=(0, 100), windows=2)


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert set(first) == set(second)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("make", [renderings, rated, windows])
def test_a_sample_depends_on_seed_number_and_size_alone(tmp_path: Path, make: object) -> None:
    one, other = make(tmp_path), make(tmp_path)  # type: ignore[operator]
    forwards = [one.sample(index, 32) for index in range(6)]
    for index in reversed(range(6)):
        assert_same(other.sample(index, 32), forwards[index])
    other.seed = 6
    assert any(not torch.equal(other.sample(index, 32)["image"], forwards[index]["image"]) for index in range(6))


def test_samples_are_crops_with_every_fact(tmp_path: Path) -> None:
    sample = renderings(tmp_path).sample(0, 32)
    assert sample["image"].shape == (3, 32, 32) and sample["image"].dtype == torch.uint8
    assert sample["scenes"].shape == (9,) and sample["attributes"].shape == (10,)


def test_a_broken_photograph_is_left_out_with_one_warning(tmp_path: Path) -> None:
    samples = renderings(tmp_path)
    broken = samples.photos[0]
    broken.write_bytes(b"no picture")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index in range(60):
            samples.sample(index, 32)
    assert [str(warning.message).count("left out of training") for warning in caught] == [1]
    assert broken.name in str(caught[0].message)


@pytest.mark.filterwarnings("ignore:left out of training")
def test_nothing_but_broken_photographs_is_an_error(tmp_path: Path) -> None:
    samples = renderings(tmp_path)
    for photo in samples.photos:
        photo.write_bytes(b"")
    with pytest.raises(ManifestError, match="could not be read"):
        samples.sample(0, 32)


def test_shares_of_undamaged_and_mixed_pictures_are_kept(tmp_path: Path) -> None:
    undamaged = renderings(tmp_path, pristine_share=1.0).sample(3, 32)
    assert int(undamaged["type"]) == PRISTINE_TYPE and float(undamaged["mos"]) == pytest.approx(PRISTINE_OPINION)
    assert int(undamaged["distortion"]) == -1 and int(undamaged["severity"]) == -1
    single = renderings(tmp_path, pristine_share=0.0, mixture_share=0.0)
    mixed = renderings(tmp_path, pristine_share=0.0, mixture_share=1.0)
    types = [int(single.sample(index, 32)["type"]) for index in range(40)]
    assert PRISTINE_TYPE not in types and len(set(types)) > 10
    assert {int(mixed.sample(index, 32)["type"]) for index in range(20)} == {-1}
    assert np.mean([float(mixed.sample(i, 32)["mos"]) for i in range(20)]) < np.mean(
        [float(single.sample(i, 32)["mos"]) for i in range(40)]
    )


def test_the_damage_named_is_the_damage_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def spy(image: np.ndarray, number: int, parameter: float, rng: object) -> np.ndarray:
        done.append(number)
        return image

    monkeypatch.setattr(crops, "degrade_by", spy)
    samples = renderings(tmp_path, pristine_share=0.0, mixture_share=0.0)
    for index in range(40):
        sample = samples.sample(index, 32)
        if int(sample["type"]) >= 0:
            assert int(sample["type"]) == done[-1] - 1
            assert int(sample["distortion"]) == DISTORTIONS.index(TYPES[done[-1] - 1].distortion)
            assert 0 <= int(sample["severity"]) <= 2
    assert len(done) == 40


def test_counted_patches_are_as_dense_on_a_crop_as_on_a_whole_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, list[tuple[float, float]]] = {20: [], 23: []}

    def spy(image: np.ndarray, number: int, parameter: float, rng: object) -> np.ndarray:
        seen.setdefault(number, []).append((parameter, image.shape[0] * image.shape[1]))
        return image

    monkeypatch.setattr(crops, "degrade_by", spy)
    samples = renderings(tmp_path)
    rng = np.random.default_rng(0)
    crop = np.zeros((192, 192, 3), np.uint8)
    for number in (20, 23):
        for _ in range(20):
            level, _ = samples._one_damage(crop, number, rng)
            whole = float(np.interp(level, range(1, 6), TYPES[number - 1].levels))
            share = whole * 192 * 192 / (512 * 384)
            assert seen[number][-1][0] in {max(1, np.floor(share)), max(1, np.floor(share) + 1)}
        samples._one_damage(np.zeros((32, 32, 3), np.uint8), number, rng)
    assert all(parameter >= 1 for number in (20, 23) for parameter, _ in seen[number])


def test_rated_photographs_have_their_opinions_on_1_to_5_and_their_labels(tmp_path: Path) -> None:
    samples = rated(tmp_path)
    assert samples.mos.tolist() == pytest.approx([1.8, 2.4, 3.0, 3.6, 4.2, 4.8])
    assert samples.distortions == [
        DISTORTIONS.index(n) if n else -1 for n in ("blur", "noise", "other", None, "jpeg compression", None)
    ]
    assert samples.scenes[1][[SCENES.index("animal"), SCENES.index("human")]].tolist() == [1, 1]
    assert samples.scenes[1].sum() == 2
    assert rated(tmp_path, mos_range=(100, 0)).mos.tolist() == pytest.approx([4.2, 3.6, 3.0, 2.4, 1.8, 1.2])
    assert int(samples.sample(0, 32)["set_id"]) == 1 and int(samples.sample(0, 32)["type"]) == -1


def test_unknown_names_of_scenes_and_distortions_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    (tmp_path / "labels.csv").write_text("path,mos,scenes\nphotos/street.png,3,moon\nphotos/field.png,4,night\n")
    manifest = Manifest.read(tmp_path / "labels.csv")
    with pytest.raises(ManifestError, match="unknown scene 'moon'; known are animal"):
        RatedPhotos(manifest, set_id=1, seed=0, mos_range=(0, 1))

    def refuse(name: str) -> str:
        raise ConfigError(f"{name!r} is no distortion")

    with pytest.raises(ManifestError, match="unknown distortion 'blur'; known are jpeg2000"):
        rated(tmp_path, Labels(fold_distortion=refuse))


def test_labels_are_those_of_the_prompts(tmp_path: Path) -> None:
    def fold(name: str) -> str:
        return "soft" if name == "blur" else "dirty"

    own = Labels(scenes=("animal", "human"), distortions=("soft", "dirty"), worth=(0, 10), fold_distortion=fold)
    with pytest.raises(ManifestError, match="unknown scene 'plant'; known are animal, human"):
        rated(tmp_path, own)
    own = Labels(scenes=(), distortions=("soft", "dirty"), worth=(0, 10), fold_distortion=fold)
    samples = rated(tmp_path, own)
    assert samples.distortions == [0, 1, 1, -1, 1, -1]
    assert samples.mos.min() >= 0 and samples.mos.tolist() == pytest.approx((2.5 * (rated(tmp_path).mos - 1)).tolist())
    assert samples.sample(0, 32)["scenes"].shape == (0,)


def test_windows_are_cut_from_one_picture_at_its_size(tmp_path: Path) -> None:
    sample = windows(tmp_path).sample(3, 24)
    assert sample["image"].shape == (2, 3, 24, 24) and sample["image"].dtype == torch.uint8
    assert not torch.equal(*sample["image"])


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def sample(self, number: int, size: int) -> dict[str, object]:
        return {"name": self.name, "number": number, "size": size}


def test_every_batch_has_the_same_places_for_each_set() -> None:
    mixed = Interleaved([Named("a"), Named("b")], [4, 2], [32], seed=0)  # type: ignore[list-item]
    samples = [mixed[index] for index in range(18)]
    names = "".join(str(sample["name"]) for sample in samples)
    assert names[:6] == names[6:12] == names[12:] and names[:6].count("a") == 4
    assert all(names[half : half + 3].count("b") == 1 for half in (0, 3))  # each of two processes has its share
    for name, count in (("a", 12), ("b", 6)):  # nothing is left out and nothing comes twice
        assert [sample["number"] for sample in samples if sample["name"] == name] == list(range(count))


def test_a_batch_has_one_size_and_every_size_has_its_batches() -> None:
    mixed = Interleaved([Named("a")], [4], [32, 48, 64], seed=0)  # type: ignore[list-item]
    sizes = [[mixed[4 * batch + place]["size"] for place in range(4)] for batch in range(60)]
    assert all(len(set(batch)) == 1 for batch in sizes)
    counts = [sum(batch[0] == size for batch in sizes) for size in (32, 48, 64)]
    assert min(counts) > 10
    again = Interleaved([Named("a")], [4], [32, 48, 64], seed=0)  # type: ignore[list-item]
    assert [[again[4 * batch]["size"]] * 4 for batch in range(60)] == sizes


def test_neighbours_are_versions_of_one_crop(tmp_path: Path) -> None:
    clean = renderings(tmp_path, pristine_share=1.0, versions=3)
    images = [clean.sample(number, 32)["image"] for number in range(12)]
    for first in range(0, 12, 3):
        assert torch.equal(images[first], images[first + 1]) and torch.equal(images[first], images[first + 2])
    assert not any(torch.equal(images[first - 1], images[first]) for first in (3, 6, 9))
    damaged = renderings(tmp_path, pristine_share=0.0, mixture_share=0.0)
    pairs = [tuple(int(damaged.sample(number + k, 32)["type"]) for k in range(2)) for number in range(0, 120, 2)]
    seen = [pair for pair in pairs if -1 not in pair]
    assert 0.15 < np.mean([first == second for first, second in seen]) < 0.5  # levels of one type meet, others too


def test_damage_before_reduction_keeps_the_size_and_shows_more_of_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged_at: list[int] = []

    def spy(image: np.ndarray, number: int, parameter: float, rng: object) -> np.ndarray:
        damaged_at.append(image.shape[0])
        return image

    monkeypatch.setattr(crops, "degrade_by", spy)
    options = {"pristine_share": 0.0, "mixture_share": 0.0, "versions": 1}
    reduced, plain = (renderings(tmp_path, reduced_share=share, **options) for share in (1.0, 0.0))
    assert all(reduced.sample(number, 32)["image"].shape == (3, 32, 32) for number in range(20))
    assert max(damaged_at) > 50 and len(set(damaged_at)) > 8 and min(damaged_at) >= 32
    damaged_at.clear()
    assert plain.sample(0, 32)["image"].shape == (3, 32, 32) and damaged_at == [32]


@pytest.mark.parametrize("shape", [(20, 90), (32, 32), (33, 64), (200, 50)])
def test_crops_have_their_size_whatever_the_picture(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for seed in range(20):
        crop = random_crop(image, 32, np.random.default_rng(seed))
        assert crop.shape == (32, 32, 3) and crop.flags.c_contiguous


def test_a_whole_crop_shows_all_of_the_shorter_side() -> None:
    ramp = np.broadcast_to(np.arange(0, 200, 2, dtype=np.uint8)[:, None, None], (100, 120, 3))
    for seed in range(5):
        whole = random_crop(np.ascontiguousarray(ramp), 40, np.random.default_rng(seed), whole=True)
        assert whole.shape == (40, 40, 3) and whole[0].max() < 4 and whole[-1].min() > 194


def test_each_rated_picture_comes_once_a_round_and_is_cut_alike_without_the_others(tmp_path: Path) -> None:
    everything = rated(tmp_path)
    count = len(everything.paths)
    rounds = [
        [round(float(everything.sample(n, 32)["mos"]), 4) for n in range(start, start + count)] for start in (0, count)
    ]
    assert sorted(rounds[0]) == sorted(rounds[1]) == sorted(everything.mos.round(4)) and rounds[0] != rounds[1]
    manifest = Manifest.read(tmp_path / "labels.csv").subset([1, 3])
    few = RatedPhotos(manifest, set_id=1, seed=5, mos_range=(0, 100))
    of_all = {float(sample["mos"]): sample for sample in (everything.sample(n, 32) for n in range(count))}
    for number in range(2):
        sample = few.sample(number, 32)
        assert_same(sample, of_all[float(sample["mos"])])


def test_file_names_tell_contents_and_scenes() -> None:
    paths = [Path(f"{name}.jpg") for name in ("n01440764_tench", "n11939491_daisy", "n04285008_Sports_Car", "street")]
    assert content_names(paths) == ["daisy", "sports car", "tench"]
    told = [{SCENES[i] for i in np.flatnonzero(content_scenes(path) == 1)} for path in paths]
    assert told == [{"animal"}, {"plant"}, set(), set()]
    ruled_out = [{SCENES[i] for i in np.flatnonzero(content_scenes(path) == 0)} for path in paths]
    assert "cityscape" in ruled_out[0] and "animal" in ruled_out[1] and "animal" in ruled_out[2]
    assert ruled_out[3] == set()  # a name without an object says nothing
    street = content_scenes(Path("urban100/img_001.jpg"))
    assert street[SCENES.index("cityscape")] == 1 and street[SCENES.index("animal")] == 0


def test_quality_bins_are_five_equal_parts_of_1_to_5() -> None:
    mos = torch.tensor([0.9, 1.0, 1.79, 1.81, 3.0, 4.19, 4.21, 5.0, 5.3, float("nan")])
    assert quality_bin(mos).tolist() == [0, 0, 0, 1, 2, 3, 4, 4, 4, -1]
