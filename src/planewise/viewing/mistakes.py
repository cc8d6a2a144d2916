"""The mistakes that a comparison lists, as places to visit in a viewer."""

from pathlib import Path

from planewise.errors import PlanewiseError
from planewise.evaluation.mistakes import Mistake
from planewise.report.listed_mistakes import of_dataset, read_mistakes
from planewise.viewing.scene import Place


def read_places(results: Path, dataset: str, case: str, methods: list[str]) -> list[Place]:
    """Return the mistakes of methods in a case from a results.json, largest first.

    ``dataset``: the name of its folder, if the file has the case in several datasets. Raises PlanewiseError if it is
    not such a file, or has neither the case nor any of the methods.
    """
    listed = [entry for entry in read_mistakes(results) if entry.case == case and entry.method in methods]
    entries = of_dataset(listed, dataset)
    if not entries:
        raise PlanewiseError(f"{results}: has nothing on case {case} by {' or '.join(methods) or 'any method'}")
    places = [_place(mistake, entry.method, methods) for entry in entries for mistake in entry.mistakes]
    return sorted(places, key=lambda place: -place.voxels)


def _place(mistake: Mistake, method: str, methods: list[str]) -> Place:
    of_volumes = (("truth", mistake.truth), ("predicted", mistake.predicted))
    ids = "; ".join(f"{of} {', '.join(map(str, labels))}" for of, labels in of_volumes if labels)
    what = f"{mistake.kind}: {ids}; {mistake.voxels:,} voxels"
    return Place(f"{method}, {what}" if len(methods) > 1 else what, mistake.centre, mistake.voxels)
