"""Score predictions, class by class."""

from planewise.apps.ild.options import IldEvaluate
from planewise.dataset import Problem, images_beside, read_label_names
from planewise.evaluation.classes import ClassOptions, class_names, evaluate_classes
from planewise.evaluation.comparison import TOLERANCES, Contest, Tolerance, compare
from planewise.evaluation.pairs import MISSING, OK, pair_files
from planewise.evaluation.provenance import read_prompts_note
from planewise.progress import say
from planewise.report.class_tables import print_class_means, write_class_results
from planewise.report.page import write_report
from planewise.report.tables import conclude


def evaluate_ild(options: IldEvaluate) -> int:
    """Score predictions, class by class. Returns the exit code; see ``prepare_ild`` for errors."""
    pairs = pair_files(options.predictions, options.truth)
    home = options.predictions if options.predictions.is_dir() else options.predictions.parent
    meta = options.dataset or options.truth.resolve().parent / "dataset.json"
    labels = read_label_names(meta) if meta.is_file() else {}
    names = class_names(labels, [pair.truth for pair in pairs if pair.truth])
    note = read_prompts_note(home)
    rows = evaluate_classes(pairs, ClassOptions(names, options.tolerance_mm))
    folder = options.output or home / "evaluation"
    write_class_results(rows, names, folder, note, options.tolerance_mm)
    print_class_means(rows, names, note)
    contest = Contest(
        options.truth.resolve().parent.name, {home.name: [pair for pair in pairs if pair.truth]},
        images_beside(options.truth), names, {home.name: f"boxes from {note}"},
    )  # fmt: skip
    tolerance = Tolerance(TOLERANCES | {"mm": options.tolerance_mm})
    say(f"The results are in {folder}, to look at: {write_report(compare([contest], tolerance), folder).page}")
    problems = [
        Problem(
            row["case"], "has no prediction: counted as found nothing" if row["status"] == MISSING else row["status"]
        )
        for row in rows
        if row["status"] != OK and row.get("class") in (None, next(iter(names), None))
    ]
    return conclude(problems)
