"""audit: draw a few items of a result at random; once corrected, they give its findings valid intervals."""

import shutil
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from planewise.apps.audit_inputs import (
    case_record,
    classes_of,
    conditions_of,
    confidence_of,
    files_of,
    kinds_of,
    length_of,
    open_case,
    seed_of,
    units_of,
)
from planewise.apps.audit_options import AuditPlan, AuditReport
from planewise.audit.design import share_out
from planewise.audit.drawing import Wanted, draw_case
from planewise.audit.findings import findings
from planewise.audit.items import ANSWERS, DRAWN, IMAGES, LABELS, WITHIN, read_items, variables_of, write_answers
from planewise.audit.page import write_audit
from planewise.audit.plan import PLAN, CaseRecord, Item, Plan, PopulationRecord, read_plan, write_plan
from planewise.audit.population import Classes, Kind
from planewise.correction.journal import correction_note
from planewise.data.manifest import MANIFEST, read_manifest
from planewise.data.preparation import fingerprint
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.errors import PlanewiseError, Problem
from planewise.progress import counted, progress, say, warn
from planewise.report.tables import report_problems

REPORT = "report"


def plan_audit(options: AuditPlan) -> int:
    """Draw and write the items. Returns the exit code, 0.

    Raises PlanewiseError, before anything is drawn, if a case cannot be used: a plan covers all cases or none.
    """
    _refuse_another_plan(options.output)
    files = files_of(options)
    inputs = [path for of_case in files.values() for path in of_case.values()]
    refuse_folder_of_inputs(inputs, options.output, "--output")
    units = units_of(options, list(files))
    conditions = conditions_of(options, units)
    kinds = kinds_of(options)
    shares = _shares(kinds, len(files), options.budget)
    fingerprints = _fingerprints(files)
    classes = classes_of(options, files)
    seed = seed_of(files) if options.seed is None else options.seed
    confidence = confidence_of(options, files)
    decisive = options.model_dump(mode="json", exclude={"output"})
    length = length_of(options, files)
    run = Run.begin(options.output / MANIFEST, "audit plan", decisive, None, ["plan"], overwrite=True)
    written = _folders_of_items(options, files)
    outputs = [*(options.output / name for name in (PLAN, ANSWERS)), *written]
    cases: list[CaseRecord] = []
    populations: list[PopulationRecord] = []
    items: list[Item] = []
    with run.making("plan", inputs, outputs), progress("drawing", options.budget, unit="items") as advance:
        for stopped in written:  # files of a plan that was not finished
            shutil.rmtree(stopped, ignore_errors=True)
        for place, (name, of_case) in enumerate(files.items()):
            source = open_case(of_case, options)
            case = case_record(name, of_case, fingerprints[name], units[name], conditions.get(name, ""), source, length)
            of_kinds = {kind: share[place] for kind, share in shares.items()}
            sides = options.box, options.context
            wanted = Wanted(of_kinds, classes, seed, options.design, *sides, confidence.get(name))
            drawn = draw_case(options.output, case, source, wanted, len(items) + 1, advance)
            cases.append(drawn[0])
            populations += drawn[1]
            items += drawn[2]
        if "slice" in kinds:
            _warn_of_absent_classes(classes, populations)
        plan = Plan(
            datetime.now(UTC).isoformat(timespec="seconds"),
            version("planewise"),
            seed,
            options.design,
            list(options.quantity),
            list(dict.fromkeys(conditions.values())),
            {name: None if v is None else list(v) for name, v in classes.items()},
            cases,
            populations,
            items,
        )
        write_answers(options.output, items, variables_of(items))
        write_plan(plan, options.output)
    _say_what_to_do(plan, options.output)
    return 0


def _refuse_another_plan(folder: Path) -> None:
    before = read_manifest(folder / MANIFEST)
    finished = before is not None and any(all(case.outputs.values()) for case in before.cases.values())
    if finished or (folder / PLAN).exists():
        raise PlanewiseError(f"--output {folder}: holds a plan, which is never replaced; give another folder")


def _shares(kinds: dict[Kind, int], cases: int, budget: int) -> dict[Kind, list[int]]:
    """Return the number of items of each kind for each case. Raises PlanewiseError if a case would have none."""
    shares = {kind: share_out(count, cases) for kind, count in kinds.items()}
    if any(min(share) < 1 for share in shares.values()):
        fewest = cases * len(kinds) if len(kinds) < 3 else 6 * cases
        raise PlanewiseError(
            f"--budget {budget}: is too small for {cases} cases and {' and '.join(kinds)} items; each case needs one "
            f"of each kind: give at least {fewest}"
        )
    return shares


def _fingerprints(files: dict[str, dict[str, Path]]) -> dict[str, dict[str, str]]:
    """Return the fingerprints of each case's files; print which masks have corrections beside them."""
    fingerprints = {}
    with progress("reading", len(files), unit="cases") as advance:
        for name, of_case in files.items():
            for note in filter(None, map(correction_note, of_case.values())):
                say(f"{note}: the audit is of the masks as they are now")
            fingerprints[name] = {what: fingerprint(path) for what, path in of_case.items()}
            advance(1, name)
    return fingerprints


def _folders_of_items(options: AuditPlan, files: dict[str, dict[str, Path]]) -> list[Path]:
    names = [DRAWN, LABELS]
    names += [IMAGES] if any("image" in of_case for of_case in files.values()) else []
    names += [WITHIN] if options.within is not None else []
    return [options.output / name for name in names]


def _warn_of_absent_classes(classes: Classes, populations: list[PopulationRecord]) -> None:
    """Print the classes that no slice of the masks has."""
    for name, values in classes.items():
        if not any(p.totals[name] for p in populations if p.kind == "slice"):
            numbers = "any value above 0" if values is None else f"the value {' or '.join(map(str, values))}"
            warn(f"{name}: no mask has {numbers}; if that is not intended, see --classes")


def _say_what_to_do(plan: Plan, folder: Path) -> None:
    of_cases = counted(len(plan.cases), "case")
    say(f"{len(plan.items)} items of {of_cases} were drawn with seed {plan.seed} into {folder}")
    say(f"The plan's signature is {plan.signature}: keep it where it cannot be changed, such as a laboratory notebook")
    say(
        f"Correct {folder / LABELS}, or fill in {folder / ANSWERS} (done = yes where the masks are right), then: "
        f"planewise audit report {folder}"
    )


def report_audit(options: AuditReport) -> int:
    """Write the report. Returns the exit code: 1 if an item could not be used.

    Raises PlanewiseError if the plan or its items were changed, or if no item was corrected.
    """
    plan = read_plan(options.plan)
    answers = options.answers or options.plan / ANSWERS
    with progress("reading", len(plan.items), unit="items") as advance:
        corrected, problems = read_items(plan, options.plan, answers, advance)
    if all(answer.skipped for answer in corrected):
        listed = "".join(f"\n  {problem.where}: {problem.what}" for problem in problems)
        raise PlanewiseError(
            f"{options.plan}: no item was corrected yet: correct its labels in {LABELS}, or fill in "
            f"{answers.name}{listed}"
        )
    for case in plan.cases:
        for what, path in case.files.items():
            if Path(path).exists() and fingerprint(Path(path)) != case.fingerprints[what]:
                problems.append(Problem(path, "has changed since the plan was drawn; the findings are of the old file"))
    folder = options.plan / REPORT
    run = Run.begin(folder / MANIFEST, "audit report", {"plan": plan.signature}, None, ["report"], overwrite=True)
    inputs = [options.plan / PLAN, answers, options.plan / LABELS]
    outputs = [folder / name for name in ("audit.html", "audit.json", "audit.csv")]
    with run.making("report", inputs, outputs):
        page = write_audit(plan, corrected, findings(plan, corrected), options.plan, folder)
    if skipped := [answer.item for answer in corrected if answer.skipped]:
        listed = ", ".join(_skipped(plan, options.plan, item) for item in skipped)
        say(f"Skipped items, whose every possible content the intervals cover: {listed}")
    if cut := [answer.item.name for answer in corrected if answer.notes]:
        say(f"Objects of items {', '.join(cut)} reach the edge of the context shown, and are counted as shown there")
    say(f"The report is {page}")
    return report_problems(problems)


def _skipped(plan: Plan, folder: Path, item: Item) -> str:
    path = folder / LABELS / f"{item.name}{plan.case(item.case).ending}"
    return item.name if path.exists() else f"{item.name} ({path} is missing)"
