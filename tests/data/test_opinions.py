from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vlqa.data.opinions import PRISTINE_OPINION, OpinionTable, combined_opinion
from vlqa.errors import ManifestError

HEADER = "type_id,type,level,mean_mos"
ROWS = [f"{t},x,{v},{4.5 - 0.5 * v - 0.01 * t}" for t in range(1, 26) for v in range(1, 6)]


def read(path: Path, rows: list[str], header: str = HEADER) -> OpinionTable:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return OpinionTable.read(path)


@pytest.fixture
def table(tmp_path: Path) -> OpinionTable:
    return read(tmp_path / "opinions.csv", ROWS)


def test_levels_give_the_table_and_between_them_it_is_linear(table: OpinionTable) -> None:
    assert table.opinion(1, 1) == pytest.approx(3.99) and table.opinion(25, 5) == pytest.approx(1.75)
    assert table.opinion(7, 2.25) == pytest.approx(0.75 * table.opinion(7, 2) + 0.25 * table.opinion(7, 3))


def test_below_level_1_it_rises_to_the_undamaged_picture_except_for_signed_types(table: OpinionTable) -> None:
    assert table.opinion(3, 0) == PRISTINE_OPINION
    assert table.opinion(3, 0.5) == pytest.approx((PRISTINE_OPINION + table.opinion(3, 1)) / 2)
    for number in (18, 25):
        assert table.opinion(number, 0.5) == table.opinion(number, 1)


def test_visibility_is_a_share_of_the_opinion_above_the_worst(table: OpinionTable) -> None:
    assert table.visibility(3, 0) == 1
    assert table.visibility(3, 3) == pytest.approx((table.opinion(3, 3) - 1) / 3.6)


def test_two_damages_are_worse_than_the_worse_of_them_and_their_order_does_not_matter() -> None:
    for first, second in [(3.0, 4.0), (1.0, 4.6), (2.2, 2.2), (0.8, 3.0)]:
        mixed = combined_opinion(first, second)
        assert mixed == combined_opinion(second, first)
        assert 1 <= mixed <= max(1, min(first, second))
    assert combined_opinion(3.1, PRISTINE_OPINION) == pytest.approx(3.1)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (ROWS[:-2], HEADER, "2 of the 125 types and levels have no mean_mos"),
        ([*ROWS, "0,x,1,3.0"], HEADER, "type_id 0 at level 1, expected 1–25 at 1–5"),
        ([*ROWS, "26,x,1,3.0"], HEADER, "type_id 26"),
        ([*ROWS, "1,x,0,3.0"], HEADER, "at level 0"),
        ([*ROWS, "1,x,6,3.0"], HEADER, "at level 6"),
        ([*ROWS, "1,x"], HEADER, "not a table"),
        ([*ROWS, "1,x,1,good"], HEADER, "'good'"),
        (ROWS, "type_id,type,level,mos", "no column 'mean_mos'"),
        ([], HEADER, "125 of the 125"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_the_file(
    tmp_path: Path, rows: list[str], header: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        read(tmp_path / "opinions.csv", rows, header)
    assert str(tmp_path / "opinions.csv") in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_or_one_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(np.arange(256, dtype=np.uint8).tobytes())
    for name in ("none.csv", "binary.csv"):
        with pytest.raises(ManifestError, match=f"{name}: not a table"):
            OpinionTable.read(tmp_path / name)
