"""Parity with CLIP-IQA (IceClear/CLIP-IQA 061fd3c) and IQA-PyTorch (chaofengc/IQA-PyTorch 01ae427, clipiqa_arch.py).

RN50 without the attention pool's positional embedding, pictures at their own size, logit scale 100. The figures are
what that code computes in float32 on the CPU from the checkpoint and pictures of `tests/synthetic.py`, seed 1.
Tolerance: 1e-4 absolute.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.synthetic import openai_checkpoint, picture
from vlqa.hub import load
from vlqa.hub.convert import convert

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4
SIZES = [(384, 512, 100), (480, 320, 101), (300, 260, 102)]
ONE_PAIR = [0.8908277750015259, 0.8866190910339355, 0.8878534436225891]
FIVE_PAIRS = [0.5338228344917297, 0.536047637462616, 0.5301310420036316]


def test_one_pair_and_five(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLQA_CACHE", str(tmp_path / "cache"))
    torch.save(openai_checkpoint("RN50", seed=1), tmp_path / "RN50.pt")
    pictures = [picture(*size) for size in SIZES]
    one = load("clip-iqa", weights=tmp_path / "RN50.pt", device="cpu")
    assert one.predict(pictures).tolist() == pytest.approx(ONE_PAIR, abs=TOLERANCE)
    convert(tmp_path / "RN50.pt", "clip-iqa-ensemble", tmp_path / "model")
    five = load(tmp_path / "model", device="cpu")
    assert five.predict(pictures).tolist() == pytest.approx(FIVE_PAIRS, abs=TOLERANCE)
    assert one.probabilities(pictures, "clip_iqa_ensemble").mean(1).tolist() == pytest.approx(FIVE_PAIRS, abs=TOLERANCE)
