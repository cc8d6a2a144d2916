import re

import numpy as np

from planewise.report.slides import outline_path


def pieces(path):
    return {(kind, int(x), int(y), int(n)) for x, y, kind, n in re.findall(r"M(\d+) (\d+)([hv])(\d+)", path)}


def test_the_outline_of_a_rectangle():
    labels = np.zeros((6, 8), int)
    labels[2:4, 3:6] = 1
    assert pieces(outline_path(labels)) == {("h", 3, 2, 3), ("h", 3, 4, 3), ("v", 3, 2, 2), ("v", 6, 2, 2)}


def test_touching_objects_are_divided_and_the_border_is_not_drawn():
    labels = np.repeat([[1, 1, 2, 2]], 3, axis=0)
    assert pieces(outline_path(labels)) == {("v", 2, 0, 3)}
    assert outline_path(np.ones((3, 3), int)) == ""
