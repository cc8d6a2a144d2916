"""What has changed since files were derived, in the words of who gave the inputs and the options."""

from collections.abc import Iterable
from typing import NamedTuple

from planewise.data.changed_option import changed_option
from planewise.data.manifest import CaseRecord

NAMED = 3  # cases in a sentence
OPTION = "--"  # begins the names of options on the command line, whose values people know


class Input(NamedTuple):
    """What a file is that something is derived from, such as "the prediction", and of which case."""

    what: str
    case: str


def changes(before: CaseRecord, now: CaseRecord) -> str:
    """Return what differs between the records of two derivations, in plain words; "" if nothing does.

    ``decided`` holds the ``options`` by the names that people know, and the ``files``: see ``Input``.
    """
    if "files" not in before.decided:
        return "an older planewise made it"
    old, new = before.decided.get("options", {}), now.decided["options"]
    both = sorted(old.keys() & new.keys())
    changed = [
        changed_option(name, old[name], new[name]) if name.startswith(OPTION) else name
        for name in both
        if old[name] != new[name]
    ]
    if old.keys() != new.keys():
        changed.append("which datasets or classes are scored")
    changed += _files(before, now)
    if not changed and before.inputs != now.inputs:
        changed.append("which files are read")
    return "; ".join(changed)


def _files(before: CaseRecord, now: CaseRecord) -> list[str]:
    """Return which inputs have changed, appeared, gone or moved, each kind with its cases."""
    old, new = _by_input(before), _by_input(now)
    both = old.keys() & new.keys()
    edited = [each for each in both if sorted(old[each].values()) != sorted(new[each].values())]
    moved = [each for each in both if each not in edited and old[each] != new[each]]
    return [
        *_named(edited, ""),
        *_named(new.keys() - both, ", not there before"),
        *_named(old.keys() - both, ", no longer there"),
        *_named(moved, ", by another path"),
    ]


def _by_input(record: CaseRecord) -> dict[Input, dict[str, str]]:
    """Return the fingerprints of each input's files by path; several classes of a case may have a file each."""
    files = record.decided["files"]
    by_input: dict[Input, dict[str, str]] = {}
    for path, made in record.inputs.items():
        if path in files:
            by_input.setdefault(Input(*files[path]), {})[path] = made
    return by_input


def _named(inputs: Iterable[Input], how: str) -> list[str]:
    cases: dict[str, list[str]] = {}
    for what, case in sorted(inputs):
        cases.setdefault(what, []).append(case)
    return [f"{what} of {', '.join(of) if len(of) <= NAMED else f'{len(of)} cases'}{how}" for what, of in cases.items()]
