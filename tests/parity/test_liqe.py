"""Parity with LIQE (zwx8981/LIQE a64655f, demo.py) and IQA-PyTorch (chaofengc/IQA-PyTorch 01ae427, liqe_arch.py).

The figures are what that code computes in float32 on the CPU from the checkpoint and pictures of `tests/synthetic.py`,
seed 1. Tolerance: 1e-4 absolute.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.synthetic import openai_checkpoint, picture
from vlqa.hub import load
from vlqa.hub.convert import convert

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4
SIZES = [(384, 512, 100), (480, 320, 101), (300, 260, 102), (800, 1100, 150)]
DEMO = [3.009960174560547, 3.0035970211029053, 3.028341770172119, 3.0337414741516113]
QUALITY = [
    [0.18055127561092377, 0.19928988814353943, 0.23723207414150238, 0.19550102949142456, 0.18742576241493225],
    [0.1839853972196579, 0.22039906680583954, 0.1812218874692917, 0.23682016134262085, 0.17757344245910645],
    [0.1762487292289734, 0.19763347506523132, 0.24561573565006256, 0.18253114819526672, 0.19797086715698242],
    [0.1923656463623047, 0.19279128313064575, 0.19478897750377655, 0.22884422540664673, 0.19120988249778748],
]
SCENES = ["indoor", "others", "indoor", "others"]
PYIQA = [3.009960174560547, 3.0035970211029053, 3.028341770172119, 3.0325074195861816]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint in the four published layouts."""
    folder = tmp_path_factory.mktemp("liqe")
    weights = openai_checkpoint("ViT-B-32", seed=1)
    torch.save(weights, folder / "LIQE.pt")
    torch.save({"epoch": 3, "model_state_dict": weights, "optimizer_state_dict": {}}, folder / "training.pt")
    torch.save({"params": {f"clip_model.{name}": tensor for name, tensor in weights.items()}}, folder / "liqe_mix.pt")
    return folder


@pytest.fixture(scope="module", autouse=True)
def text_cache(tmp_path_factory: pytest.TempPathFactory):
    """The 495 sentences are encoded once for this file, and not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLQA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_demo(files: Path) -> None:
    predictor = load("liqe", weights=files / "LIQE.pt", device="cpu")
    pictures = [picture(*size) for size in SIZES]
    found = predictor.assess(pictures)
    assert [assessment.raw for assessment in found] == pytest.approx(DEMO, abs=TOLERANCE)
    for assessment, expected in zip(found, QUALITY, strict=True):
        assert list((assessment.quality_probabilities or {}).values()) == pytest.approx(expected, abs=TOLERANCE)
    assert [assessment.scene for assessment in found] == SCENES
    assert {assessment.distortion for assessment in found} == {"color"}


def test_pyiqa_rule_from_the_layout_of_a_converted_training_file(files: Path, tmp_path: Path) -> None:
    convert(files / "training.pt", "liqe", tmp_path / "model", patches="pyiqa")
    predictor = load(tmp_path / "model", device="cpu")
    scores = predictor.predict([picture(*size) for size in SIZES])
    assert scores.tolist() == pytest.approx(PYIQA, abs=TOLERANCE)


def test_pyiqa_file_equals_the_authors_file(files: Path) -> None:
    images = [picture(300, 260, 102)]
    scores = [load("liqe", weights=files / name, device="cpu").predict(images) for name in ("LIQE.pt", "liqe_mix.pt")]
    np.testing.assert_array_equal(*scores)
