from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from tests import published
from tests.synthetic import picture
from vlqa.errors import CheckpointError, ConfigError, VLQAError
from vlqa.hub import load
from vlqa.hub.convert import convert
from vlqa.predictors.pristine import PristinePredictor, pristine_statistics
from vlqa.predictors.regression import RegressionPredictor

PICTURES = [picture(150, 200, 1), picture(120, 100, 2)]


@pytest.fixture(scope="module")
def contrique(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.write(tmp_path_factory.mktemp("contrique") / "checkpoint25.tar", published.contrique(3))


@pytest.fixture(scope="module")
def grepq_low(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published.write(tmp_path_factory.mktemp("grepq") / "low.tar", published.grepq_low(3))


def write_ridge(path: Path, width: int) -> tuple[Path, Ridge]:
    numbers = np.random.default_rng(0)
    ridge = Ridge(0.1).fit(numbers.normal(size=(20, width)), numbers.normal(50, 20, 20))
    path.write_bytes(pickle.dumps(ridge, protocol=3))
    return path, ridge


def test_an_encoder_without_a_regressor_embeds_and_says_how_to_fit_one(contrique: Path, tmp_path: Path) -> None:
    model = load(convert(contrique, "contrique", tmp_path / "model"), device="cpu")
    features = model.embed(PICTURES)
    assert features.shape == (2, 4096)
    np.testing.assert_allclose(np.linalg.norm(features[:, :2048], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(features[:, 2048:], axis=1), 1, rtol=1e-5)
    for call in (model.predict, model.assess):
        with pytest.raises(NotFittedError, match="vlqa fit") as caught:
            call(PICTURES)
        assert isinstance(caught.value, VLQAError)


def test_scores_are_those_of_the_pickled_regressor(contrique: Path, tmp_path: Path) -> None:
    file, ridge = write_ridge(tmp_path / "KONIQ.save", 4096)
    convert(contrique, "contrique", tmp_path / "model", parts={"regressor": file})
    model = load(tmp_path / "model", device="cpu")
    features = model.embed(PICTURES)
    np.testing.assert_allclose(model.predict(PICTURES), ridge.predict(features.astype(np.float64)), rtol=1e-5)
    np.testing.assert_allclose(model.predict_features(features), model.predict(PICTURES), rtol=1e-6)
    assert model.scale == (0, 100)
    with pytest.raises(ConfigError, match="without references"):
        assert isinstance(model, RegressionPredictor)
        model.predict_against(PICTURES, PICTURES)


def test_a_full_reference_regressor_compares(contrique: Path, tmp_path: Path) -> None:
    file, ridge = write_ridge(tmp_path / "LIVE_FR.save", 4096)
    convert(contrique, "contrique", tmp_path / "model", parts={"regressor": file})
    model = load(tmp_path / "model", device="cpu")
    assert isinstance(model, RegressionPredictor)
    other = [picture(150, 200, 3), picture(90, 100, 4)]
    difference = np.abs(model.embed(other) - model.embed(PICTURES)).astype(np.float64)
    expected = 100 - ridge.predict(difference)  # LIVE's scores are DMOS
    np.testing.assert_allclose(model.predict_against(PICTURES, other), expected, rtol=1e-5)
    found = list(model.assess_against(zip([*PICTURES, b""], [*other, other[0]], strict=True)))
    np.testing.assert_allclose([record.raw for record in found[:2]], expected, rtol=1e-5)
    assert found[2].error is not None and found[2].raw is None
    (lost,) = model.assess_against([(PICTURES[0], tmp_path / "none.png")])
    assert lost.error is not None and lost.error.startswith("its reference: ")
    with pytest.raises(ConfigError, match="with references"):
        model.predict(PICTURES)


def test_grepq_low_scores_blindly(grepq_low: Path, tmp_path: Path) -> None:
    pristine = published.write_pristine(tmp_path / "patches.hdf5", 5)
    convert(grepq_low, "grepq-low", tmp_path / "model", parts={"pristine": pristine})
    model = load(tmp_path / "model", device="cpu")
    assert isinstance(model, PristinePredictor) and not model.scores_from_features
    scores = model.predict([*PICTURES, picture(40, 60, 5), np.full((100, 97, 3), 128, np.uint8)])
    assert np.all((scores > 0) & (scores <= 0.5))
    single = [float(model.predict(image)[0]) for image in PICTURES]
    np.testing.assert_allclose(single, scores[:2], rtol=1e-5)
    assert model.assess(PICTURES[0])[0].low == pytest.approx(scores[0], rel=1e-5)


def test_statistics_can_be_made_of_other_photographs(grepq_low: Path, tmp_path: Path) -> None:
    bare = load("grepq-low", weights=grepq_low, device="cpu")
    assert isinstance(bare, PristinePredictor)
    with pytest.raises(NotFittedError, match="vlqa pristine"):
        bare.predict(PICTURES)
    statistics = pristine_statistics(bare, [picture(300, 300, seed) for seed in range(3)])
    assert statistics.mean.shape == (128,) and statistics.patches >= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("encoder.4.0.conv1.weight"), "lack trunk.layer1.0.conv1.weight"),
        (lambda state: state.update({"decoder.0.weight": torch.zeros(1)}), "unknown name decoder.0.weight"),
        (lambda state: state.update({"encoder.9.weight": torch.zeros(1)}), "have unknown trunk.9.weight"),
        (
            lambda state: state.update({"encoder.0.weight": torch.zeros(64, 3, 3, 3)}),
            r"trunk.conv1.weight \(64, 3, 3, 3\)",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name(
    contrique: Path, tmp_path: Path, change: Any, message: str
) -> None:
    state = torch.load(contrique)
    change(state)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert(published.write(tmp_path / "changed.tar", state), "contrique", tmp_path / "model")
    assert "changed.tar" in str(caught.value) and not (tmp_path / "model").exists()


def test_copies_that_differ_are_refused(grepq_low: Path, tmp_path: Path) -> None:
    state = torch.load(grepq_low)
    state["model"]["state_dict"]["encoder.base_model.conv1.weight"] += 1
    with pytest.raises(CheckpointError, match="two copies of trunk"):
        convert(published.write(tmp_path / "low.tar", state), "grepq-low", tmp_path / "model")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": {}}, "needs --part content=FILE --part quality=FILE"),
        ({"parts": {"quality": "x"}}, "needs --part content=FILE"),
        ({"parts": {"clip": "x"}}, "has no part 'clip'"),
    ],
)
def test_parts_are_asked_for_by_name(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(None, "re-iqa", tmp_path / "model", **arguments)


def test_patches_of_another_shape_are_refused(grepq_low: Path, tmp_path: Path) -> None:
    small = published.write_pristine(tmp_path / "small.hdf5", 3, side=64)
    with pytest.raises(CheckpointError, match="expected N×3×96×96"):
        convert(grepq_low, "grepq-low", tmp_path / "model", parts={"pristine": small})
    (tmp_path / "text.hdf5").write_text("no HDF5")
    with pytest.raises(CheckpointError, match="no HDF5 file"):
        convert(grepq_low, "grepq-low", tmp_path / "model", parts={"pristine": tmp_path / "text.hdf5"})


def test_arniqa_averages_five_crops(tmp_path: Path) -> None:
    file = published.write(tmp_path / "ARNIQA.pth", published.arniqa(1))
    regressor = {"weight": torch.randn(1, 4096), "bias": torch.tensor([3.0])}
    parts = {"regressor": published.write(tmp_path / "regressor_kadid10k.pth", regressor)}
    convert(file, "arniqa", tmp_path / "model", parts=parts)
    model = load(tmp_path / "model", device="cpu")
    image = picture(448, 448, 1)
    crops = [image[:224, :224], image[:224, 224:], image[224:, :224], image[224:, 224:], image[112:336, 112:336]]
    whole = model.embed([image])[0, :2048]
    np.testing.assert_allclose(whole, model.embed(crops)[:, :2048].mean(axis=0), rtol=1e-4, atol=1e-6)
    assert model.scale == (1, 5) and np.isfinite(model.predict([image, picture(50, 60, 1)])).all()
