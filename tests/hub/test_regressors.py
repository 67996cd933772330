from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso, Ridge

from vlqa.errors import CheckpointError
from vlqa.hub.convert.regressors import read_regressor

FEATURES = np.random.default_rng(0).normal(size=(30, 7))
SCORES = FEATURES @ np.arange(7.0) + 40


def write(path: Path, value: Any, protocol: int = 3) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_fitted_ridge_predicts_as_before(tmp_path: Path, protocol: int, shape: tuple[int, ...]) -> None:
    ridge = Ridge(alpha=0.1).fit(FEATURES, SCORES.reshape(shape))
    found = read_regressor(write(tmp_path / "KONIQ.save", ridge, protocol))
    scores = found(torch.from_numpy(FEATURES))
    np.testing.assert_allclose(scores, ridge.predict(FEATURES).ravel(), rtol=1e-9)
    assert found.scale == (0, 100) and not found.full_reference


@pytest.mark.parametrize(("name", "scale"), [("LIVE.save", (0, 100)), ("csiq_fr.pkl", (0, 1))])
def test_regressors_of_dmos_are_turned(tmp_path: Path, name: str, scale: tuple[float, float]) -> None:
    ridge = Ridge().fit(FEATURES, SCORES)
    found = read_regressor(write(tmp_path / name, ridge))
    np.testing.assert_allclose(found(torch.from_numpy(FEATURES)), sum(scale) - ridge.predict(FEATURES), rtol=1e-9)
    assert found.scale == scale and found.full_reference == ("fr" in name)


def test_clive_is_not_taken_for_live(tmp_path: Path) -> None:
    ridge = Ridge().fit(FEATURES, SCORES)
    found = read_regressor(write(tmp_path / "CLIVE.save", ridge))
    np.testing.assert_allclose(found(torch.from_numpy(FEATURES)), ridge.predict(FEATURES), rtol=1e-9)
    with pytest.raises(CheckpointError, match="its name tells no set"):
        read_regressor(write(tmp_path / "mine.save", ridge))


class Hostile:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.what = (call, arguments)

    def __reduce__(self) -> Any:
        return self.what


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Hostile(os.system, "touch executed"), "asks for .*system"),
        (Hostile(eval, "1"), "asks for .*eval"),
        (Hostile(np.load, "x"), "asks for numpy"),
        (Lasso().fit(FEATURES, SCORES), "asks for sklearn.*Lasso"),
        (Ridge(), "no fitted ridge"),
        ([1, 2], "no fitted ridge"),
        (Ridge().fit(FEATURES, np.stack([SCORES] * 2, 1)), "no fitted ridge"),
    ],
)
def test_anything_else_is_refused_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_regressor(write(tmp_path / "LIVE.save", value))
    assert "\n" not in str(caught.value) and not (tmp_path / "executed").exists()


def test_damaged_files_are_refused_wherever_they_end(tmp_path: Path) -> None:
    whole = pickle.dumps(Ridge().fit(FEATURES, SCORES), protocol=3)
    for end in range(0, len(whole) - 1, 7):
        (tmp_path / "LIVE.save").write_bytes(whole[:end])
        with pytest.raises(CheckpointError):
            read_regressor(tmp_path / "LIVE.save")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_regressor(tmp_path / "none.save")
    ridge = Ridge().fit(FEATURES, SCORES)
    ridge.coef_ = ridge.coef_ * np.nan
    with pytest.raises(CheckpointError, match="not finite"):
        read_regressor(write(tmp_path / "LIVE.save", ridge))
