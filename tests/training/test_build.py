from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.data.archives import IMAGES, write_tar
from tests.training.recipe import recipe, write_photos
from vlqa.errors import ConfigError, ManifestError
from vlqa.training.build import build_run
from vlqa.training.config import read_config
from vlqa.training.photos import find_photos, split_photos


def build(document: dict[str, Any], *overrides: str) -> Any:
    return build_run(read_config(document, overrides))


def test_folds_that_are_left_out_are_left_out(tmp_path: Path) -> None:
    rated = build(recipe(tmp_path), "data.rated.0.exclude_folds=[0, 2]").samples.sources[1]
    assert [Path(path).stem for path in rated.paths] == ["n02099601_golden_retriever", "street"]
    assert rated.mos.tolist() == pytest.approx([1 + 4 * 0.35, 1 + 4 * 0.8])


def test_all_folds_are_used_where_none_is_left_out(tmp_path: Path) -> None:
    assert len(build(recipe(tmp_path), "data.rated.0.exclude_folds=[]").samples.sources[1].paths) == 6


def test_leaving_out_folds_needs_their_column_and_something_left(tmp_path: Path) -> None:
    document = recipe(tmp_path)
    with pytest.raises(ManifestError, match="no row is selected"):
        build(document, "data.rated.0.exclude_folds=[0, 1, 2]")
    with pytest.raises(ManifestError, match="exclude_folds names 7, but there are folds 0, 1, 2 only"):
        build(document, "data.rated.0.exclude_folds=[0, 7]")
    (tmp_path / "labels.csv").write_text("path,mos\nphotos/street.png,3\nphotos/field.png,4\n")
    with pytest.raises(ManifestError, match="exclude_folds needs a column fold"):
        build(document)


def test_training_takes_no_picture_out_of_an_archive(tmp_path: Path) -> None:
    document = recipe(tmp_path)
    write_tar(tmp_path / "s.tar", {"a.png": IMAGES[0]})
    (tmp_path / "labels.csv").write_text("path,mos,fold\nphotos/street.png,3,0\ns.tar/a.png,4,1\n")
    with pytest.raises(ManifestError, match=r"1 of 2 pictures are missing, first .*s\.tar/a\.png; set images"):
        build(document)


def test_held_out_photographs_take_no_part_wherever_they_lie(tmp_path: Path) -> None:
    photos = find_photos([write_photos(tmp_path / "a")[0].parent])
    training, held_out = split_photos(photos, 3)
    assert len(held_out) == 3 and sorted([*training, *held_out]) == photos
    moved = find_photos([write_photos(tmp_path / "elsewhere")[0].parent])
    assert [path.name for path in split_photos(moved, 3)[1]] == [path.name for path in held_out]
    used = build(recipe(tmp_path), "data.held_out_photos=3").samples.sources[0].photos
    assert {path.name for path in used} == {path.name for path in training}


def test_holding_out_every_photograph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.held_out_photos: fewer than the 8 photographs expected, found 8"):
        build(recipe(tmp_path), "data.held_out_photos=8")


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(ManifestError, match=f"{folder.name}: no photographs there"):
            find_photos([folder])


LABELS = {"quality": ["bad", "poor", "fair", "good", "perfect"], "scene": ["city", "forest"], "distortion": ["blur"]}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS, "labels scene of 'mine': expected animal, cityscape, .*, found city, forest"),
        ({**LABELS, "quality": ["bad", "good"]}, "labels quality of 'mine': expected bad, poor, fair, good, perfect"),
    ],
)
def test_prompts_with_other_labels_are_refused_before_training(tmp_path: Path, labels: Any, message: str) -> None:
    template = "a {scene} with {distortion}, {quality}"
    document = {"kind": "joint", "name": "mine", "template": template, "labels": labels}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError, match=message) as caught:
        build(recipe(tmp_path), f"model.prompts={tmp_path / 'mine.yaml'}")
    assert "\n" not in str(caught.value)


def test_prompts_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected joint prompts, found 'clip_iqa' of kind antonyms"):
        build(recipe(tmp_path), "model.prompts=clip_iqa")
