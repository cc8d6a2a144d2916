"""The window on classes of a CT whose file runs otherwise than it is shown: clicks, paint, boxes, slices."""

import os

import numpy as np
import pytest

from planewise.correction.actions import Segment, Voxels
from planewise.correction.drawing import Drawing
from planewise.correction.session import Corrections
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.volume import Volume

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
DIRECTION = ((0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))  # axes x, -y, -z of the patient
BOX = ((4, 8), (5, 6), (7, 8))  # of class 1, in the file


@pytest.fixture(scope="module")
def application():
    """Qt's application; napari, which takes seconds to import, is imported only where these tests run."""
    why = "the window needs napari, which is not installed (planewise[napari])"
    pytest.importorskip("napari.components", reason=why)  # without the warnings of what napari is made of
    from qtpy.QtWidgets import QApplication

    return QApplication.instance() or QApplication([])


def open_window(*given):
    """Return the panel in napari's model of a viewer."""
    from napari.components import ViewerModel

    from planewise.apps.correct_window import CorrectionWidget

    return CorrectionWidget(ViewerModel(), *given)


@pytest.fixture
def widget(application, tmp_path):
    labels = np.zeros((10, 12, 14), np.uint8)
    labels[tuple(slice(*side) for side in BOX)] = 1
    write_volume(tmp_path / "ct.nii.gz", Volume(labels, (1.0, 2.0, 5.0), "mm", direction=DIRECTION))
    made = open_window({"ct": tmp_path / "ct.nii.gz"}, {"ct": tmp_path / "ct.nii.gz"})
    yield made
    made.close_case()
    made.deleteLater()


def press(widget, name):
    widget.buttons[name].click()
    return widget.message.text()


def test_classes_in_ct_have_their_controls(widget):
    assert not any(control.isHidden() for control in widget.of_classes)


def test_it_is_shown_upright_and_clicks_are_of_the_file(widget, tmp_path):
    shown = np.asarray(widget.layers.labels.data)
    np.testing.assert_array_equal(shown, to_canonical(open_volume(tmp_path / "ct.nii.gz")).read())
    assert shown.shape == (14, 12, 10)
    assert tuple(widget.layers.labels.scale) == (5.0, 2.0, 1.0)
    at = tuple(np.argwhere(shown == 1)[0])
    assert widget.layers.voxel_at(np.array(at) * (5.0, 2.0, 1.0)) in {(x, 5, 7) for x in range(4, 8)}
    assert widget.layers.voxel_at((-50.0, 0.0, 0.0)) is None
    widget.layers.look_at((4, 5, 7))
    assert widget.layers.slice == 13 - 7
    widget.click((4, 5, 7))
    assert widget.chosen.text() == "Chosen: 1"
    assert shown[tuple(np.asarray(widget.layers.marks.data[0], int))] == 1


def test_what_is_painted_lies_where_it_was_painted_and_is_undone(widget, tmp_path):
    before = (tmp_path / "ct.nii.gz").read_bytes()
    widget.layers.painted.data[2, 3:5, 4:9] = 1
    assert "Done: 1 paint" in press(widget, "Paint new object")
    shown = np.asarray(widget.layers.labels.data)
    assert (shown[2, 3:5, 4:9] == 2).all()
    assert (shown == 2).sum() == 10
    assert (np.asarray(widget.corrections.canvas.voxels)[4:9, 7:9, 11] == 2).all()  # x as it is, y and z backwards
    press(widget, "Undo")
    assert not (np.asarray(widget.layers.labels.data) == 2).any()
    widget.close_case()
    assert (tmp_path / "ct.nii.gz").read_bytes() == before


def test_the_slice_that_is_shown_is_confirmed(widget):
    widget.layers.look_at((0, 0, 3))
    assert "confirm" in press(widget, "This slice is right")
    [entry] = widget.corrections.actions
    assert [list(side) for side in entry.arguments["box"]] == [[0, 10], [0, 12], [3, 4]]


@pytest.mark.slow
def test_a_rectangle_and_a_line_are_drawn_for_the_model(widget):
    """The model is another test's matter: here it answers with the box itself."""
    drawings = []

    def segmenter(drawing):
        drawings.append(drawing)
        (a, b), (c, d), (e, f) = drawing.box
        where = Voxels.of(np.ones((b - a, d - c, f - e), bool), (a, c, e))
        return Segment(label=drawing.label, where=where, drawn=drawing, model="none")

    assert "draw a rectangle" in press(widget, "Segment drawn")
    widget.segmenter = segmenter
    widget.class_to_segment.setValue(3)
    widget.layers.drawn.add_rectangles(np.array([[6, 1, 2], [6, 1, 4], [6, 3, 4], [6, 3, 2]], float))
    widget.click((3, 9, 7))
    widget.click((3, 9, 2))  # in another slice
    widget.click((2, 10, 7), beside=True)
    assert "Done: 1 segment" in press(widget, "Segment drawn")
    box = ((2, 5), (8, 11), (7, 8))
    assert drawings == [Drawing(label=3, box=box, inside=((3, 9, 7),), outside=((2, 10, 7),))]
    assert (np.asarray(widget.layers.labels.data)[6, 1:4, 2:5] == 3).all()
    assert len(widget.layers.drawn.data) == 0
    assert widget.beside == []
    widget.layers.drawn.add_paths(np.array([[6, 1, 2], [6, 3, 4]], float))
    widget.through.setChecked(True)
    drawing = widget.layers.drawing(2, [], [], widget.through.isChecked())
    assert drawing == Drawing(label=2, line=((2, 10, 7), (4, 8, 7)), through=True)


def test_without_a_model_it_is_said(widget):
    widget.layers.drawn.add_rectangles(np.array([[6, 1, 2], [6, 1, 4], [6, 3, 4], [6, 3, 2]], float))
    assert "no planewise.json that says which model made it; give --model" in press(widget, "Segment drawn")


def test_the_corrected_file_is_as_it_lay(widget, tmp_path):
    widget.layers.painted.data[2, 3:5, 4:9] = 1
    press(widget, "Paint new object")
    widget.close_case()
    after = open_volume(tmp_path / "ct.nii.gz")
    np.testing.assert_allclose(after.direction, DIRECTION)
    with Corrections(tmp_path / "ct.nii.gz") as corrections:
        assert len(corrections.actions) == 1
