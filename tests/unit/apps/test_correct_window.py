"""The panel in napari: its buttons do what the same actions do without it. Off the screen, with napari's own model."""

import os
from importlib.resources import files

import numpy as np
import pytest

from planewise.correction.session import Corrections
from planewise.correction.worklist import Item
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.volume import Volume

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
CENTRES = {1: (12, 12, 12), 2: (28, 12, 40), 3: (14, 34, 14), 4: (26, 34, 42), 5: (20, 24, 28)}


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


@pytest.fixture(params=["tiff", "ome.zarr"])
def result(tmp_path, balls, request):
    path = tmp_path / f"cells.{request.param}"
    write_volume(path, Volume(balls.astype(np.uint16), (2.0, 1.0, 1.0), "nm"))
    return path


@pytest.fixture
def widget(application, result, tmp_path, balls):
    image = tmp_path / "image.tiff"
    write_volume(image, Volume((balls * 20).astype(np.uint8)))
    items = [Item(f"object {label}", "cells", "look", (label,), place) for label, place in CENTRES.items()]
    made = open_window({"cells": result}, {"cells": image}, items)
    yield made
    made.close_case()
    made.deleteLater()


def press(widget, name):
    widget.message.setText("")
    widget.buttons[name].click()
    return widget.message.text()


def shown(widget):
    return np.asarray(widget.layers.labels.data)


def test_objects_in_em_have_no_controls_for_classes_in_ct(widget):
    assert all(control.isHidden() for control in widget.of_classes)
    assert not widget.buttons["Split"].isHidden()
    assert tuple(widget.layers.labels.axis_labels) == ("z", "y", "x")


def test_the_picture_of_the_documentation_shows_the_first_item_chosen(widget):
    from windows import choose_first_item

    choose_first_item(widget)
    assert widget.chosen.text() == "Chosen: 1"


def test_each_button_is_its_action(widget, result, balls):
    widget.click(CENTRES[1])
    widget.click(CENTRES[3])
    assert widget.chosen.text() == "Chosen: 1, 3"
    assert press(widget, "Merge") == "Done: 1 merge 1 3"
    assert shown(widget)[CENTRES[3]] == 1
    widget.click((24, 34, 38))
    widget.click((28, 34, 46))
    assert press(widget, "Split").startswith("Done: 2 split")
    assert {int(shown(widget)[place]) for place in ((24, 34, 38), (28, 34, 46))} == {4, 6}
    widget.click(CENTRES[2])
    assert press(widget, "Delete") == "Done: 3 delete 2"
    assert press(widget, "Undo") == "Undone: 3 delete 2"
    assert (shown(widget) == 2).sum() == (balls == 2).sum()
    assert press(widget, "This is right") == "Done: 5 confirm 1"  # the object of the item
    widget.close_case()
    now = open_volume(result).read()
    assert (now == 1).sum() == np.isin(balls, (1, 3)).sum()
    with Corrections(result) as corrections:
        assert [entry.item for entry in corrections.actions] == ["object 1"] * 3


def test_what_is_painted_becomes_an_action(widget, result):
    def paint():
        widget.layers.painted.data[0:2, 40:44, 1:4] = 1  # as the brush does

    paint()
    assert "Done: 1 paint" in press(widget, "Paint new object")
    assert not np.asarray(widget.layers.painted.data).any()
    assert (shown(widget)[0:2, 40:44, 1:4] == 6).all()
    assert (shown(widget) == 6).sum() == 2 * 4 * 3
    paint()
    widget.click(CENTRES[1])
    press(widget, "Paint onto object")
    assert (shown(widget)[0:2, 40:44, 1:4] == 1).all()
    paint()
    press(widget, "Erase painted")
    assert not shown(widget)[0:2, 40:44, 1:4].any()
    assert "paint in the layer" in press(widget, "Erase painted")


def test_it_goes_through_the_items_and_on_where_one_stopped(application, widget, result):
    assert widget.about.text().startswith("Item 1 of 5, 0 finished: object 1")
    assert tuple(widget.viewer.dims.point) == (24.0, 12.0, 12.0)  # in nm
    press(widget, "Item done, next")
    press(widget, "Leave item out, next")
    assert widget.about.text().startswith("Item 3 of 5, 2 finished: object 3")
    press(widget, "Previous item")
    assert "object 2 (left out)" in widget.about.text()
    items = widget.worklist.items
    widget.close_case()
    again = open_window({"cells": result}, {}, items)
    assert again.worklist.item.name == "object 3"
    for _ in range(3):
        press(again, "Item done, next")
    assert again.message.text() == "All items are finished."
    again.close_case()


@pytest.mark.parametrize(
    ("clicks", "button", "printed"),
    [
        ([], "Delete", "click on an object first"),
        ([CENTRES[1]], "Merge", "click on two places first"),
        ([CENTRES[1], (0, 0, 0)], "Merge", "click on two places first"),
        ([CENTRES[1], CENTRES[2]], "Split", "click on one object"),
        ([], "Undo", "0 actions can be undone"),
    ],
)
def test_what_does_not_fit_is_said_in_the_panel(widget, clicks, button, printed):
    for place in clicks:
        widget.click(place)
    assert printed in press(widget, button)


def test_from_napari_s_menu_it_corrects_the_selected_layer(application, result):
    widget = open_window()
    assert "no labels are open" in press(widget, "Undo")
    assert "select a layer" in press(widget, "Correct selected layer")


def test_the_manifest_is_one_of_npe2(application):
    npe2 = pytest.importorskip("npe2", reason="npe2, which checks the plugin's manifest, is not installed")
    manifest = npe2.PluginManifest.from_file(files("planewise") / "napari.yaml")
    assert manifest.contributions.commands[0].exec is not None
    [command] = manifest.contributions.commands
    assert command.python_name == "planewise.apps.correct_window:CorrectionWidget"
    assert manifest.contributions.widgets[0].command == command.id
    manifest.validate_imports()


def test_an_image_that_lies_elsewhere_is_shown_but_not_in_silence(application, result, tmp_path, balls, capsys):
    image = tmp_path / "half.tiff"
    write_volume(image, Volume(balls[::2].astype(np.uint8)))
    made = open_window({"cells": result}, {"cells": image})
    made.close_case()
    made.deleteLater()
    assert f"WARNING: {image}: differs in geometry from {result} (shape (40, 48, 56) and" in capsys.readouterr().err
