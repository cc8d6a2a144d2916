"""What is drawn, as a CSV says it."""

import pytest

from planewise.correction.action_table import read_steps
from planewise.correction.drawing import Drawing, drawing_of
from planewise.errors import PlanewiseError


def test_a_box_a_line_and_points():
    drawn = drawing_of(
        [
            "2",
            "box",
            "40",
            "41",
            "10",
            "20",
            "30",
            "50",
            "in",
            "40",
            "12",
            "33",
            "40",
            "13",
            "34",
            "out",
            "40",
            "19",
            "31",
            "through",
        ]
    )
    assert drawn == Drawing(
        label=2,
        box=((40, 41), (10, 20), (30, 50)),
        inside=((40, 12, 33), (40, 13, 34)),
        outside=((40, 19, 31),),
        through=True,
    )
    assert drawn.places[:2] == [(40, 10, 30), (40, 19, 49)]
    assert drawing_of(["0", "line", "4", "1", "2", "4", "5", "6"]) == Drawing(label=0, line=((4, 1, 2), (4, 5, 6)))


@pytest.mark.parametrize(
    "arguments",
    ["", "2", "through", "2 in 4 1 2", "2 box 4 5 1 2 3", "2 box 5 4 1 2 1 2", "2 line 4 1", "2 4 box 1 2 1 2 1 2",
     "2 box 0 1 0 1 0 1 at 3 3 3", "-1 line 4 1 2 4 5 6"],
)  # fmt: skip
def test_what_is_no_drawing_is_refused(tmp_path, arguments):
    path = tmp_path / "a.csv"
    path.write_text(f"case,action,arguments\na,segment,{arguments}\n")
    with pytest.raises(PlanewiseError, match=r"line 2: .* does not fit; segment: a class, and box"):
        read_steps(path)
