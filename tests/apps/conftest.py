"""A tiny model and a folder of pictures for the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.tiny import CONVOLUTIONS, backbone, joint_prompts, pictures
from vlqa.hub import save
from vlqa.predictors import MultitaskPredictor
from vlqa.predictors.views import WholeImage


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    view = WholeImage(max_shorter_side=64)
    predictor = MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), view, name="tiny")
    return save(predictor, tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures: a.png, b.png and below/c.png."""
    (tmp_path / "photos" / "below").mkdir(parents=True)
    for name, pixels in zip(("a.png", "b.png", "below/c.png"), pictures(3), strict=True):
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    return tmp_path / "photos"
