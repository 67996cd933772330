from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from tests.synthetic import picture
from vlqa.apps.cli import app
from vlqa.errors import ConfigError
from vlqa.hub import load, save
from vlqa.models.image_encoder import ImageEncoder, build_encoder
from vlqa.predictors.pristine import PristinePredictor
from vlqa.predictors.regression import LinearRegressor, RegressionPredictor
from vlqa.predictors.views import Scales


def encoder(seed: int = 0) -> ImageEncoder:
    torch.manual_seed(seed)
    return build_encoder({"trunk": {"kind": "quality", "widths": [32], "blocks": [1]}, "head": [8]}).eval()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for seed in range(4):
        Image.fromarray(picture(200, 220, seed)).save(tmp_path / "photos" / f"{seed}.png")
    return tmp_path / "photos"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_statistics_are_made_and_used(photos: Path, tmp_path: Path) -> None:
    model = save(PristinePredictor({"low": encoder()}, None, name="blind"), tmp_path / "blind")
    file = tmp_path / "pristine.safetensors"
    made = run("pristine", photos, "--model", model, "--output", file)
    assert made.exit_code == 0 and made.stdout.startswith(f"{file}: ") and file.is_file()
    scored = run("score", photos, "--model", model, "--pristine", file, "--format", "jsonl")
    records = [json.loads(line) for line in scored.stdout.splitlines()]
    assert scored.exit_code == 0 and all(0 < record["raw"] <= 0.5 for record in records)
    assert [record["low"] for record in records] == [record["raw"] for record in records]
    predictor = load(model, device="cpu", pristine=file)
    np.testing.assert_allclose(predictor.predict(sorted(photos.iterdir())), [record["raw"] for record in records])

    other = save(PristinePredictor({"low": encoder(1)}, None, name="blind"), tmp_path / "other")
    with pytest.raises(Exception, match="statistics of another encoder"):
        load(other, device="cpu", pristine=file)
    assert isinstance(run("pristine", photos, "--model", "mini", "--output", file).exception, ConfigError)


def test_pictures_are_compared_with_references_of_the_same_name(photos: Path, tmp_path: Path) -> None:
    regressor = LinearRegressor(torch.full((8,), -1.0, dtype=torch.float64), 5.0, (0, 5), full_reference=True)
    predictor = RegressionPredictor({"encoder": encoder()}, Scales(), regressor, normalize=False, name="compare")
    model = save(predictor, tmp_path / "compare")
    coded = tmp_path / "coded"
    coded.mkdir()
    for file in photos.iterdir():
        Image.open(file).save(coded / file.name)
    Image.fromarray(picture(200, 220, 9)).save(coded / "3.png")
    Image.fromarray(picture(200, 220, 9)).save(coded / "more.png")
    scored = run("score", coded, "--model", model, "--reference", photos, "--format", "jsonl")
    records = {Path(r["path"]).name: r for r in map(json.loads, scored.stdout.splitlines())}
    assert scored.exit_code == 1  # more.png has no reference
    assert all(records[f"{number}.png"]["raw"] == pytest.approx(5) for number in range(3))
    assert records["3.png"]["raw"] < 5 and records["more.png"]["error"].startswith("its reference: ")

    alone = run("score", photos / "0.png", "--model", model, "--reference", photos / "0.png", "--format", "jsonl")
    assert json.loads(alone.stdout)["raw"] == pytest.approx(5)
    assert isinstance(run("score", photos, "--model", model).exception, ConfigError)
    assert isinstance(run("score", photos, "--model", "mini", "--reference", photos).exception, ConfigError)
    missing = run("score", photos, "--model", model, "--reference", tmp_path / "none").exception
    assert isinstance(missing, ConfigError) and "no such file or folder" in str(missing)
