"""A CSV of actions, which are applied to cases in the order of its rows.

::

    case,action,arguments,item
    a,merge,3 7 9,                    ids; the first stays
    a,split,5  10 20 30  12 40 60,    id, and a point z y x in each part
    a,delete,4 11,
    a,paint,6 ball 10 20 30 5,        label (0 is background), a ball: its centre z y x, its radius in voxels along x
    a,paint,0 box 0 4 10 20 10 20,    a half-open box: z z y y x x
    a,paint,2 object 7,               in classes/: class 2 for all voxels of object 7 in the volume of objects
    a,new,ball 10 20 30 5,            an object that was missed, drawn as a ball or a box
    a,segment,2 box 40 41 9 30 9 30,  class, and box in one slice; the model that made the result makes the mask.
                                      Optional: points "in 40 12 12", "out 40 11 29"; in place of the box a line along
                                      the object, "line 40 12 12 40 20 20"; "through" at the end, to follow the object
                                      through the slices above and below
    a,confirm,3 5,                    objects that are right; "box 0 4 10 20 10 20": all voxels in the box are right
    a,done,,a: merge 7                this item of the work list is finished; skip: it is left out
    a,undo,2,                         the last two actions of the case
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from planewise.correction.actions import AnyAction, read_action
from planewise.correction.drawing import Drawing, box_of, drawing_of
from planewise.correction.journal import STATES
from planewise.correction.session import Corrections
from planewise.correction.whole_object import WholeObject
from planewise.data.spreadsheet import read_table
from planewise.errors import PlanewiseError

COLUMNS = ("case", "action", "arguments")
FORMS = {
    "merge": "merge: two ids or more",
    "split": "split: an id, and two points z y x",
    "delete": "delete: ids",
    "paint": "paint: a label, and ball Z Y X RADIUS or box Z Z Y Y X X; of a volume in classes/ also object ID",
    "new": "new: ball Z Y X RADIUS, or box Z Z Y Y X X",
    "segment": (
        "segment: a class, and box Z Z Y Y X X or line Z Y X Z Y X ...; optional: in Z Y X ..., out Z Y X ..., through"
    ),
    "confirm": "confirm: ids, or box Z Z Y Y X X",
    "done": "done: no arguments, and an item",
    "skip": "skip: no arguments, and an item",
    "undo": "undo: how many actions, or nothing for one",
}


@dataclass(frozen=True)
class Step:
    """A row: an action of a case, a drawing for a model, an object that gets a class, an item's state ("done",
    "skip"), or how many actions are undone.
    """

    line: int
    case: str
    step: AnyAction | Drawing | WholeObject | str | int
    item: str = ""

    def take(self, corrections: Corrections, segmented: Callable[[Drawing], AnyAction]) -> None:
        """Do what the row says; ``segmented`` makes an action of a drawing.

        Raises PlanewiseError if it does not fit the labels.
        """
        if isinstance(self.step, str):
            corrections.finish_item(self.item, self.step)
        elif isinstance(self.step, int):
            corrections.undo(self.step)
        elif isinstance(self.step, Drawing):
            corrections.apply(segmented(self.step), self.item)
        elif isinstance(self.step, WholeObject):
            corrections.apply(self.step.painted(corrections.result), self.item)
        else:
            corrections.apply(self.step, self.item)


def read_steps(path: Path) -> list[Step]:
    """Read a CSV of actions. Raises PlanewiseError naming all invalid rows, or if there are no rows."""
    steps, wrong = [], []
    for line, row in enumerate(read_table(path, COLUMNS, f"it must be {','.join(COLUMNS)}, optionally with item"), 2):
        try:
            steps.append(_step(line, row))
        except PlanewiseError as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        raise PlanewiseError(f"{path}: nothing was done; {'; '.join(wrong[:6])}")
    if not steps:
        raise PlanewiseError(f"{path}: holds no action below its header; nothing was done")
    return steps


def _step(line: int, row: dict[str, str]) -> Step:
    action, words, item = row["action"].lower(), row["arguments"].split(), row.get("item", "")
    if action not in FORMS:
        raise PlanewiseError(f"action is {action!r}; it must be one of {', '.join(FORMS)}")
    try:
        if action in STATES:
            if words or not item:
                raise ValueError
            return Step(line, row["case"], action, item)
        if action == "undo":
            count = int(words[0]) if words else 1
            if len(words) > 1 or count < 1:
                raise ValueError
            return Step(line, row["case"], count, item)
        if action == "segment":
            return Step(line, row["case"], drawing_of(words), item)
        if action == "paint" and words[1:2] == ["object"]:
            value, _, label = words
            return Step(line, row["case"], WholeObject(value=int(value), object=int(label)), item)
        return Step(line, row["case"], read_action(_arguments(action, words)), item)
    except (ValueError, IndexError) as error:
        raise PlanewiseError(f"{' '.join(words) or 'no arguments'!r} does not fit; {FORMS[action]}") from error


def _arguments(action: str, words: list[str]) -> dict[str, object]:
    """Parse an action's arguments. Raises ValueError or IndexError if they do not fit."""
    if action == "split":
        label, *points = map(int, words)
        if len(points) != 6:
            raise ValueError
        return {"action": action, "label": label, "first": points[:3], "second": points[3:]}
    if action in ("paint", "new"):
        label_word, shape = ("new", words) if action == "new" else (words[0], words[1:])
        value = None if label_word == "new" else int(label_word)
        return {"action": "paint", "label": value, "where": _shape(shape)}
    if action == "confirm" and words and words[0] == "box":
        return {"action": action, "box": box_of([int(word) for word in words[1:]])}
    labels = [int(word) for word in words]
    if len(labels) < (2 if action == "merge" else 1):
        raise ValueError
    return {"action": action, "labels": labels}


def _shape(words: list[str]) -> dict[str, object]:
    if words[0] == "ball" and len(words) == 5:
        return {"centre": [int(word) for word in words[1:4]], "radius": float(words[4])}
    if words[0] == "box":
        return {"place": box_of([int(word) for word in words[1:]])}
    raise ValueError
