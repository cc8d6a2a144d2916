"""Results are written over earlier ones of ours, and never over a file of somebody else's with the same name."""

import re
from collections.abc import Iterable
from pathlib import Path

from planewise.errors import PlanewiseError

_MARKS = {  # how a file of ours begins, or what stands in it
    "evaluation_results.csv": rb"\Acase,status,voxel_iou,",
    "evaluation_results_summary.txt": rb"\A\d+ cases, \d+ scored",
    "class_results.csv": rb"\Acase,class,name,status,",
    "class_results_summary.txt": rb"\A\d+ cases.* Boxes came from: ",
    "presence.csv": rb"\Aprompts,class,name,n_with,",
    "results.csv": rb"\Adataset,method,case,class,metric,value",
    "results.json": rb'\A\{\s*"metrics":',
    "report.html": rb"Written by planewise ",
}


def refuse_to_replace(folder: Path, names: Iterable[str], pictures_of: str = "") -> None:
    """Raise PlanewiseError if ``folder`` holds a file of one of ``names`` that planewise did not write.

    A picture does not say who made it: it is ours where the table ``pictures_of`` beside it is.
    """
    for name in names:
        path = folder / name
        if not path.exists():
            continue
        table = folder / pictures_of if path.suffix == ".png" else path
        if not (table.is_file() and re.search(_MARKS[table.name], table.read_bytes())):
            raise PlanewiseError(
                f"{path}: is there already, and is no result of planewise; it is kept: move it away, or give another "
                "--output"
            )
