"""All cases of mito measure together: tables, pictures, the comparison of conditions, and the printed summary."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from planewise.apps.mito.label_options import MitoMeasure
from planewise.data.manifest import edited_outputs
from planewise.data.run import Run
from planewise.errors import PlanewiseError, Problem
from planewise.measurement.columns import DISTRIBUTED
from planewise.measurement.groups import Comparison, Member, compare_conditions, refuse_too_few
from planewise.measurement.plots import animals_picture, distributions_picture
from planewise.measurement.tables import (
    animal_rows,
    class_contact_rows,
    comparison_rows,
    contact_rows,
    distribution_rows,
    document,
    name_of,
    object_rows,
    volume_rows,
    write_csv,
)
from planewise.measurement.volume_measures import Measured
from planewise.progress import say
from planewise.report.tables import print_table
from planewise.volumes.json_files import write_json

CASES = "cases"  # the folder with the results of each case
TOGETHER = "all cases together"  # the case of the manifest that stands for all of them
COMPARED_VOLUMES = ("number_density", "volume_fraction")


@dataclass(frozen=True)
class _Conditions:
    """The members of the conditions, their values by measure and case, and the comparisons; all empty by default."""

    members: list[Member] = field(default_factory=list)
    measures: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)


def write_together(
    cases: dict[str, Measured],
    members: list[Member],
    options: MitoMeasure,
    run: Run,
    output: Path,
    problems: list[Problem],
) -> None:
    """Write the tables and pictures of all cases, and print a summary.

    Conditions that cannot be compared join ``problems``. Raises PlanewiseError if a table was edited, or cannot be
    written.
    """
    conditions = _Conditions()
    if members:
        try:
            conditions = _compared(cases, members, options)
        except PlanewiseError as error:
            problems.append(Problem.of(options.groups, error))
    together = [cases[member.case] for member in conditions.members] or cases.values()  # other cases may lack a unit
    physical = all(measured.physical for measured in together)
    names = ["objects", "contacts", "volumes", "distributions"]
    names += ["class_contacts"] if any(measured.classes for measured in cases.values()) else []
    tables = [output / f"{name}.csv" for name in names]
    groups = ("comparisons.csv", "animals.csv", "animals.png") if conditions.members else ()
    of_groups = [output / name for name in groups]
    picture, everything = output / "distributions.png", output / "measures.json"
    _refuse_edited(output, options.overwrite)
    inputs = [output / CASES / f"{name}.json" for name in cases]
    inputs += [options.groups] if options.groups is not None and conditions.members else []
    with run.making(TOGETHER, inputs, [*tables, picture, *of_groups, everything]):
        _write_tables(cases, tables, physical)
        distributions_picture(cases, picture)
        compared = comparison_rows(conditions.comparisons, physical)
        animals = animal_rows(conditions.members, conditions.measures, physical)
        if of_groups:
            write_csv(of_groups[0], compared)
            write_csv(of_groups[1], animals)
            animals_picture(conditions.members, conditions.measures, conditions.comparisons, physical, of_groups[2])
        write_json(everything, document(cases, compared, animals))
    _print_volumes(cases)
    if "class_contacts" in names:
        _print_class_contacts(cases)
    if conditions.members:
        _print_comparisons(conditions, physical)
    written = [*tables, *of_groups, everything, picture]
    say(f"The tables are in {output}: {', '.join(path.name for path in written)}")


def _refuse_edited(output: Path, overwrite: bool) -> None:
    """Raise PlanewiseError if a file in ``output`` that would be replaced was edited."""
    edited = [path for path in edited_outputs(output) if path.parent == output]
    if edited and not overwrite:
        raise PlanewiseError(
            f"{min(edited)}: was changed after it was made; it is kept, and the tables beside it are not renewed; "
            "--overwrite makes them again"
        )


def _write_tables(cases: dict[str, Measured], paths: list[Path], physical: bool) -> None:
    """Write a table to each of ``paths``; its name decides which. ``physical``: lengths have a unit."""
    area = name_of("contact_area", physical)
    rows = {
        "objects": (object_rows, ("case", "label")),
        "contacts": (contact_rows, ("case", "first_label", "second_label", area)),
        "volumes": (volume_rows, ()),
        "distributions": (distribution_rows, ()),
        "class_contacts": (class_contact_rows, ("case", "first_class", "second_class")),
    }
    for path in paths:
        rows_of, columns = rows[path.stem]
        write_csv(path, rows_of(cases), columns)


def _compared(cases: dict[str, Measured], members: list[Member], options: MitoMeasure) -> _Conditions:
    """Return the comparison of the conditions, over the members that were measured."""
    members = [member for member in members if member.case in cases]
    refuse_too_few(members, f"among the cases of {options.groups} that were measured")
    units = {cases[member.case].physical for member in members}
    if len(units) > 1:
        without = [member.case for member in members if not cases[member.case].physical]
        raise PlanewiseError(
            f"{options.groups}: no file states the unit of the spacing of {', '.join(without[:5])}, while that of "
            "other cases is known: they cannot be compared; give --image with a spacing, or a sidecar"
        )
    measures: dict[str, dict[str, np.ndarray]] = {}
    for key in DISTRIBUTED:
        chosen = {member.case: cases[member.case].objects for member in members}
        if all(key in objects for objects in chosen.values()):
            measures[key] = {case: objects[key][objects["weight"] > 0] for case, objects in chosen.items()}
    for key in COMPARED_VOLUMES:
        measures[key] = {member.case: np.array([cases[member.case].volume[key]]) for member in members}
    return _Conditions(members, measures, compare_conditions(members, measures))


def _print_volumes(cases: dict[str, Measured]) -> None:
    rows = []
    for case, measured in cases.items():
        volume, size = measured.volume, measured.distributions["volume"]
        rows.append(
            (
                case,
                str(volume["objects"]),
                str(volume["touching_border"]),
                _short(volume["volume_fraction"]),
                _short(volume["number_density"]),
                _short(size.mean),
                "µm" if measured.physical else "voxels",
            )
        )
    header = ("case", "objects", "at the border", "volume fraction", "number density", "mean volume", "unit")
    print_table("Volumes", header, rows)


def _print_class_contacts(cases: dict[str, Measured]) -> None:
    rows = []
    for row in class_contact_rows(cases):
        case, first, second, area, ours, theirs = row.values()
        counts = ("-" if count is None else str(count) for count in (ours, theirs))
        rows.append((case, first, second, _short(area), *counts, "µm²" if cases[case].physical else "voxels²"))
    header = ("case", "class", "touches", "area", "objects of the first", "objects of the second", "unit")
    print_table("Contacts between classes", header, rows)


def _print_comparisons(conditions: _Conditions, physical: bool) -> None:
    rows = []
    for row in conditions.comparisons:
        interval = "-" if math.isnan(row.low) else f"{_short(row.low)} to {_short(row.high)}"
        rows.append(
            (
                name_of(row.measure, physical),
                f"{row.second} - {row.first}",
                _short(row.difference),
                interval,
                _short(row.p),
                _short(row.p_holm),
                f"{row.animals[0]} and {row.animals[1]}",
                row.method,
            )
        )
    header = ("measure", "conditions", "difference", "95 % interval", "p", "p (Holm)", "animals", "by")
    print_table("Conditions", header, rows)
    if left_out := conditions.measures.keys() - {row.measure for row in conditions.comparisons}:
        names = ", ".join(name_of(key, physical) for key in conditions.measures if key in left_out)
        say(f"Not compared, because too few animals have whole objects: {names}")


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"
