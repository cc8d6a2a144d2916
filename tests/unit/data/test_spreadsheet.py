"""Tables as spreadsheet programs save them."""

import pytest

from planewise.data.spreadsheet import spreadsheet_rows


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_cells_by_column_whatever_separates_them(separator):
    text = "Case, NOTE\r\na,x\r\n\r\nb,\r\n".replace(",", separator)
    rows = spreadsheet_rows(text)
    assert rows.fieldnames == ["case", "note"]
    assert [(rows.line_num, row) for row in rows] == [(2, {"case": "a", "note": "x"}), (4, {"case": "b", "note": ""})]


def test_of_several_marks_the_first_line_decides():
    assert next(spreadsheet_rows("case,note\na,x; y\n")) == {"case": "a", "note": "x; y"}
    assert next(spreadsheet_rows("case;x0\na;4,5\n")) == {"case": "a", "x0": "4,5"}


def test_nothing_has_no_columns():
    assert spreadsheet_rows("").fieldnames == []
