"""What trainings from corrections share: which volumes were corrected, what made them, and what was gained."""

from collections.abc import Mapping
from pathlib import Path

from planewise.correction.journal import JOURNAL, corrections_folder
from planewise.data.case import case_name, group_by_case, label_volumes_in
from planewise.data.run import Manifest, manifest_of
from planewise.errors import PlanewiseError
from planewise.progress import say
from planewise.volumes.formats import ending_of

MADE_FROM = "corrections.json"  # marks a folder of training data that was made from corrections


def corrected_volumes(result: Path) -> dict[str, Path]:
    """Return the corrected label volumes of ``result``, a file or a folder, by case. Raises PlanewiseError."""
    if not result.exists():
        raise PlanewiseError(f"--corrections {result}: no such file or folder")
    single = bool(ending_of(result)) or result.is_file()
    groups = {case_name(result): [result]} if single else group_by_case(label_volumes_in(result))
    found = {
        name: path for name, paths in sorted(groups.items()) for path in paths
        if (corrections_folder(path) / JOURNAL).is_file()
    }  # fmt: skip
    if not found:
        raise PlanewiseError(f"--corrections {result}: nothing in it was corrected; see planewise correct")
    return found


def manifest_behind(path: Path, command: str) -> Manifest:
    """Return what made a corrected volume. Raises PlanewiseError, naming the ``command`` that says it, if none does."""
    manifest = manifest_of(path)
    if manifest is None:
        raise PlanewiseError(
            f"--corrections {path}: no planewise.json beside it says which model made it from which image; predict "
            f"with planewise {command}, and correct that"
        )
    return manifest


def image_behind(path: Path, manifest: Manifest) -> Path:
    """Return the image that a volume was made from. Raises PlanewiseError if it is not there any more."""
    record = next(record for record in manifest.cases.values() if path.name in record.outputs)
    image = Path(next(iter(record.inputs), ""))
    if not image.exists():
        raise PlanewiseError(f"--corrections {path}: was made from {image}, which is not there any more; put it back")
    return image


def say_gain(before: Mapping[str, float], after: Mapping[str, float | None], score: str) -> None:
    """Say what a training gained on the part that was held out: the model it began with, and the best.

    ``score``: what it is, to read; where there is no object to score it is the loss.
    """
    metric = "score" if "score" in before and after.get("score") is not None else "loss"
    old, new = before[metric], after[metric]
    assert new is not None
    better = new > old if metric == "score" else new < old
    what = {"score": score, "loss": "loss; there is no object to score"}
    gain = "" if better else "; nothing was gained: keep the model before it, and correct more"
    say(f"On the part that was held out ({what[metric]}): {old:.3f} before, {new:.3f} after{gain}")
