"""Tables as spreadsheet programs save them."""

import pytest

from planewise.data.patients import patients_of
from planewise.data.spreadsheet import read_table, spreadsheet_rows, table_text
from planewise.errors import PlanewiseError
from planewise.inference.prompts import read_prompts
from planewise.measurement.groups import read_groups


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


@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_table(path, ("a",), "it has a column a", "--table"),
        lambda path: patients_of(["a"], file=path),
        lambda path: read_prompts(path, {}, {}, {}),
        read_groups,
    ],
)
def test_a_table_that_is_missing_is_no_such_file(tmp_path, read):
    with pytest.raises(PlanewiseError, match=r"nothing\.csv: no such file; (it must be|it has|boxes are) ") as error:
        read(tmp_path / "nothing.csv")
    assert "Errno" not in str(error.value)


def test_a_folder_in_place_of_a_table_says_so_without_numbers(tmp_path):
    with pytest.raises(PlanewiseError, match=r"cannot be read \(Is a directory\); it must be a CSV"):
        table_text(tmp_path, "it must be a CSV")
