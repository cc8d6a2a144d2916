import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from planewise.evaluation.comparison import compare
from planewise.evaluation.pairs import Pair
from planewise.evaluation.result import Benchmark
from planewise.evaluation.tolerance import Tolerance
from planewise.report.pictures import outline_path
from planewise.report.slides import case_slides
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


def pieces(path):
    """The pieces of a path as (direction, x, y, length), each relative to the end of the one before."""
    tiles, x, y = set(), 0, 0
    for dx, dy, kind, n in re.findall(r"m(-?\d+) ?(-?\d+)([hv])(\d+)", path):
        x, y = x + int(dx), y + int(dy)
        tiles.add((kind, x, y, int(n)))
        x, y = (x + int(n), y) if kind == "h" else (x, y + int(n))
    return tiles


def test_the_outline_of_a_rectangle():
    labels = np.zeros((6, 8), int)
    labels[2:4, 3:6] = 1
    assert pieces(outline_path(labels)) == {("h", 3, 2, 3), ("h", 3, 4, 3), ("v", 3, 2, 2), ("v", 6, 2, 2)}


def test_touching_objects_are_divided_and_the_border_is_not_drawn():
    labels = np.repeat([[1, 1, 2, 2]], 3, axis=0)
    assert pieces(outline_path(labels)) == {("v", 2, 0, 3)}
    assert outline_path(np.ones((3, 3), int)) == ""


@pytest.fixture
def slides_of(tmp_path):
    """Draw truth and a prediction that is moved by a voxel."""

    def draw(labels, classes, room, objects=10, image=None):
        truth, predicted = tmp_path / "t.tiff", tmp_path / "p.tiff"
        write_labels(truth, Volume(labels))
        write_labels(predicted, Volume(np.roll(labels, 1, 2)))
        images = {}
        if image is not None:
            images["c"] = tmp_path / "i.tiff"
            write_volume(images["c"], Volume(image))
        benchmark = Benchmark("d", {"m": [Pair("c", predicted, truth)]}, images, classes)
        drawn = []
        compare([benchmark], Tolerance(), lambda scored: drawn.append(case_slides(scored, room, objects, [])))
        return drawn[0]

    return draw


def test_every_slice_is_shown_where_there_is_room_and_a_thinned_set_where_not(slides_of, balls):
    slides = slides_of(balls, {}, 10**7)
    assert [s.index for s in slides.slides if s.plane == "xz"] == list(range(balls.shape[1]))
    assert slides.shown() == "all slices of all planes"
    few = slides_of(balls, {}, 8000)
    counts = [sum(s.plane == plane for s in few.slides) for plane in ("xy", "xz", "yz")]
    assert all(0 < count < depth for count, depth in zip(counts, balls.shape))
    assert (
        few.shown()
        == ", ".join(f"{n} of {depth} {plane}" for n, depth, plane in zip(counts, balls.shape, ("xy", "xz", "yz")))
        + " slices"
    )
    assert few.size < slides.size
    worst = max((s for s in slides.slides if s.plane == "xy"), key=lambda s: s.wrong["m"])
    assert worst.index in [s.index for s in few.slides if s.plane == "xy"]


def test_many_small_objects_take_no_more_room_than_there_is(slides_of):
    checkers = (np.indices((6, 64, 64)).sum(axis=0) % 2).astype(np.uint16)
    checkers[checkers > 0] = np.arange(1, checkers.sum() + 1)
    slides = slides_of(checkers, {}, 400_000, objects=0)
    assert 0 < slides.size <= 400_000
    assert {slide.plane for slide in slides.slides} == {"xy", "xz", "yz"}


def test_classes_have_outlines_of_their_own(slides_of, balls):
    classes = {1: "reticulation", 2: "honeycombing"}
    slides = slides_of(np.minimum(balls, 2), classes, 10**7)
    assert slides.classes == ["reticulation", "honeycombing"]
    for slide in slides.slides:
        assert slide.plane != "xy" or slide.outlines["truth"].keys() == {
            name for value, name in classes.items() if (np.minimum(balls, 2)[slide.index] == value).any()
        }
    assert slides_of(balls, {}, 10**7).classes == ["objects"]


def test_objects_are_drawn_in_3d_beside_their_counterparts_the_worst_first(slides_of, balls):
    solids = slides_of(balls, {}, 10**7, objects=3).solids
    assert list(solids.whole) == ["truth", "m"]
    assert len(solids.objects) == 3
    assert all(pair.keys() == {"truth", "predicted"} for pair in solids.objects.values())
    assert all(uri.startswith("data:image/png;base64,") for pair in solids.objects.values() for uri in pair.values())
    assert slides_of(balls, {}, 8000, objects=0).solids.size == 0


@pytest.fixture
def wide():
    """Labels (3, 600, 700) of four small squares, one of them at a corner, none of which the moved ones fit."""
    labels = np.zeros((3, 600, 700), np.uint8)
    for number, (z, y, x) in enumerate([(0, 0, 0), (1, 300, 301), (1, 310, 350), (2, 500, 600)], 1):
        labels[z, y : y + 5, x : x + 1] = number
    return labels


def test_mistakes_in_a_thinned_slice_are_shown_voxel_by_voxel(slides_of, wide):
    image = np.zeros(wide.shape, np.uint8)
    image[1] = 255
    image[1, 300:310, 300:310] = 0
    slides = slides_of(wide, {}, 10**7, image=image)
    close_ups = {(slide.index, part.x, part.y): part for slide in slides.slides for part in slide.close_ups}
    # Those of slice 1 lie in one; two voxels are a pixel, and the third slice's square is not in the thinned one.
    assert list(close_ups) == [(0, 0, 0), (1, 174, 174), (2, 444, 344)]
    assert {(part.width, part.height) for part in close_ups.values()} == {(256, 256)}
    outline = pieces(close_ups[1, 174, 174].outlines["truth"]["objects"])
    assert {("h", 301 - 174, 300 - 174, 1), ("h", 301 - 174, 305 - 174, 1)} <= outline
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(close_ups[1, 174, 174].image.partition(",")[2]))))
    assert (shown[300 - 174 : 310 - 174, 300 - 174 : 310 - 174] < 60).all()
    assert (shown[320 - 174 :] > 200).all()
    assert slides.shown() == (
        "all slices of all planes, one pixel for 2 x 2 voxels (image: their mean; labels: the first of them); 3 "
        "close-ups, around mistakes, show every voxel"
    )


def test_close_ups_take_a_part_of_the_room_and_the_largest_mistakes_come_first(slides_of, wide):
    wide[2, 400:440, 600] = 4  # 90 voxels are wrong, 10 of each of the others
    slides = slides_of(wide, {}, 30_000, objects=0)
    assert [(slide.index, part.y) for slide in slides.slides for part in slide.close_ups] == [(2, 301)]
    assert slides.size <= 30_000
    assert slides.shown().endswith("; 1 close-up, around a mistake, shows every voxel")


def test_a_slice_that_is_not_thinned_has_no_close_ups(slides_of, wide):
    assert not any(slide.close_ups for slide in slides_of(wide[:, :500, :512], {}, 10**7).slides)
