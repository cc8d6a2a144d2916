"""Writes the model of a finished mito training: weights, and a YAML that states what it was trained on."""

from pathlib import Path

from planewise.apps.mito.train_options import MitoTrain
from planewise.apps.mito.training_files import TrainingFiles
from planewise.data.nnunet import Dataset
from planewise.device import choose_device
from planewise.inference.confidence import VIEWS
from planewise.models.hub import licence_of
from planewise.models.model_file import RANDOM, Calibration, ModelFile, write_model_file
from planewise.models.weights import network_with, write_weights
from planewise.models.zoo import of_url
from planewise.progress import say
from planewise.training.checkpoint import load_checkpoint, trained_as
from planewise.training.loop import BEST
from planewise.training.panoptic import PanopticTask
from planewise.training.slice_folder import case_of, planes_of, slice_intensities
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import pixel_sides_nm


def export_trained(
    files: TrainingFiles,
    base: ModelFile,
    options: MitoTrain,
    task: PanopticTask,
    pixel_nm: tuple[float, float] | None,
    trained_in: Path,
) -> None:
    """Write the best checkpoint in ``trained_in`` as a model that empanada-napari and planewise load.

    ``pixel_nm``: see ``ModelFile``.
    """
    import torch

    best = load_checkpoint(trained_in / BEST)
    network = network_with(best["network"], trained_in / BEST, base.architecture)
    write_weights(network, files.weights)
    calibration = task.calibration(network, torch.device(choose_device(options.device)))
    say(_calibrated(calibration) if task.several is None else "Objects of several classes have no confidence yet")
    dataset = options.dataset_path.resolve().name
    trained = trained_as(best, task.validated_on, dataset, *base_and_licence(options, base))
    model = base.model_copy(
        update={
            "model": files.weights.name,
            "model_sha256": None,
            "model_quantized": None,
            "intensities": slice_intensities(task.pairs),
            "planes": planes_of(task.pairs),
            "trained": trained,
            "pixel_nm": pixel_nm,
            "calibration": calibration,
            "description": f"{options.model_name}: {Path(options.base_model).stem} fine-tuned on {dataset} for "
            f"{best['step']} steps with planewise.",
        }
    )
    with atomic_path(files.yaml) as temporary:
        write_model_file(temporary, model)


def base_and_licence(options: MitoTrain, base: ModelFile) -> tuple[str, str | None]:
    """Return the name and the licence of the base model, for the model's card."""
    if options.from_scratch:
        return RANDOM, None
    if options.backbone is not None:
        is_folder = options.backbone.is_dir()
        return options.backbone.name if is_folder else str(options.backbone), licence_of(options.backbone)
    published = of_url(base.model or "")
    before = base.trained.base_licence if base.trained else None
    return Path(options.base_model).stem, published.licence if published else before


def _calibrated(calibration: Calibration | None) -> str:
    if calibration is None:
        return (
            "Objects of this model have no confidence: the held-out data have no three planes that could agree, or "
            "nothing was detected"
        )
    return (
        f"The confidence of objects is calibrated on {calibration.right} correct and {calibration.wrong} false ones, "
        f"in {VIEWS} views of the held-out data"
    )


def pixel_sides(dataset: Dataset, task: PanopticTask) -> tuple[float, float] | None:
    """Return the smallest and the largest side, in nm, of the training pixels; None if unknown."""
    trained = {case_of(pair) for pair in task.pairs}
    volumes = [open_volume(case.image, case.channel) for case in dataset.train if case.name in trained]
    return pixel_sides_nm(volumes, planes_of(task.pairs) or ())
