from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vlqa
from vlqa.apps import demo


def test_the_bundled_default_scores_every_damage_lower_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    predictor = vlqa.load(device="cpu")
    china, flower = (
        predictor.assess([photo, *(demo.damaged(photo, name, level) for name, level in demo.DAMAGES)])
        for photo in demo.photographs()
    )
    for whole, *damaged in (china, flower):
        assert all(record.raw < whole.raw - 0.2 for record in damaged), [record.raw for record in (whole, *damaged)]
        # the low-level view, which learned from no label, sees blur, JPEG and noise, but hardly darkness
        assert all(record.low < whole.low for record in damaged[:3]), [record.low for record in (whole, *damaged)]
    named = [record.distortion for record in china[1:]]
    assert named == ["blur", "jpeg compression", "noise", "underexposure"]


def test_the_demo_prints_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    demo.main()
    table = capsys.readouterr().out
    assert table.count("china") == 5 and table.count("flower") == 5 and "white noise, level 5" in table
    assert len(list(tmp_path.iterdir())) == 10 and np.all([path.stat().st_size for path in tmp_path.iterdir()])
