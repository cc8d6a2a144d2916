"""Training from corrections: the dataset of what is known of a corrected result, the gain, and the next work list."""

import json
from pathlib import Path

import numpy as np

from planewise.apps.mito.train_options import MitoTrain
from planewise.correction.corrected import (
    MADE_FROM,
    corrected_volumes,
    image_behind,
    manifest_behind,
    model_behind,
    refuse_other_corrections,
    refuse_several_machines,
    say_what_is_wrong,
    write_next,
)
from planewise.correction.doubts import doubtful_items, doubts, planes_of
from planewise.correction.session import Corrections
from planewise.correction.truth import known_labels, right_objects
from planewise.correction.worklist import Item
from planewise.data.case import channel_within
from planewise.data.input_images import cases_in
from planewise.data.manifest import Manifest
from planewise.data.preparation import sha256_of
from planewise.errors import PlanewiseError
from planewise.evaluation.instances import match_objects
from planewise.evaluation.located import LocatedCounter
from planewise.evaluation.mistakes import Mistake, find_mistakes
from planewise.models.model_file import SHIPPED
from planewise.progress import progress, say, warn
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import read_labels, write_labels

SCORE = "panoptic quality or, without whole objects, IoU"
OBJECT, IGNORE = 1, 2  # in labelsTr
SEEN = {  # text for an object of the result, by the kind of difference to the model's objects
    "missed": "the model does not see it",
    "false": "the model sees an object here",
    "merge": "the model merges them",
    "split": "the model splits it",
    "inexact": "the model outlines it differently",
}


def with_corrections(options: MitoTrain, result: Path) -> MitoTrain:
    """Make the dataset of what is known of ``result``, and return the options with the model that made it.

    A resumed training keeps the dataset that it began with.

    Raises PlanewiseError if nothing is known, if no manifest says what made the result, if several models did and none
    is chosen, if an image is not there, or if another dataset is.
    """
    refuse_several_machines(options.num_nodes)
    folder = options.dataset_path
    if options.resume and (folder / MADE_FROM).is_file():
        refuse_other_corrections(folder / MADE_FROM, result, "margin", options.margin)
    volumes = corrected_volumes(result)
    manifests = {name: manifest_behind(path, "mito predict") for name, path in volumes.items()}
    if options.base_model == MitoTrain.model_fields["base_model"].default:
        model = _model_of(model_behind(manifests, "--model_config"), result)
        say(f"The training starts from {model}, which made {result}")
        options = options.model_copy(update={"base_model": str(model)})
    if folder.exists() and not (folder / MADE_FROM).is_file():
        raise PlanewiseError(
            f"{folder}: already exists, and is not a dataset made from corrections; --corrections makes the dataset's "
            "folder: give another one"
        )
    if options.resume and folder.exists():
        say(f"{folder} holds what was known when this training began; later corrections are for the next one")
        return options.model_copy(update={"channel": None})
    _write_dataset(options, volumes, manifests)
    say(f"What is known is {folder}; the rest is ignored in training and validation")
    return options.model_copy(update={"channel": None})


def _write_dataset(options: MitoTrain, volumes: dict[str, Path], manifests: dict[str, Manifest]) -> None:
    """Write what is known of each of ``volumes``, corrected results by case, as a dataset that can be trained on."""
    given = None
    if options.image is not None:
        given, wrong = cases_in(options.image, options.channel or 0, "auto")
        say_what_is_wrong(wrong)
    nothing: list[str] = []
    with (
        atomic_path(options.dataset_path) as temporary,
        progress("reading corrections", len(volumes), unit="cases") as advance,
    ):
        for name, path in volumes.items():
            with Corrections(path) as corrections:
                place = corrections.canvas.volume
                try:
                    truth = known_labels(corrections, options.margin)
                except PlanewiseError as error:
                    nothing.append(str(error))
                    continue
            image = image_behind(name, volumes, given)
            channel = manifests[name].made_from.options.get("channel") if options.channel is None else options.channel
            opened = open_volume(image, channel_within(image, channel))
            write_volume(temporary / "imagesTr" / f"{name}_0000.tiff", opened)
            write_labels(temporary / "instancesTr" / f"{name}.tiff", place.with_voxels(truth.labels))
            semantic = np.where(truth.known, np.where(truth.labels > 0, OBJECT, 0), IGNORE).astype(np.uint8)
            write_labels(temporary / "labelsTr" / f"{name}.tiff", place.with_voxels(semantic))
            count, share = len(np.unique(truth.labels)) - 1, truth.known.mean()
            say(f"{name}: {count} object{'s are' if count != 1 else ' is'} known, and {share:.1%} of the voxels")
            advance(1, name)
        if len(nothing) == len(volumes):
            raise PlanewiseError(nothing[0])
        for what in nothing:
            say(f"{what}; it is left out")
        about = {
            "channel_names": {"0": "EM"},
            "labels": {"background": 0, "object": OBJECT, "ignore": IGNORE},
            "numTraining": len(volumes) - len(nothing),
            "file_ending": ".tiff",
        }
        (temporary / "dataset.json").write_text(json.dumps(about, indent=1), "utf-8")
        sources = {name: str(path.resolve()) for name, path in volumes.items()}
        (temporary / MADE_FROM).write_text(json.dumps({"corrections of": sources, "margin": options.margin}), "utf-8")


def write_next_worklist(result: Path, predictions: Path, path: Path, model: Path, renewed: bool) -> None:
    """Write the next work list from the ``predictions`` of ``model``, without what was confirmed or corrected.

    If ``model`` was ``renewed``, it lists where the model differs from the corrected result, largest difference first.
    The unchanged model would repeat its result: then it lists what the model's planes disagree on, if there are
    several.
    """
    ordered: list[tuple[float, Item]] = []
    for case, volume in corrected_volumes(result).items():
        path_of_case = predictions / f"{case}.tiff"
        if not path_of_case.exists():  # nothing was known of it, or its prediction failed with a message
            continue
        with Corrections(volume) as corrections:
            settled = set(right_objects(corrections.actions))
            known = known_labels(corrections, margin=0).known  # has objects, since it was trained on
            labels = np.asarray(read_labels(volume).voxels)
        planes = {} if renewed else planes_of(case, path_of_case)
        if len(planes) > 1:
            items = doubtful_items(case, doubts(labels, planes))
        else:
            predicted = np.asarray(read_labels(path_of_case).voxels)
            items = [(mistake.voxels, _item_of(case, mistake)) for mistake in differences(labels, predicted)]
        ordered += [
            (order, item)
            for order, item in items
            if not (settled.issuperset(item.labels) if item.labels else known[item.place])
        ]
    unique: dict[tuple[str, str], Item] = {}
    for _, item in sorted(ordered, key=lambda pair: -pair[0]):
        unique.setdefault((item.case, item.name), item)
    write_next(path, list(unique.values()), result, model)


def _item_of(case: str, mistake: Mistake) -> Item:
    about = " ".join(map(str, mistake.truth)) or f"new at {' '.join(map(str, mistake.centre))}"
    what = f"{SEEN[mistake.kind]}; {mistake.voxels} voxels"
    return Item(f"{case}: {about}", case, what, mistake.truth, mistake.centre)


def differences(labels: np.ndarray, predicted: np.ndarray) -> list[Mistake]:
    """Return where the objects of two volumes (z, y, x) differ, as mistakes of the second, largest first."""
    counter = LocatedCounter()
    counter.add(labels, predicted, 0)
    overlap = counter.table()
    matches = match_objects(overlap, 0.5)
    return find_mistakes(overlap, set(zip(matches.truth.tolist(), matches.predicted.tolist())))


def _model_of(manifest: Manifest, result: Path) -> Path:
    weights = Path(manifest.model)
    beside, shipped = weights.with_suffix(".yaml"), SHIPPED / f"{weights.stem}.yaml"
    model = next((path for path in (beside, shipped) if path.is_file()), None)
    if model is None:
        raise PlanewiseError(
            f"--corrections {result}: was made by {weights}, and there is no {beside.name} beside it; give the model "
            "to start from with --model_config"
        )
    recorded = str(manifest.made_from.options.get("model", ""))
    if not weights.is_file() or sha256_of(weights) not in recorded:
        warn(f"{weights} is not the file that made {result} ({recorded}); the training starts from it as it is")
    return model
