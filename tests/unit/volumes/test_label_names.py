import itertools

import numpy as np

from planewise.volumes.label_names import CLASS_COLOURS, LabelNames, class_colours, hexadecimal, object_colour, rgb


def test_a_class_has_the_colour_of_its_place_and_a_file_may_say_another():
    names = {1: "ground glass", 4: "honeycombing"}
    assert class_colours(names) == {1: CLASS_COLOURS[0], 4: CLASS_COLOURS[1]}
    assert LabelNames(names, {4: "#010203"}).colours == {1: CLASS_COLOURS[0], 4: "#010203"}
    assert LabelNames().colours == {}


def test_colours_there_and_back():
    assert rgb("#E69F00") == (230, 159, 0)
    assert all(hexadecimal(*rgb(colour)) == colour for colour in CLASS_COLOURS)


def test_objects_that_follow_each_other_look_different():
    colours = [np.array(rgb(object_colour(value))) for value in range(1, 200)]
    assert min(np.abs(a - b).max() for a, b in itertools.pairwise(colours)) > 40
