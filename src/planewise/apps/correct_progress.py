"""The items of a work list: which ones the journals record as finished, and which one the window shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from planewise.correction.journal import JOURNAL, corrections_folder, finished_items, live, read_journal
from planewise.correction.session import Corrections
from planewise.correction.worklist import Item
from planewise.errors import PlanewiseError
from planewise.progress import counted


def states_of(items: Sequence[Item], volumes: Mapping[str, Path]) -> dict[str, str]:
    """Return "done" or "skip" for each item that the journals record as such."""
    states: dict[str, str] = {}
    for case, path in volumes.items():
        journal = corrections_folder(path) / JOURNAL
        if journal.is_file():
            finished = finished_items(live(read_journal(journal)[1]))
            states |= {item.name: finished[item.name] for item in items if item.case == case and item.name in finished}
    return states


class WorkList:
    """The ``items``, in their ``volumes``; ``shown`` is the index of the one in the window, or -1."""

    def __init__(self, items: Sequence[Item], volumes: Mapping[str, Path]) -> None:
        self.items, self.volumes, self.shown = list(items), dict(volumes), -1

    @property
    def item(self) -> Item | None:
        """The item that is shown."""
        return self.items[self.shown] if 0 <= self.shown < len(self.items) else None

    def choose(self, place: int) -> Item:
        """Return the item at an index, and make it the shown one. Raises PlanewiseError if there is none."""
        if not 0 <= place < len(self.items):
            raise PlanewiseError("there is no further item" if self.items else "there is no work list")
        self.shown = place
        return self.items[place]

    def states(self, case: str, corrections: Corrections | None) -> dict[str, dict[str, str]]:
        """Return the states of the finished items of each case; those of the open ``case`` from its ``corrections``."""
        states = {}
        for name in {item.case for item in self.items}:
            if name == case and corrections is not None:
                states[name] = corrections.finished()
            else:
                of_case = [item for item in self.items if item.case == name]
                states[name] = states_of(of_case, {name: self.volumes[name]})
        return states

    def next_to_do(self, case: str, corrections: Corrections | None) -> int | None:
        """Return the index of the next unfinished item after the shown one, else of the first one; None if none is
        left."""
        states = self.states(case, corrections)
        left = [i for i, item in enumerate(self.items) if item.name not in states[item.case]]
        later = [i for i in left if i > self.shown]
        return (later or left)[0] if left else None

    def text(self, case: str, corrections: Corrections) -> str:
        """Return the panel's text about the shown item or, without one, about the case."""
        if (item := self.item) is None:
            return f"{case}: {counted(len(corrections.objects), 'object')}"
        states = self.states(case, corrections)
        done = sum(other.name in states[other.case] for other in self.items)
        state = {"done": " (done)", "skip": " (left out)"}.get(states[item.case].get(item.name, ""), "")
        return f"Item {self.shown + 1} of {len(self.items)}, {done} finished: {item.name}{state}\n{item.what}"
