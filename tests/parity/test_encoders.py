"""Parity with GRepQ (61dd615), CONTRIQUE (f73233c) and Re-IQA (290632a).

The figures are what that code computes in float32 on the CPU from the checkpoints of `tests/published.py` and the
pictures of `tests/synthetic.py`. Tolerance: 1e-4 relative on features, 1e-4 absolute on scores.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests import published
from tests.synthetic import openai_checkpoint, picture
from vlqa.apps.cli import app
from vlqa.hub import load
from vlqa.hub.convert import convert
from vlqa.predictors.pristine import PristinePredictor

pytestmark = pytest.mark.slow

PICTURES = [picture(384, 512, 100), picture(480, 320, 101), picture(300, 260, 102)]

FIGURES = json.loads((Path(__file__).parent / "encoders.json").read_text())


def relative(found: npt.NDArray[np.float32], expected: object) -> float:
    """Largest difference, as a share of the largest value: a feature near 0 has no relative error."""
    figures = np.asarray(expected)
    return float(np.abs(found - figures).max() / np.abs(figures).max())


def test_grepq_low(tmp_path: Path) -> None:
    low = published.write(tmp_path / "low.tar", published.grepq_low(1))
    pristine = published.write_pristine(tmp_path / "patches.hdf5", 200)
    convert(None, "grepq-low", tmp_path / "model", parts={"low": low, "pristine": pristine})
    model = load(tmp_path / "model", device="cpu")
    assert isinstance(model, PristinePredictor)
    features = model.embed(PICTURES)
    assert features.shape == (3, 128) and relative(features[:, :8], FIGURES["grepq_low"]["first_8"]) < 1e-4
    scores = model.predict(PICTURES)
    np.testing.assert_allclose(scores, FIGURES["grepq_low"]["scores"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(-100 * np.log(scores / (1 - scores)), FIGURES["grepq_low"]["distances"], rtol=1e-4)


def test_grepq(tmp_path: Path) -> None:
    clip = openai_checkpoint("RN50", seed=1)
    parts = {
        "clip": published.write(tmp_path / "RN50.pt", clip),
        "high": published.write(tmp_path / "high.pth", published.grepq_high(clip)),
        "low": published.write(tmp_path / "low.tar", published.grepq_low(1)),
        "pristine": published.write_pristine(tmp_path / "patches.hdf5", 200),
    }
    command("convert", "--method", "grepq", *(f"--part={name}={file}" for name, file in parts.items()),
            "--output", tmp_path / "model")  # fmt: skip
    model = load("grepq", weights=tmp_path / "model", device="cpu")
    found = model.assess(PICTURES)
    high, low = FIGURES["grepq_high"]["scores"], FIGURES["grepq_low"]["scores"]
    assert [record.high for record in found] == pytest.approx(high, abs=1e-4)
    assert [record.low for record in found] == pytest.approx(low, abs=1e-4)
    assert [record.raw for record in found] == pytest.approx(np.add(high, low), abs=1e-4)
    features = model.embed(PICTURES)
    assert features.shape == (3, 1152) and model.scale == (0, 1.5)
    assert relative(features[:, 1024:1032], FIGURES["grepq_low"]["first_8"]) < 1e-4
    pair = model.backbone.encode_text(["A good photo.", "A bad photo."]).numpy()
    seen = features[:, :1024] / np.linalg.norm(features[:, :1024], axis=1, keepdims=True)
    by_features = 1 / (1 + np.exp(-10 * (seen @ (pair[0] - pair[1]))))  # that half is raw, and what the score rests on
    np.testing.assert_allclose(by_features, high, rtol=0, atol=1e-4)

    Image.fromarray(PICTURES[0]).save(tmp_path / "picture.png")
    told = command("score", tmp_path / "picture.png", "--model", "grepq", "--weights", tmp_path / "model",
                   "--format", "jsonl", "--device", "cpu")  # fmt: skip
    record = json.loads(told)
    assert (record["high"], record["low"]) == pytest.approx((high[0], low[0]), abs=1e-4)


def command(*arguments: object) -> str:
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def test_contrique(tmp_path: Path) -> None:
    convert(published.write(tmp_path / "c.tar", published.contrique(1)), "contrique", tmp_path / "model")
    features = load(tmp_path / "model", device="cpu").embed(PICTURES)
    assert features.shape == (3, 4096)
    assert relative(features[:, ::512], FIGURES["contrique"]["every_512th"]) < 1e-4
    np.testing.assert_allclose(features.mean(axis=1), FIGURES["contrique"]["means"], rtol=1e-4)


def test_re_iqa(tmp_path: Path) -> None:
    parts = {
        "content": published.write(tmp_path / "content.pth", published.re_iqa(11)),
        "quality": published.write(tmp_path / "quality.pth", published.re_iqa(1)),
    }
    convert(None, "re-iqa", tmp_path / "model", parts=parts)
    model = load(tmp_path / "model", device="cpu")
    features = model.embed(PICTURES)
    assert features.shape == (3, 8192)
    assert relative(features[:, ::512], FIGURES["re_iqa"]["every_512th"]) < 1e-4
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), FIGURES["re_iqa"]["norms"], rtol=1e-4)
    assert dict(model.feature_slices) == {
        "low": slice(0, 8192),
        "content": slice(0, 4096),
        "quality": slice(4096, 8192),
    }
