"""The window of ``planewise correct``: what the buttons of the panel in napari do. Each button is one action.

Objects are chosen by clicks on them. Painting goes into a separate layer: labels change only by actions, which the
journal records.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari

from planewise.apps.correct_layers import CaseLayers, image_of
from planewise.apps.correct_panel import SEGMENT, Action, CorrectionPanel
from planewise.apps.correct_progress import WorkList
from planewise.correction.actions import AnyAction, Confirm, Delete, Merge, Paint, Split
from planewise.correction.session import Corrections
from planewise.correction.worklist import Item
from planewise.data.case import case_name
from planewise.errors import PlanewiseError
from planewise.progress import warn
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import same_space
from planewise.volumes.orientation import Place

if TYPE_CHECKING:  # it imports torch
    from planewise.apps.correct_segment import ClassSegmenter

EM_UNITS = ("nm", "um")


class CorrectionWidget(CorrectionPanel):
    """The panel with the actions of its buttons: it goes from item to item, and corrects their cases.

    Opened from napari's menu, without ``volumes``, it corrects the file of the selected layer.
    """

    def __init__(
        self,
        napari_viewer: "napari.Viewer",
        volumes: Mapping[str, Path] | None = None,
        images: Mapping[str, Path | Series] | None = None,
        items: Sequence[Item] = (),
        channel: int | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__()
        self.viewer, self.volumes, self.images = napari_viewer, dict(volumes or {}), dict(images or {})
        self.worklist, self.channel, self.model = WorkList(items, self.volumes), channel, model
        self.corrections: Corrections | None = None
        self.case = ""
        self.clicks: list[Place] = []
        self.beside: list[Place] = []  # points outside the drawn object, clicked with Shift
        self.segmenter: ClassSegmenter | None = None
        self.lay_out(self._actions())
        self.viewer.mouse_drag_callbacks.append(self._on_click)
        if self.worklist.items:
            self.go_to(self.worklist.next_to_do("", None) or 0)
        elif self.volumes:
            self.open_case(next(iter(self.volumes)))

    def _actions(self) -> list[Action]:
        return [
            ("Merge", "the clicked objects; the first keeps its id", self.merge),
            ("Split", "an object between the last two clicks, one click in each part", self.split),
            ("Delete", "the clicked objects", self.delete),
            ("This is right", "the clicked objects, or those of the item if none was clicked", self.confirm),
            ("Paint onto object", "the painted voxels become part of the object clicked last", self.paint_object),
            ("Paint new object", "the painted voxels become a new object", self.paint_new),
            ("Erase painted", "the painted voxels become background", self.erase),
            (SEGMENT, "SAM2 makes a mask of the last box or line in the layer 'draw'", self.segment),
            ("This slice is right", "everything that the slice shows, background too", self.confirm_slice),
            ("Undo", "the last action", self.undo),
            ("Forget clicks", "choose again", self.forget),
            ("Correct selected layer", "the file of the selected labels layer", self.open_selected),
            ("Item done, next", "the item is right now", self.done),
            ("Leave item out, next", "the item stays as it is, and does not count as right", self.skip),
            ("Previous item", "", lambda: self.go_to(self.worklist.shown - 1)),
            ("Next item", "", lambda: self.go_to(self.worklist.shown + 1)),
        ]

    # ---- actions

    def merge(self) -> None:
        self._apply(Merge(labels=tuple(self._two(self.labels_clicked()))))

    def split(self) -> None:
        first, second = self._two(self.clicks)[-2:]
        labels = [self._label_at(place) for place in (first, second)]
        if labels[0] != labels[1]:
            raise PlanewiseError(f"the last two clicks are on objects {labels[0]} and {labels[1]}; click on one object")
        self._apply(Split(label=labels[0], first=first, second=second))

    def delete(self) -> None:
        self._apply(Delete(labels=tuple(self._some())))

    def confirm(self) -> None:
        item = self.worklist.item
        there = [label for label in item.labels if label in self._open().objects] if item is not None else []
        self._apply(Confirm(labels=tuple(self.labels_clicked() or there or self._some())))

    def paint_object(self) -> None:
        self._paint(self._some()[-1])

    def paint_new(self) -> None:
        self._paint(None)

    def erase(self) -> None:
        self._paint(0)

    def segment(self) -> None:
        label, through = self.class_to_segment.value(), self.through.isChecked()
        drawing = self.layers.drawing(label, self.clicks, self.beside, through)
        if self.segmenter is None:
            from planewise.apps.correct_segment import ClassSegmenter

            self.segmenter = ClassSegmenter(self._open(), self.images.get(self.case), self.model, self.channel)
        self._apply(self.segmenter(drawing))
        self.layers.forget_drawn()

    def confirm_slice(self) -> None:
        self._open()
        self._apply(Confirm(box=self.layers.box_of_slice()))

    def undo(self) -> None:
        entry = self._open().undo()[0]
        self._after(f"Undone: {entry}")

    def done(self) -> None:
        self._finish("done")

    def skip(self) -> None:
        self._finish("skip")

    # ---- clicks

    def click(self, place: Place, beside: bool = False) -> None:
        """Choose the object at a voxel of the file, or note that the voxel is ``beside`` the drawn object."""
        (self.beside if beside else self.clicks).append(place)
        self._show_clicks()

    def forget(self) -> None:
        self.clicks.clear()
        self.beside.clear()
        self._show_clicks()

    def labels_clicked(self) -> list[int]:
        """Return the clicked objects, each once, in order."""
        return [label for label in dict.fromkeys(map(self._label_at, self.clicks)) if label]

    def _on_click(self, viewer: Any, event: Any) -> Any:
        if self.corrections is None or viewer.layers.selection.active is not self.layers.labels:
            return
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        place = self.layers.voxel_at(event.position)
        if not dragged and place is not None:
            self.click(place, beside="Shift" in event.modifiers)

    def _label_at(self, place: Place) -> int:
        z, y, x = ((at, at + 1) for at in place)
        return int(self._open().canvas.read((z, y, x))[0, 0, 0])

    def _some(self) -> list[int]:
        labels = self.labels_clicked()
        if not labels:
            raise PlanewiseError(f"click on an object first, with the layer {self.layers.labels.name!r} selected")
        return labels

    def _two(self, clicked: list[Any]) -> list[Any]:
        if len(clicked) < 2:
            raise PlanewiseError("click on two places first")
        return clicked

    def _show_clicks(self) -> None:
        self.layers.mark([*self.clicks, *self.beside])
        chosen = ", ".join(str(self._label_at(place) or "background") for place in self.clicks)
        self.chosen.setText(f"Chosen: {chosen}" if chosen else "Click on objects to choose them.")

    # ---- items and cases

    def go_to(self, number: int) -> None:
        """Show an item of the work list, and open its case."""
        item = self.worklist.choose(number)
        if item.case != self.case:
            self.open_case(item.case)
        self.layers.look_at(item.place)
        self._say_item()

    def open_case(self, case: str) -> None:
        """Open and show a case; the previous one is saved."""
        self.close_case()
        self.corrections = Corrections(self.volumes[case])
        self.case = case
        image = image_of(self.images[case], self.channel) if case in self.images else None
        different = "" if image is None else same_space(self.corrections.canvas.volume, image)
        if different:
            warn(
                f"{self.images[case]}: differs in geometry from {self.volumes[case]} ({different}); the "
                "window shows them voxel by voxel"
            )
        self.layers = CaseLayers(self.viewer, case, self.corrections, image)
        self.segmenter = None
        volume = self.corrections.canvas.volume
        names = {} if volume.labels is None else volume.labels.names
        # SAM2 makes masks of classes in CT; objects in EM are painted.
        self.show_classes(names, bool(names) or volume.unit not in EM_UNITS)
        self.viewer.canvas.overlays.scale_bar.visible = True
        middle = tuple(side // 2 for side in self.corrections.canvas.shape)
        self.layers.look_at((middle[0], middle[1], middle[2]))
        self._say_item()

    def open_selected(self) -> None:
        """Correct the file that the selected layer was read from."""
        layer = self.viewer.layers.selection.active
        path = None if layer is None else layer.source.path
        if path is None:
            raise PlanewiseError("select a layer that was opened from a label file")
        self.volumes[case_name(Path(path), labels=True)] = Path(path)
        layer.visible = False
        self.open_case(case_name(Path(path), labels=True))

    def close_case(self) -> None:
        """Save and close the case."""
        if self.corrections is not None:
            closing, self.corrections = self.corrections, None
            self.case, self.clicks, self.beside, self.class_names = "", [], [], {}
            try:
                closing.close()
            finally:  # with a full disk: the journal has the actions, and a closed case takes no more
                self.layers.remove()

    def _finish(self, state: str) -> None:
        if (item := self.worklist.item) is None:
            raise PlanewiseError("there is no work list")
        self._open().finish_item(item.name, state)
        self.forget()
        self._open().save()
        if (following := self.worklist.next_to_do(self.case, self.corrections)) is not None:
            self.go_to(following)
        else:
            self._say_item()
            self.message.setText("All items are finished.")

    def _say_item(self) -> None:
        self.about.setText(self.worklist.text(self.case, self._open()))

    # ---- how

    def _paint(self, label: int | None) -> None:
        self._apply(Paint(where=self.layers.painted_voxels(), label=label))
        self.layers.forget_painted()

    def _apply(self, action: AnyAction) -> None:
        item = self.worklist.item
        entry = self._open().apply(action, "" if item is None else item.name)
        self._after(f"Done: {entry}")

    def _after(self, what: str) -> None:
        self.layers.refresh()
        self.forget()
        self._say_item()
        self.message.setText(what)

    def _open(self) -> Corrections:
        if self.corrections is None:
            raise PlanewiseError("no labels are open; select a labels layer, and press Correct selected layer")
        return self.corrections

    def closeEvent(self, event: Any) -> None:
        self.close_case()
        super().closeEvent(event)


def correct_in_window(
    volumes: Mapping[str, Path],
    images: Mapping[str, Path | Series],
    items: Sequence[Item],
    channel: int | None,
    model: str | None,
) -> None:
    """Show the window until it is closed; corrections are saved."""
    viewer = napari.Viewer(title="planewise correct")
    widget = CorrectionWidget(viewer, volumes, images, items, channel, model)
    try:
        viewer.window.add_dock_widget(widget, name="planewise correct", area="right")
        napari.run()
    finally:
        widget.close_case()
