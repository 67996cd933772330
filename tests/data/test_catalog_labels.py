"""The readers against published labels of whole sets, where these are beside the checkout (no picture is needed)."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tests.data.public_sets import LIVE_PARTS, live_arrays, touch, write_text, write_workbook
from vlqa.data.catalog import SETS, missing_files, read_dataset

LABELS = Path(__file__).parents[3] / "shared" / "data" / "labels"
pytestmark = pytest.mark.skipif(not (LABELS / "kadid10k.csv").is_file(), reason="the published labels are not here")
needs_openpyxl = pytest.mark.skipif(importlib.util.find_spec("openpyxl") is None, reason="openpyxl is not installed")
_LIVE_TOP = 111.77  # the largest realigned DMOS, about; the labels are differences to it

Rows = list[dict[str, str]]


def rows_of(name: str) -> Rows:
    with (LABELS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_live(root: Path, rows: Rows) -> None:
    arrays = live_arrays({row["image"]: _LIVE_TOP - float(row["mos"]) for row in rows})
    assert arrays["orgs"].sum() == sum(LIVE_PARTS.values()) - len(rows)
    scipy.io.savemat(root / "refnames_all.mat", {"refnames_all": arrays.pop("refnames_all")})
    scipy.io.savemat(root / "dmos_realigned.mat", arrays)
    touch(root, ["refimgs/bikes.bmp"])


def write_csiq(root: Path, rows: Rows) -> None:
    types = {"AWGN": "noise", "BLUR": "blur", "contrast": "contrast", "fnoise": "fnoise", "JPEG": "jpeg"}
    types |= {"jpeg2000": "jpeg 2000"}
    data = []
    for row in rows:
        image, word, level, _ = row["image"].rsplit("/", 1)[1].split(".")
        name = int(image) if image.isdecimal() else image  # Excel makes a number of the picture 1600
        data.append([name, types[word], int(level), 0.1, 1 - float(row["mos"])])
        touch(root / "src_imgs", [f"{image}.png"])
    write_workbook(
        root / "csiq.DMOS.xlsx", {"all_by_image": [["image", "dst_type", "dst_lev", "dmos_std", "dmos"], *data]}
    )


def write_kadid10k(root: Path, rows: Rows) -> None:
    lines = (f"{row['image']},I{row['reference']}.png,{row['mos']},{float(row['mos_std']) ** 2:.3f}" for row in rows)
    write_text(root / "dmos.csv", "dist_img,ref_img,dmos,var", *lines)
    touch(root / "images", [f"I{row['reference']}.png" for row in rows])


def write_bid(root: Path, rows: Rows) -> None:
    data = [[int(row["image"][-8:-4]), float(row["mos"]), float(row["mos_std"])] for row in rows]
    write_workbook(
        root / "DatabaseGrades.xlsx", {"Plan1": [["Image Number", "Average Subjective Grade", "std"], *data]}
    )


def write_koniq10k(root: Path, rows: Rows) -> None:
    lines = (f"{Path(row['image']).name},{row['mos']},0.5" for row in rows)
    write_text(root / "koniq10k_scores_and_distributions.csv", "image_name,MOS,SD", *lines)


_WRITERS: dict[str, tuple[str, Callable[[Path, Rows], None]]] = {
    "live": ("", write_live),
    "csiq": ("", write_csiq),
    "kadid10k": ("images", write_kadid10k),
    "bid": ("", write_bid),
    "koniq10k": ("", write_koniq10k),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_openpyxl if name in ("csiq", "bid") else ()) for name in _WRITERS]
)
def test_a_whole_set_agrees_with_its_published_labels(name: str, tmp_path: Path) -> None:
    rows = rows_of(name)
    inside, write = _WRITERS[name]
    write(tmp_path, rows)
    touch(tmp_path / inside, [row["image"] for row in rows])
    labels = read_dataset(name, tmp_path)
    assert len(labels) == len(rows) == SETS[name].count
    found = dict(zip(labels.names, labels.mos, strict=True))
    expected = {row["image"]: float(row["mos"]) for row in rows}
    assert found.keys() == expected.keys()
    # LIVE's labels are differences to the largest DMOS, so that one of them is 0 exactly
    np.testing.assert_allclose([found[each] for each in expected], list(expected.values()), atol=1e-6)
    low, high = SETS[name].scale
    assert low <= labels.mos.min() < low + 0.2 * (high - low) and high >= labels.mos.max() > high - 0.2 * (high - low)
    assert missing_files(labels) == []
    if "distortion" in rows[0] and labels.distortion is not None:
        told = {row["image"]: row["distortion"] for row in rows if not row["image"].startswith("fastfading")}
        assert told == {each: kind for each, kind in zip(labels.names, labels.distortion, strict=True) if each in told}


def test_what_kadid_calls_a_variance_is_a_deviation() -> None:
    """30 votes of 1–5: their squares sum to a whole number, which tells how far they really spread."""
    mos, column = (np.array([float(row[key]) for row in rows_of("kadid10k")]) for key in ("mos", "mos_std"))
    published = column**2  # the labels hold the root of the set's own column "var"
    votes = np.round(mos * 30) / 30
    whole = np.abs(votes - mos) < 0.006  # the mean is rounded to 0.01; some pictures have fewer votes

    def share(variance: np.ndarray) -> float:
        squares = (variance + votes**2) * 30
        return float((np.abs(squares - np.round(squares)) < 0.06)[whole].mean())

    assert share(published**2) > 0.98 and share(published) < 0.12
