from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.recipe import write_labels, write_opinions, write_photos
from vlqa.data import training_sets
from vlqa.data.degradations import TYPES
from vlqa.data.facts import DISTORTIONS, SCENES
from vlqa.data.manifest import Manifest
from vlqa.data.opinions import PRISTINE_OPINION, OpinionTable
from vlqa.data.training_sets import (
    PRISTINE_TYPE,
    Interleaved,
    RatedPhotos,
    Renderings,
    content_names,
    content_scenes,
    quality_bin,
    random_crop,
)
from vlqa.errors import ConfigError, ManifestError


def renderings(folder: Path, **options: object) -> Renderings:
    photos = write_photos(folder / "photos")
    given = {"size": 32, "seed": 5} | options
    return Renderings(photos, OpinionTable.read(write_opinions(folder / "o.csv")), **given)  # type: ignore[arg-type]


def rated(folder: Path, fold: object = lambda name: name, mos_range: tuple[float, float] = (0, 100)) -> RatedPhotos:
    write_photos(folder / "photos")
    manifest = Manifest.read(write_labels(folder / "labels.csv"))
    return RatedPhotos(manifest, set_id=1, size=32, seed=5, mos_range=mos_range, fold_distortion=fold)  # type: ignore[arg-type]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert set(first) == set(second)
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("make", [renderings, rated])
def test_a_sample_depends_on_seed_and_index_alone(tmp_path: Path, make: object) -> None:
    one, other = make(tmp_path), make(tmp_path)  # type: ignore[operator]
    forwards = [one[index] for index in range(6)]
    for index in reversed(range(6)):
        assert_same(other[index], forwards[index])
    other.seed = 6
    assert any(not torch.equal(other[index]["image"], forwards[index]["image"]) for index in range(6))


def test_samples_are_crops_with_every_fact(tmp_path: Path) -> None:
    sample = renderings(tmp_path)[0]
    assert sample["image"].shape == (3, 32, 32) and sample["image"].dtype == torch.uint8
    assert sample["scenes"].shape == (9,) and sample["attributes"].shape == (10,)


def test_a_broken_photograph_is_left_out_with_one_warning(tmp_path: Path) -> None:
    samples = renderings(tmp_path)
    broken = samples.photos[0]
    broken.write_bytes(b"no picture")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index in range(60):
            samples[index]
    assert [str(warning.message).count("left out of training") for warning in caught] == [1]
    assert broken.name in str(caught[0].message)


@pytest.mark.filterwarnings("ignore:left out of training")
def test_nothing_but_broken_photographs_is_an_error(tmp_path: Path) -> None:
    samples = renderings(tmp_path)
    for photo in samples.photos:
        photo.write_bytes(b"")
    with pytest.raises(ManifestError, match="could not be read"):
        samples[0]


def test_shares_of_undamaged_and_mixed_pictures_are_kept(tmp_path: Path) -> None:
    undamaged = renderings(tmp_path, pristine_share=1.0)[3]
    assert int(undamaged["type"]) == PRISTINE_TYPE and float(undamaged["mos"]) == pytest.approx(PRISTINE_OPINION)
    assert int(undamaged["distortion"]) == -1 and int(undamaged["severity"]) == -1
    single = renderings(tmp_path, pristine_share=0.0, mixture_share=0.0)
    mixed = renderings(tmp_path, pristine_share=0.0, mixture_share=1.0)
    types = [int(single[index]["type"]) for index in range(40)]
    assert PRISTINE_TYPE not in types and len(set(types)) > 10
    assert {int(mixed[index]["type"]) for index in range(20)} == {-1}
    assert np.mean([float(mixed[i]["mos"]) for i in range(20)]) < np.mean([float(single[i]["mos"]) for i in range(40)])


def test_the_damage_named_is_the_damage_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def spy(image: np.ndarray, number: int, parameter: float, rng: object) -> np.ndarray:
        done.append(number)
        return image

    monkeypatch.setattr(training_sets, "degrade_by", spy)
    samples = renderings(tmp_path, pristine_share=0.0, mixture_share=0.0)
    for index in range(40):
        sample = samples[index]
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

    monkeypatch.setattr(training_sets, "degrade_by", spy)
    samples = renderings(tmp_path)
    rng = np.random.default_rng(0)
    crop = np.zeros((192, 192, 3), np.uint8)
    for _ in range(600):
        number, level, _ = samples._one_damage(crop, rng)
        if number in (20, 23):
            whole = float(np.interp(level, range(1, 6), TYPES[number - 1].levels))
            share = whole * 192 * 192 / (512 * 384)
            assert seen[number][-1][0] in {max(1, np.floor(share)), max(1, np.floor(share) + 1)}
    assert len(seen[20]) > 5 and len(seen[23]) > 5
    samples._one_damage(np.zeros((32, 32, 3), np.uint8), rng)
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
    assert int(samples[0]["set_id"]) == 1 and int(samples[0]["type"]) == -1


def test_unknown_names_of_scenes_and_distortions_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    (tmp_path / "labels.csv").write_text("path,mos,scenes\nphotos/street.png,3,moon\nphotos/field.png,4,night\n")
    manifest = Manifest.read(tmp_path / "labels.csv")
    with pytest.raises(ManifestError, match="unknown scene 'moon'; known are animal"):
        RatedPhotos(manifest, set_id=1, size=32, seed=0, mos_range=(0, 1), fold_distortion=str)

    def refuse(name: str) -> str:
        raise ConfigError(f"{name!r} is no distortion")

    with pytest.raises(ConfigError, match="'blur' is no distortion"):
        rated(tmp_path, refuse)


def test_every_batch_has_the_same_places_for_each_set() -> None:
    class Named(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __init__(self, name: str) -> None:
            self.name = name

        def __getitem__(self, index: int) -> tuple[str, int]:
            return self.name, index

    mixed = Interleaved([Named("a"), Named("b")], [4, 2])
    names = "".join(mixed[index][0] for index in range(18))
    assert names[:6] == names[6:12] == names[12:] and names[:6].count("a") == 4
    assert all(names[half : half + 3].count("b") == 1 for half in (0, 3))  # each of two processes has its share
    assert [mixed[index][1] for index in range(18)] == list(range(18))


@pytest.mark.parametrize("shape", [(20, 90), (32, 32), (33, 64), (200, 50)])
def test_crops_have_their_size_whatever_the_picture(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for seed in range(20):
        crop = random_crop(image, 32, np.random.default_rng(seed))
        assert crop.shape == (32, 32, 3) and crop.flags.c_contiguous


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
