from __future__ import annotations

from pathlib import Path

import pytest

from vlqa.apps.references import References
from vlqa.errors import ConfigError
from vlqa.types import Source


def test_a_picture_is_compared_with_one_of_its_name_or_with_the_one_there_is(tmp_path: Path) -> None:
    original = tmp_path / "originals" / "a.png"
    original.parent.mkdir()
    original.touch()
    for references in (References(original.parent), References(original)):
        for picture in (str(tmp_path / "a.png"), Source("s.tar/a.png", lambda: b""), Source("https://host/a.png", str)):
            assert references.of(picture) == original


def test_references_that_are_not_there_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        References(tmp_path / "none")
