"""correct: go through a result item by item, in a window or with a CSV; actions are journalled and can be undone."""

from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from planewise.apps.correct_items import audit_of, audit_plan_in, images_of, items_of, items_of_plan, volumes_of
from planewise.apps.correct_options import Correct
from planewise.apps.correct_progress import states_of
from planewise.audit.items import mark_done
from planewise.audit.plan import read_plan
from planewise.correction.action_table import Step, read_steps
from planewise.correction.actions import Segment
from planewise.correction.drawing import Drawing
from planewise.correction.journal import (
    JOURNAL,
    actions_text,
    classes_behind_note,
    corrections_folder,
    live,
    read_journal,
)
from planewise.correction.session import Corrections
from planewise.correction.worklist import Item
from planewise.data.panoptic import CLASSES
from planewise.errors import PlanewiseError, Problem
from planewise.progress import counted, progress, say, warn
from planewise.report.tables import report_problems
from planewise.viewing.screen import has_screen, needs_no_screen
from planewise.volumes.formats.dicom import Series

ANSWER = {"done": "yes", "skip": "no"}  # by the state of an audit's item


def correct_result(options: Correct) -> int:
    """Correct label volumes. Returns the exit code: 1 if an action of the CSV could not be applied.

    Raises PlanewiseError, before anything is changed, for options, volumes or lists that cannot be used.
    """
    asked = [name for name in ("actions", "undo", "replay") if getattr(options, name)]
    if len(asked) > 1:
        raise PlanewiseError(f"--{' and --'.join(asked)}: one at a time")
    plan = audit_plan_in(options.result)
    volumes = volumes_of(options.result, plan)
    items = items_of(options, volumes, plan)
    audit = audit_of(options.result)
    before = {} if audit is None else _states_in(audit)
    problems: list[Problem] = []
    try:
        if options.actions is not None:
            problems = _take(options, options.actions, volumes, images_of(options, volumes, plan), items)
        elif options.undo is not None:
            _undo(volumes, options.undo)
        elif options.replay:
            _replay(volumes)
        else:
            _refuse_without_a_screen()
            from planewise.apps.correct_window import correct_in_window

            correct_in_window(volumes, images_of(options, volumes, plan), items, options.channel, options.model)
    finally:
        if audit is not None:  # what the table says of other items stays
            states = _states_in(audit)
            marks = {name: ANSWER.get(states.get(name, ""), "") for name in [*before, *states]}
            mark_done(audit, read_plan(audit), marks)
    _say_state(volumes, items)
    return report_problems(problems)


def _refuse_without_a_screen() -> None:
    if find_spec("napari") is None:
        raise PlanewiseError(
            "the window needs napari: pip install 'planewise[napari]'; without it give --actions, a CSV of what to do"
        )
    if not has_screen() and not needs_no_screen():
        raise PlanewiseError(
            "the window needs a screen, and there is none (DISPLAY is not set): log in with ssh -X, or give --actions, "
            "a CSV of what to do"
        )


def _states_in(audit: Path) -> dict[str, str]:
    """Return "done" or "skip" for each item of an audit whose journal says so."""
    plan = read_plan(audit)
    return states_of(items_of_plan(plan), volumes_of(audit, plan))


def _take(
    options: Correct, path: Path, volumes: dict[str, Path], images: dict[str, Path | Series], items: list[Item]
) -> list[Problem]:
    """Do the steps of a CSV, case by case; after a step that cannot be applied, the case's later steps are not done."""
    steps = read_steps(path)
    if unknown := sorted({step.case for step in steps} - volumes.keys()):
        raise PlanewiseError(f"{path}: case {unknown[0]!r} is not among {', '.join(volumes)}; nothing was done")
    names = {item.name for item in items}
    if names and (wrong := [step for step in steps if step.item and step.item not in names]):
        raise PlanewiseError(
            f"{path}: line {wrong[0].line}: item {wrong[0].item!r} is not in the work list; nothing was done"
        )
    problems: list[Problem] = []
    with progress("correcting", len(steps), unit="actions") as advance:
        for case in dict.fromkeys(step.case for step in steps):
            of_case = [step for step in steps if step.case == case]
            try:
                with Corrections(volumes[case]) as corrections:
                    segmented = _Segmented(corrections, images.get(case), options)
                    problems += _take_of_case(path, of_case, corrections, segmented, advance)
            except PlanewiseError as error:
                problems.append(Problem.of(volumes[case], error))
    return problems


class _Segmented:
    """Turns what is drawn in a case into actions; the model is loaded only when something is drawn."""

    def __init__(self, corrections: Corrections, image: Path | Series | None, options: Correct) -> None:
        self.corrections, self.image, self.options = corrections, image, options

    @cached_property
    def segmenter(self) -> Callable[[Drawing], Segment]:
        from planewise.apps.correct_segment import ClassSegmenter

        return ClassSegmenter(self.corrections, self.image, self.options.model, self.options.channel)

    def __call__(self, drawing: Drawing) -> Segment:
        return self.segmenter(drawing)


def _take_of_case(
    path: Path,
    steps: list[Step],
    corrections: Corrections,
    segmented: Callable[[Drawing], Segment],
    advance: Callable[..., None],
) -> list[Problem]:
    for number, step in enumerate(steps):
        try:
            step.take(corrections, segmented)
        except PlanewiseError as error:
            left = len(steps) - number - 1
            rows = f"row of case {step.case} after it was" if left == 1 else f"rows of case {step.case} after it were"
            then = f"; the {left} {rows} not done" if left else ""
            return [Problem(f"{path}, line {step.line}", f"{error}{then}")]
        advance(1, step.case)
    return []


def _undo(volumes: dict[str, Path], count: int) -> None:
    if len(volumes) > 1:
        raise PlanewiseError(f"--undo {count}: there are {len(volumes)} cases; name the label volume of one")
    path = next(iter(volumes.values()))
    if not (corrections_folder(path) / JOURNAL).is_file():
        raise PlanewiseError(f"--undo {count}: {path} was never corrected")
    with Corrections(path) as corrections:
        for entry in corrections.undo(count):
            say(f"Undone: {entry}")


def _replay(volumes: dict[str, Path]) -> None:
    corrected = [path for path in volumes.values() if (corrections_folder(path) / JOURNAL).is_file()]
    if not corrected:
        raise PlanewiseError(f"--replay: none of {', '.join(map(str, volumes.values()))} was ever corrected")
    for path in corrected:
        with Corrections(path) as corrections:
            corrections.replay()
            say(f"{path}: made again from the original and {actions_text(corrections.actions)}")


def _say_state(volumes: dict[str, Path], items: list[Item]) -> None:
    for path in volumes.values():
        journal = corrections_folder(path) / JOURNAL
        if journal.is_file():
            held = live(read_journal(journal)[1])
            changes = sum(1 for entry in held if entry.kept)
            confirmed = sum(1 for entry in held if entry.action == "confirm")
            plural = ["" if number == 1 else "s" for number in (changes, confirmed)]
            say(f"{path}: {changes} correction{plural[0]}, {confirmed} confirmation{plural[1]} ({journal})")
            classes = path.parent / CLASSES / path.name
            if classes.exists() and (note := classes_behind_note(path, classes)):
                warn(note)
    if items:
        states = states_of(items, volumes)
        left = [item for item in items if item.name not in states]
        skipped = sum(state == "skip" for state in states.values())
        after = f"; next: {left[0].name} ({left[0].what})" if left else ""
        count = counted(len(items), "item")
        say(f"{count}: {len(states) - skipped} done, {skipped} left out, {len(left)} to do{after}")
