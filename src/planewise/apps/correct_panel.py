"""The panel of ``planewise correct``: lines of text, a button for each action, and the class that SAM2 segments."""

from collections.abc import Callable, Mapping, Sequence

from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QPushButton, QSpinBox, QWidget

from planewise.data.prepared import IGNORED
from planewise.errors import PlanewiseError

LARGEST_CLASS = IGNORED - 1
SEGMENT = "Segment drawn"  # the action that stands beside the class to segment

Action = tuple[str, str, Callable[[], None]]  # the text of a button, its tooltip, and the function it calls


class CorrectionPanel(QWidget):
    """``about``: what the item is; ``chosen``: the clicked objects; ``message``: what was done, or why it was not."""

    def __init__(self) -> None:
        super().__init__()
        self.about, self.chosen, self.message = QLabel(), QLabel(), QLabel()
        for label in (self.about, self.chosen, self.message):
            label.setWordWrap(True)
        self.class_to_segment, self.through = QSpinBox(), QCheckBox("through the slices above and below")
        self.class_to_segment.setRange(0, LARGEST_CLASS)
        self.class_to_segment.setValue(1)
        self.class_to_segment.valueChanged.connect(self._name_class)
        self.class_names: Mapping[int, str] = {}
        self.buttons: dict[str, QPushButton] = {}

    def lay_out(self, actions: Sequence[Action]) -> None:
        """Arrange the panel, with a button for each action."""
        layout = QGridLayout(self)
        layout.addWidget(self.about, 0, 0, 1, 2)
        layout.addWidget(self.chosen, 1, 0, 1, 2)
        for place, (name, what, work) in enumerate(actions):
            button = QPushButton(name)
            button.setToolTip(what)
            button.clicked.connect(lambda checked=False, work=work: self._guarded(work))
            layout.addWidget(button, 2 + place // 2, place % 2)
            self.buttons[name] = button
        below = 2 + -(-len(actions) // 2)
        class_words = QLabel("Class to segment (0: background)")
        layout.addWidget(class_words, below, 0)
        layout.addWidget(self.class_to_segment, below, 1)
        layout.addWidget(self.through, below + 1, 0, 1, 2)
        layout.addWidget(self.message, below + 2, 0, 1, 2)
        layout.setRowStretch(below + 3, 1)
        self.of_classes = (self.buttons[SEGMENT], class_words, self.class_to_segment, self.through)

    def show_classes(self, names: Mapping[int, str], visible: bool) -> None:
        """Set whether the widgets for segmenting classes are visible, and the names shown beside a class's number."""
        self.class_names = names
        for control in self.of_classes:
            control.setVisible(visible)
        self._name_class(self.class_to_segment.value())

    def _name_class(self, value: int) -> None:
        name = self.class_names.get(value, "")
        self.class_to_segment.setSuffix(f" {name}" if name else "")

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run a button's function; show its error, if any, as a message."""
        try:
            work()
        except PlanewiseError as error:
            self.message.setText(str(error))
