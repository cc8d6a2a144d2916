"""Shared by trainings from corrections: the corrected volumes, the models that made them, and the gain."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from planewise.correction.journal import JOURNAL, corrections_folder, live, read_journal
from planewise.correction.worklist import Item, write_worklist
from planewise.data.case import group_by_case, label_volumes_at, plane_of
from planewise.data.manifest import Manifest, manifest_of, weights_in
from planewise.data.source_image import source_image
from planewise.errors import PlanewiseError, Problem
from planewise.progress import counted, say
from planewise.volumes.formats.dicom import Series
from planewise.volumes.json_files import read_json, write_json

MADE_FROM = "corrections.json"  # marks a folder of training data that was made from corrections
SCORE_BEFORE = "before.json"  # beside a training's checkpoints: the score of the model that it began with


def corrected_volumes(result: Path) -> dict[str, Path]:
    """Return the corrected label volumes of ``result``, a file or a folder, by case.

    Results of single planes are left out if the fused result lies beside them. Raises PlanewiseError if
    there is none, or a journal is damaged.
    """
    groups = group_by_case(label_volumes_at(result, "--corrections"), labels=True)
    groups = {name: paths for name, paths in groups.items() if plane_of(name) not in groups}
    journals = [
        (name, path, journal)
        for name, paths in sorted(groups.items())
        for path in paths
        if (journal := corrections_folder(path) / JOURNAL).is_file()
    ]
    corrected = {name: path for name, path, journal in journals if live(read_journal(journal)[1])}
    if not corrected and journals:
        undone = ", ".join(str(path) for _, path, _ in journals[:3]) + " ..." * (len(journals) > 3)
        raise PlanewiseError(
            f"--corrections {result}: all of its corrections were undone ({undone}); see planewise correct"
        )
    if not corrected:
        raise PlanewiseError(f"--corrections {result}: nothing in it was corrected; see planewise correct")
    return corrected


def refuse_other_corrections(made_from: Path, result: Path, option: str, margin: float) -> None:
    """Refuse to resume a training from other corrections than those that the file ``made_from`` says it began with.

    ``option``: the name of ``margin``, also in the file. Raises PlanewiseError if the file is damaged or has others.
    """
    content = read_json(made_from)
    try:
        began = [Path(path) for path in content["corrections of"].values()]
        before = None if content.get(option) is None else float(content[option])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PlanewiseError(f"{made_from}: does not state its corrections; train without --resume") from error
    if not began or any(result.resolve() not in (path, path.parent) for path in began):
        listed = ", ".join(map(str, began[:3])) + " ..." * (len(began) > 3)
        raise PlanewiseError(
            f"--corrections {result}: the resumed training began with those of {listed or 'nothing'} "
            f"({made_from}); give that result, or train without --resume"
        )
    if before is not None and before != margin:
        raise PlanewiseError(
            f"--{option} {margin:g}: the resumed training began with {before:g} ({made_from}); give that, or "
            "train without --resume"
        )


def manifest_behind(path: Path, command: str) -> Manifest:
    """Return the manifest of a corrected volume. Raises PlanewiseError, naming the ``command`` that writes one, if
    none."""
    manifest = manifest_of(path)
    if manifest is None:
        raise PlanewiseError(
            f"--corrections {path}: no planewise.json beside it records its model and image; predict "
            f"with planewise {command}, and correct that result"
        )
    made_by = str(manifest.made_from.options.get("command", ""))
    if made_by.split()[:1] != command.split()[:1]:
        raise PlanewiseError(
            f"--corrections {path}: was made by planewise {made_by}, with another kind of model; train on it with "
            f"planewise {made_by.partition(' ')[0]} train --corrections"
        )
    return manifest


def model_behind(manifests: Mapping[str, Manifest], option: str) -> Manifest:
    """Return the manifest of any case: they name one model, which made all of the results.

    Raises PlanewiseError, naming the cases, their models and the ``option`` that settles it, if they name several.
    """
    cases: dict[str, list[tuple[str, str]]] = {}
    for case, manifest in manifests.items():
        options = manifest.made_from.options
        name = str(options.get("model") or options.get("model named") or manifest.model)
        cases.setdefault(weights_in(name), []).append((case, name))
    if len(cases) > 1:
        made = "; ".join(f"{', '.join(case for case, _ in of)} by {of[0][1]}" for of in cases.values())
        raise PlanewiseError(
            f"--corrections: the results were made by different models: {made}. Say with {option} which one the "
            "training starts from, or give the results of one model"
        )
    return next(iter(manifests.values()))


def image_behind(case: str, volumes: Mapping[str, Path], given: Mapping[str, Path | Series] | None) -> Path | Series:
    """Return the image of a corrected volume in ``volumes``: the one ``given`` with --image, else that of its manifest.

    If one image is given for one volume, its name does not matter. Raises PlanewiseError if there is none, or if
    it has changed since the volume was made.
    """
    if given is not None:
        image = next(iter(given.values())) if len(volumes) == len(given) == 1 else given.get(case)
        there = f"; there are {', '.join(sorted(given)[:6])}" if given else ""
        missing = f"--image: has no image of case {case}{there}"
    else:
        image = source_image(volumes[case], unchanged=True)
        missing = f"--corrections {volumes[case]}: the manifest beside it names no image; give it with --image"
    if image is None:
        raise PlanewiseError(missing)
    return image


def refuse_several_machines(num_nodes: int) -> None:
    """Raise PlanewiseError if several machines are to train from corrections."""
    if num_nodes > 1:
        raise PlanewiseError("--num_nodes: training with --corrections uses one machine, which makes the dataset")


def say_what_is_wrong(images: Iterable[Problem]) -> None:
    """Print what is wrong with some of the given images; the others are used."""
    for problem in images:
        say(f"--image: {problem.where}: {problem.what}; it is not used")


def keep_score_before(training: Path, before: Mapping[str, float]) -> None:
    """Store the score of the model that a training begins with, so that a resumed training can be compared with it."""
    write_json(training / SCORE_BEFORE, dict(before))


def say_gain(training: Path, after: Mapping[str, float | None], score: str, model: Path) -> bool:
    """Print the gain of a training on the held-out part, and return whether there was one.

    The ``model`` that it began with, see ``keep_score_before``, is compared with the best one, which scores ``after``.
    ``score``: the name of the score in the message; if there is no object to score, the loss is compared.
    """
    if not (training / SCORE_BEFORE).exists():
        say(f"The gain is unknown: {training} does not contain the score of {model} before the training")
        return True
    before = read_json(training / SCORE_BEFORE)
    metric = "score" if "score" in before and after.get("score") is not None else "loss"
    old, new = before[metric], after[metric]
    assert new is not None
    better = new > old if metric == "score" else new < old
    what = {"score": score, "loss": "loss; there is no object to score"}
    gain = "" if better else f"; no gain: keep the previous model, {model}, and correct more"
    say(f"On the held-out part ({what[metric]}): {old:.3f} before, {new:.3f} after{gain}")
    return better


def write_next(path: Path, items: list[Item], result: Path, model: Path) -> None:
    """Write and print the next work list of a corrected ``result``: where ``model`` differs or is doubtful."""
    write_worklist(path, items)
    if items:
        count = counted(len(items), "item")
        say(f"The next work list has {count}, by {model}: planewise correct {result} --worklist {path}")
    else:
        say(
            f"The next work list is empty: apart from what was confirmed or corrected, {model} shows nothing to check "
            f"in {result}. Look for mistakes that both make: planewise correct {result}"
        )
