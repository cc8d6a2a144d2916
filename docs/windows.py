"""Picture the window of ``planewise correct``, with some actions done in it, by the program itself.

    xvfb-run -a python docs/windows.py RESULT PICTURE [--worklist LIST] [--segment TRUTH CLASS]

The first item's object is clicked on; with ``--segment`` a box is drawn instead around a class, as large as it is in
the slice of TRUTH that shows most of it, and the model segments what is in it. The actions stay in RESULT: give a copy.
"""

import argparse
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from napari.qt import get_qapp
from qtpy.QtCore import QTimer

from planewise import read_labels
from planewise.apps.correct import correct_result
from planewise.apps.correct_options import Correct
from planewise.apps.correct_window import CorrectionWidget
from planewise.volumes.geometry import to_canonical

SIZE = 1200, 850  # pixels
BESIDE = 2  # pixels between a class and the box that is drawn around it
WAIT = 3000  # milliseconds, for napari to draw


def choose_first_item(widget: CorrectionWidget) -> None:
    """Click on the object of the first item."""
    widget.click(widget.worklist.items[0].place)


def segment(widget: CorrectionWidget, truth: Path, label: int) -> None:
    """Draw a box around a class, and have the model segment it; the box is drawn again, for the picture."""
    voxels = to_canonical(read_labels(truth), labels=True).read() == label
    z = int(voxels.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(voxels[z])
    (y0, x0), (y1, x1) = (rows.min() - BESIDE, columns.min() - BESIDE), (rows.max() + BESIDE, columns.max() + BESIDE)
    box = np.array([[z, y0, x0], [z, y0, x1], [z, y1, x1], [z, y1, x0]], float)
    widget.viewer.dims.set_point(0, z * widget.layers.spacing[0])
    widget.class_to_segment.setValue(label)
    widget.layers.drawn.add_rectangles(box)
    widget.buttons["Segment drawn"].click()
    if not widget.message.text().startswith("Done"):
        raise RuntimeError(widget.message.text())
    widget.layers.drawn.add_rectangles(box)


def or_end(step: Callable[[], None]) -> Callable[[], None]:
    """Return a step that ends the program if it fails: napari would show the error in its window, and wait."""

    def run() -> None:
        try:
            step()
        except Exception:
            traceback.print_exc()
            os._exit(1)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--worklist")
    parser.add_argument("--segment", nargs=2, metavar=("TRUTH", "CLASS"))
    options = parser.parse_args()
    get_qapp()

    def act() -> None:
        viewer = napari.current_viewer()
        viewer.window.resize(*SIZE)
        widget = viewer.window.dock_widgets["planewise correct"]
        if options.segment is None:
            choose_first_item(widget)
        else:
            segment(widget, Path(options.segment[0]), int(options.segment[1]))
        viewer.reset_view()
        QTimer.singleShot(WAIT, or_end(picture))

    def picture() -> None:
        viewer = napari.current_viewer()
        viewer.screenshot(options.picture, canvas_only=False, flash=False)
        viewer.close()

    QTimer.singleShot(WAIT, or_end(act))
    raise SystemExit(correct_result(Correct(result=options.result, worklist=options.worklist)))


if __name__ == "__main__":
    main()
