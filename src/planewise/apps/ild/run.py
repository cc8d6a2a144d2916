"""Prepare, fine-tune, predict and evaluate in one command, on a dataset or on a synthetic one."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from planewise.apps.ild.evaluate import evaluate_ild
from planewise.apps.ild.label_options import IldEvaluate
from planewise.apps.ild.options import IldDemo, IldPredict, IldPrepare, IldRun, IldTrain
from planewise.apps.ild.predict import predict_ild
from planewise.apps.ild.prepare import prepare_ild
from planewise.apps.ild.prepared_folder import npz_folder
from planewise.apps.ild.train import train_ild
from planewise.data.changes import Input
from planewise.data.classes import DATASET_FILE, read_labels_of
from planewise.data.derived import Derived
from planewise.data.phantom import write_chest_dataset
from planewise.data.prepared import load_patient
from planewise.data.space import laid_on
from planewise.device import one_thread
from planewise.errors import PlanewiseError
from planewise.models.sam2_files import load_sam2
from planewise.models.sam2_memory import require_memory
from planewise.models.zoo import located
from planewise.progress import say
from planewise.report.figures import overlay_picture
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import open_labels

TRAINED_FOR = {"truth": ("truth",), "lungs": ("auto",), "mixed": ("truth", "auto")}
Job = TypeVar("Job")


def run_ild(options: IldRun) -> int:
    """Prepare, fine-tune, predict and evaluate. Returns the exit code; see ``prepare_ild`` for errors."""
    if options.num_nodes > 1:
        raise PlanewiseError("--num_nodes: prepare on one machine, and give --num_nodes to planewise ild train")
    if not options.from_scratch:
        _check_base(options.base)
    if options.propagation == "memory":
        _check_memory(options)
    seconds: dict[str, float] = {}
    codes = []

    def stage(name: str, work: Callable[[Job], int], job: Job) -> None:
        started = time.perf_counter()
        codes.append(work(job))
        seconds[name] = time.perf_counter() - started

    stage("prepare", prepare_ild, options.part(IldPrepare))
    trained = options.work_dir / options.task_name / "medsam_model_best.pth"
    stage("train", train_ild, options.part(IldTrain))
    tests = npz_folder(options.work_dir, "test")
    folders = {kind: _folder(options, kind) for kind in options.prompts or TRAINED_FOR[options.train_prompts]}
    for kind, segs in folders.items():
        job = options.part(
            IldPredict, input=tests, output=segs, trained_model=str(trained), prompts=kind, lungs=None
        )  # prepared patients hold their lungs
        stage(f"predict ({kind})", predict_ild, job)
    drawn = bool(options.test_share) and not (options.dataset_path / "imagesTs").is_dir()
    truth = options.dataset_path / ("labelsTr" if drawn else "labelsTs")
    if truth.is_dir():
        first, *beside = folders.values()
        scoring = options.part(IldEvaluate, predictions=first, beside=tuple(beside), truth=truth, predicted_only=drawn)
        stage("evaluate", evaluate_ild, scoring)
        _overlays(options, tests, folders)
    say("Seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))
    return max(codes)


def _check_base(base: Path | None) -> None:
    """Refuse a missing base before anything is prepared; a published one is downloaded now."""
    if base is None:
        raise PlanewiseError("--base: give SAM2's weights, a name such as sam2.1_hiera_tiny, or --from_scratch")
    try:
        located(base)
    except PlanewiseError as error:
        raise PlanewiseError(f"--base {error}, or --from_scratch") from error


def _check_memory(options: IldRun) -> None:
    """Before anything is prepared, refuse to propagate with a memory that the trained model will not have."""
    if options.train_clips > 1:
        return
    if options.from_scratch or options.base is None:
        raise PlanewiseError(
            "--propagation memory: a model --from_scratch has no memory without --train_clips; give that, or --base"
        )
    require_memory(load_sam2(options.base, options.image_size), options.base)


def _folder(options: IldRun, prompts: str) -> Path:
    """Return where predictions go: those with boxes from the truth to the published folder, the others beside it."""
    name = options.task_name if prompts == "truth" else f"{options.task_name}_{Path(prompts).stem}"
    return options.work_dir / "segs" / name


def _overlays(options: IldRun, tests: Path, folders: dict[str, Path]) -> None:
    """Draw each test patient with each kind of prompts, into the folders' evaluation.

    Raises PlanewiseError if a picture exists that planewise did not draw.
    """
    names = read_labels_of(options.dataset_path / DATASET_FILE).class_names()
    for kind, segs in folders.items():
        drawn = {path: segs / f"{path.stem}.nii.gz" for path in sorted(tests.glob("*.npz"))}
        drawn = {path: labels for path, labels in drawn.items() if labels.exists()}
        options_drawn = {"the classes": names, "--prompts": kind}
        pictures = [f"{path.stem}.png" for path in drawn]
        read = {path: Input("the prepared patient", path.stem) for path in drawn}
        read |= {labels: Input("the prediction", path.stem) for path, labels in drawn.items()}
        derived = Derived.begin(segs / "evaluation", "ild run", options_drawn, read, pictures)
        if not drawn or derived.is_done():
            continue
        with derived.making() as made:
            for path, labels in drawn.items():
                patient = load_patient(path)
                placed = laid_on(open_labels(labels), labels, patient.geometry, path)
                predicted = to_canonical(placed, labels=True).read()
                picture = segs / "evaluation" / f"{path.stem}.png"
                overlay_picture(patient.images, patient.labels, predicted, names, picture, f"{path.stem}, {kind}")
                say(f"A picture of {path.stem} is {picture}")
            made["problems"] = 0


def demo_ild(options: IldDemo) -> int:
    """Make a chest phantom, fine-tune on it, predict and evaluate. Returns the exit code."""
    dataset, work = options.folder / "Dataset000_Chest", options.folder / "work"
    if options.folder.exists():
        others = sorted(item.name for item in options.folder.iterdir() if item not in (dataset, work))
        if others or (work.exists() and not (dataset / "dataset.json").exists()):
            raise PlanewiseError(f"{options.folder}: is not empty; give an empty or a new folder")
    for folder in (dataset, work):
        shutil.rmtree(folder, ignore_errors=True)
    say(f"Making a synthetic chest CT dataset in {dataset}")
    write_chest_dataset(dataset, options.seed, train_cases=15, test_cases=4)
    job = IldRun(
        dataset_path=dataset,
        work_dir=work,
        from_scratch=True,
        epochs=40,
        batch_size=4,
        learning_rate=1e-3,
        image_size=128,
        train_prompts="mixed",
        prompts=("truth", "lungs", "auto"),
        min_voxels=100,
        min_pixels=10,
        checkpoint_interval=200,
        seed=options.seed,
        num_workers=1,
    )
    say("With one thread, so that the number of the machine's cores does not change the result")
    with one_thread():
        return run_ild(job)
