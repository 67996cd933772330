from __future__ import annotations

from pathlib import Path

import pytest

from vlqa.apps.references import References
from vlqa.errors import ConfigError
from vlqa.types import Source


def test_a_picture_is_another_where_its_reference_changes(tmp_path: Path) -> None:
    (tmp_path / "originals").mkdir()
    picture, original = tmp_path / "a.png", tmp_path / "originals" / "a.png"
    picture.write_bytes(b"coded")
    original.touch()
    for references in (References(tmp_path / "originals"), References(original)):
        original.write_bytes(b"one")
        assert references.of(str(picture)) == original
        members = Source("s.tar/a.png", lambda: b"", "at 512"), Source("https://host/a.png", lambda: b"")
        stamps = [references.stamp(each) for each in (str(picture), *members)]
        assert stamps == [references.stamp(each) for each in (str(picture), *members)] and stamps[2] is None
        original.write_bytes(b"other")
        assert references.stamp(str(picture)) != stamps[0] and references.stamp(members[0]) != stamps[1]
        original.unlink()
        assert references.stamp(str(picture)) != stamps[0]


def test_references_that_are_not_there_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        References(tmp_path / "none")
