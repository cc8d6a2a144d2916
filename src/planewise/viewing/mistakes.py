"""The mistakes that a comparison lists, as places to go to."""

from pathlib import Path
from typing import Any

from planewise.data.case import PREDICTED
from planewise.errors import PlanewiseError
from planewise.report.comparison_files import JSON as RESULTS
from planewise.viewing.scene import Place
from planewise.volumes.json_files import read_json


def read_places(results: Path, dataset: str, case: str, methods: list[str]) -> list[Place]:
    """Return the mistakes of methods in a case, as a results.json has them, those of most voxels first.

    ``dataset``: the name of its folder, where the file has the case in several datasets. Raises PlanewiseError if it is
    no such file, or does not have the case or any of the methods.
    """
    content = read_json(results)
    try:
        entries = [entry for entry in content["results"] if entry["case"] == case]
        entries = [entry for entry in entries if _method(entry) in methods]
        if len({entry["dataset"] for entry in entries}) > 1:
            entries = [entry for entry in entries if entry["dataset"].rpartition("/")[2] == dataset]
        places = [_place(mistake, _method(entry), methods) for entry in entries for mistake in entry["mistakes"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanewiseError(f"{results}: is not a {RESULTS} of planewise compare or evaluate") from error
    if not entries:
        raise PlanewiseError(f"{results}: has nothing of case {case} by {' or '.join(methods) or 'any method'}")
    return sorted(places, key=lambda place: -place.voxels)


def _method(entry: dict[str, Any]) -> str:
    """Return a method's name: compare leaves the beginning of its folder's name out of it, evaluate does not."""
    return str(entry["method"]).removeprefix(PREDICTED)


def _place(mistake: dict[str, Any], method: str, methods: list[str]) -> Place:
    z, y, x = (int(side) for side in mistake["centre"])
    ids = "; ".join(f"{of} {', '.join(map(str, mistake[of]))}" for of in ("truth", "predicted") if mistake[of])
    what = f"{mistake['kind']}: {ids}; {mistake['voxels']:,} voxels"
    return Place(f"{method}, {what}" if len(methods) > 1 else what, (z, y, x), int(mistake["voxels"]))
