from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.tiny import pictures
from vlqa.apps.rating import RatingWidget
from vlqa.data.manifest import Manifest
from vlqa.errors import ConfigError, MissingExtraError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_clicks_are_ratings() -> None:
    widget = RatingWidget(pictures(3))
    assert widget._title.value == "picture 1 of 3, 0 rated"
    widget.buttons["good"].click()
    widget.buttons["bad"].click()
    assert widget.ratings == {0: 4.0, 1: 1.0} and widget.place == 2
    widget.back.click()
    assert widget._title.value == "picture 2 of 3, 2 rated: bad"
    widget.buttons["poor"].click()
    widget.buttons["excellent"].click()
    images, mos = widget.rated()
    assert mos == [4.0, 2.0, 5.0] and len(images) == 3


def test_ratings_become_a_label_file(folder: Path) -> None:
    widget = RatingWidget([folder / "a.png", folder / "b.png", folder / "below" / "c.png"], {"no": 0, "yes": 1})
    widget.rate("yes")
    widget.rate("no")
    widget.save(folder / "ratings.csv")
    manifest = Manifest.read(folder / "ratings.csv")
    assert manifest.mos.tolist() == [1, 0] and not manifest.missing_files()


def test_what_cannot_be_rated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no pictures to rate"):
        RatingWidget([])
    widget = RatingWidget([Image.new("RGB", (8, 8))])
    widget.rate("fair")
    with pytest.raises(ConfigError, match="only files"):
        widget.save(tmp_path / "ratings.csv")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(MissingExtraError, match=r"vlqa\[notebooks\]"):
        RatingWidget(pictures(1))
