"""mito: fine-tune MitoNet on a nnU-Net dataset, predict instances in three planes with consensus, evaluate."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from planewise.apps.mito_options import MitoDemo, MitoEvaluate, MitoPredict, MitoTrain
from planewise.apps.mito_store import predict_store
from planewise.data.case import Case, case_name, volumes_in
from planewise.data.intensity import full_scale
from planewise.data.nnunet import Dataset, open_dataset
from planewise.data.phantom import write_phantom_dataset
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.comparison import Contest, Tolerance, compare
from planewise.evaluation.evaluate import Row, evaluate_pairs
from planewise.evaluation.pairs import MISSING, OK, Pair, pair_files
from planewise.inference.consensus import consensus
from planewise.inference.gathering import GroupingOptions, gather_plane
from planewise.inference.linking import PlaneObjects
from planewise.inference.planes import NetworkPredictor, SliceOptions, SlicePredictor, plane_outputs
from planewise.inference.processes import DevicePool, PoolPredictor, WorkerDied, load_predictor
from planewise.models.model_file import ModelFile, find_model_file, read_model_file, write_model_file
from planewise.models.panoptic_deeplab import ARCHITECTURES, PanopticNetwork, build
from planewise.models.weights import export_torchscript, inference_network, load_network, locate_weights, network_with
from planewise.progress import progress, say
from planewise.report.figures import comparison_picture, training_curve
from planewise.report.page import write_report
from planewise.report.tables import SUMMARY, conclude, print_problems, print_rows, write_results
from planewise.training.checkpoint import load_checkpoint
from planewise.training.loop import BEST, CURVE, LAST, METRICS, LoopOptions, train
from planewise.training.panoptic import PanopticTask
from planewise.training.slice_folder import write_slice_folder
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.formats import ending_of, ome_zarr, result_ending
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import write_labels
from planewise.volumes.slices import AXIS, PLANES, Plane
from planewise.volumes.tilt import as_stack
from planewise.volumes.volume import Volume

PREDICTIONS = "imagesTs_mitoNet_FT"
THREADS = min(4, os.cpu_count() or 1)  # of post-processing; more gain nothing
ISOTROPY = 1.2  # voxels whose sides differ by less are cut in all planes


# ---- train


def train_mito(options: MitoTrain) -> int:
    """Fine-tune, and with ``test_after_training`` predict and evaluate the test cases. Returns the exit code.

    Raises PlanewiseError, before any work, for options or a dataset that cannot be used.
    """
    device = choose_device(options.device)
    model_path = find_model_file(options.base_model)
    model = read_model_file(model_path)
    if options.patch_size % model.padding_factor:
        raise PlanewiseError(
            f"--patch_size {options.patch_size} must be a multiple of {model.padding_factor} for {model_path.name}"
        )
    if options.num_nodes > 1 and not options.skip_conversion:
        raise PlanewiseError(
            "--num_nodes: several nodes cannot cut the slices at once; cut them before, on one, and give "
            "--skip_conversion"
        )
    files = _TrainingFiles(options.model_dir, options.model_name)
    files.check_free(options.resume, options.overwrite)
    dataset = open_dataset(options.dataset_path, need_test=options.test_after_training)
    problems = list(dataset.problems)
    if problems:
        print_problems(problems)
        say("The other cases are used.")

    if not (options.resume and files.yaml.exists()):
        network = _base_network(options, model, model_path)
        slices = options.output_data_path or options.dataset_path.parent / f"{options.dataset_path.resolve().name}_2d"
        problems += _convert(options, dataset, slices)
        task = PanopticTask(network, model, slices, options.patch_size, options.finetune_layer, options.seed)
        trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
        say(
            f"Training {options.model_name} on {device}: {len(task.pairs)} slices, {len(task.validation)} for "
            f"validation, {trainable:,} of {sum(p.numel() for p in network.parameters()):,} parameters"
        )
        loop = LoopOptions(
            iterations=options.iterations, batch_size=options.batch_size, learning_rate=options.learning_rate,
            seed=options.seed, checkpoint_interval=options.checkpoint_interval, accelerator=device,
            devices=options.devices, num_nodes=options.num_nodes,
            precision=choose_precision(options.precision, device),
            num_workers=options.num_workers, identity=options.model_dump(
                mode="json", include={"base_model", "from_scratch", "patch_size", "finetune_layer"}
            ),
        )  # fmt: skip
        if not options.resume:
            files.clear()
        if not train(task, loop, files.training, options.resume):
            return conclude(problems)
        training_curve(files.training / METRICS, files.training / CURVE, "IoU of the foreground")
        _export(files, model, options)
    say(f"The model is {files.yaml} with {files.weights.name}")

    if options.test_after_training:
        folder = options.dataset_path / PREDICTIONS
        predict = MitoPredict(
            trained_model=files.yaml, input=options.dataset_path / "imagesTs", output=folder, axes=options.test_axes,
            device=options.device, devices=options.devices,
        )  # fmt: skip
        _predict_cases([(case.name, case.image) for case in dataset.test], predict, problems)
        _test(dataset, folder, files.training, problems)
    return conclude(problems)


@dataclass(frozen=True)
class _TrainingFiles:
    """Where a training leaves what."""

    folder: Path
    name: str

    @property
    def yaml(self) -> Path:
        return self.folder / f"{self.name}.yaml"

    @property
    def weights(self) -> Path:
        return self.folder / f"{self.name}.pth"

    @property
    def training(self) -> Path:
        return self.folder / f"{self.name}_training"

    def check_free(self, resume: bool, overwrite: bool) -> None:
        """Refuse to train over a model of this name, or to resume what is not there."""
        checkpoint = self.training / LAST
        if resume:
            if not checkpoint.exists():
                raise PlanewiseError(f"{checkpoint}: no checkpoint to resume from; train without --resume")
        elif not overwrite and (self.yaml.exists() or checkpoint.exists()):
            state = "a finished model" if self.yaml.exists() else "an unfinished training"
            raise PlanewiseError(
                f"{self.folder}: holds {state} called {self.name}; go on with --resume, replace it with --overwrite, "
                "or give another --model_name"
            )

    def clear(self) -> None:
        """Remove a model of this name and what its training left."""
        for path in (self.yaml, self.weights):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.training, ignore_errors=True)


def _base_network(options: MitoTrain, model: ModelFile, model_path: Path) -> PanopticNetwork:
    """Return the network to start from."""
    if not options.from_scratch:
        return load_network(locate_weights(model, model_path), model.architecture)
    if model.architecture not in ARCHITECTURES:
        raise PlanewiseError(
            f"{model_path}: architecture: is {model.architecture}; --from_scratch needs it to be one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    import torch

    torch.manual_seed(options.seed)
    return build(model.architecture)


def _convert(options: MitoTrain, dataset: Dataset, slices: Path) -> list[Problem]:
    """Write the 2D slices, unless they are to be reused. Returns the cases that could not be read."""
    if options.skip_conversion or (options.resume and slices.exists()):
        say(f"Using the slices in {slices}")
        return []
    if not all(case.instances for case in dataset.train):
        say("There is no instancesTr: labelsTr is split into 26-connected components, which stand for instances.")
    planes = options.train_planes or _default_planes(dataset.train)
    with progress(f"cutting slices ({', '.join(planes)})", len(dataset.train), unit="cases") as advance:
        problems = write_slice_folder(dataset.train, slices, planes, lambda name: advance(1, name))
    say(f"The slices are in {slices}")
    return problems


def _default_planes(cases: list[Case]) -> tuple[Plane, ...]:
    spacings = [open_volume(case.image).spacing for case in cases]
    if all(max(spacing) <= ISOTROPY * min(spacing) for spacing in spacings):
        return PLANES
    say(f"Voxels are anisotropic ({spacings[0]}): training on xy slices; --train_planes chooses others.")
    return ("xy",)


def _export(files: _TrainingFiles, base: ModelFile, options: MitoTrain) -> None:
    """Write the best checkpoint as a model that empanada-napari and we load."""
    best = load_checkpoint(files.training / BEST)
    network = network_with(best["network"], files.training / BEST)
    export_torchscript(network, files.weights)
    model = base.model_copy(
        update={
            "model": str(files.weights.resolve()), "model_sha256": None, "model_quantized": None,
            "description": f"{options.model_name}: {Path(options.base_model).stem} fine-tuned on "
            f"{options.dataset_path.resolve().name} for {best['step']} steps with planewise.",
        }
    )  # fmt: skip
    with atomic_path(files.yaml) as temporary:
        write_model_file(temporary, model)


def _test(dataset: Dataset, folder: Path, pictures: Path, problems: list[Problem]) -> None:
    """Evaluate the predictions of the test cases against their truth, and draw each."""
    with_truth = [case for case in dataset.test if case.truth is not None]
    for case in dataset.test:
        if case.truth is None:
            problems.append(Problem(str(case.image), "has no truth: predicted, not scored"))
    if not with_truth:
        say("No test case has a truth: nothing to evaluate.")
        return
    semantic_class = None
    if not with_truth[0].instances:
        semantic_class = min((value for value in dataset.labels.values() if value > 0), default=1)
        say(f"There is no instancesTs: class {semantic_class} of labelsTs is scored voxel by voxel.")
    written = {case_name(path): path for path in volumes_in(folder)}
    pairs = [Pair(case.name, written.get(case.name), case.truth) for case in with_truth]
    rows = _score(pairs, semantic_class, folder / "evaluation", problems)
    classes = {} if semantic_class is None else {semantic_class: f"class {semantic_class}"}
    images = {case.name: case.image for case in with_truth}
    contest = Contest(dataset.folder.resolve().name, {folder.name: pairs}, images, classes)
    say(f"The report is {write_report(compare([contest], Tolerance()), folder / 'evaluation').page}")
    for case, row in zip(with_truth, rows):
        if row["status"] == OK:
            picture = pictures / f"{case.name}.png"
            shown = [case.image, case.truth, written[case.name]]
            image, truth, predicted = (
                to_canonical(as_stack(open_volume(path))).read() for path in shown if path is not None
            )
            comparison_picture(image, truth, predicted, picture, case.name)
            say(f"A picture of {case.name} is {picture}")


# ---- predict


def predict_mito(options: MitoPredict) -> int:
    """Segment a volume or a folder of volumes. Returns the exit code; see ``train_mito`` for errors."""
    if not options.input.exists():
        raise PlanewiseError(f"--input {options.input}: no such file or folder")
    if ending_of(options.output) in ome_zarr.FORMAT.endings:
        return predict_store(options)
    if options.workers or options.scheduler:
        raise PlanewiseError("--workers and --scheduler go with an --output that ends in .ome.zarr; see --devices")
    is_volume = bool(ending_of(options.input))
    paths = [options.input] if is_volume else volumes_in(options.input)
    if not paths:
        raise PlanewiseError(f"--input {options.input}: holds no volumes (.tiff, .nii.gz, .nrrd, .mha, .ome.zarr)")
    cases: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in paths:
        name = case_name(path)
        if name in cases:
            problems.append(Problem(str(path), f"is a second file for case {name}, beside {cases[name].name}"))
        else:
            cases[name] = path
    _predict_cases(list(cases.items()), options, problems)
    return conclude(problems)


def _predict_cases(cases: list[tuple[str, Path]], options: MitoPredict, problems: list[Problem]) -> None:
    """Predict every case that is not done; one that fails becomes a problem and does not stop the others."""
    device = choose_device(options.device)
    model = read_model_file(options.trained_model)
    weights = locate_weights(model, options.trained_model)
    waiting = []
    for name, path in cases:
        final, of_planes = _prediction_paths(name, path, options)
        if not options.overwrite and all(_is_newer(file, weights) for file in (final, *of_planes.values())):
            say(f"{name}: done already ({final}); --overwrite predicts it again")
        else:
            waiting.append((name, path))
    if not waiting:
        return
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    # Where other processes predict, it is loaded here too, so that bad weights are refused.
    network = inference_network(weights, model.architecture, device if options.devices == 1 else "cpu")
    with ExitStack() as running:
        pool: DevicePool | None = None
        for name, path in waiting:
            predictor: SlicePredictor = NetworkPredictor(network, half)
            if options.devices > 1:
                if pool is None:
                    start = DevicePool(options.devices, device, load_predictor, weights, model.architecture, half)
                    pool = running.enter_context(start)
                predictor = PoolPredictor(pool)
            try:
                _predict_case(name, path, predictor, model, options)
            except Exception as error:  # whatever one case does to us, the others are still wanted
                problems.append(Problem.of(path, error))
                pool = None if isinstance(error, WorkerDied) else pool  # the next case gets new workers


def _is_newer(file: Path, weights: Path) -> bool:
    """Whether a result exists and was not made with older weights than these."""
    return file.exists() and file.stat().st_mtime >= weights.stat().st_mtime


def _prediction_paths(name: str, image: Path, options: MitoPredict) -> tuple[Path, dict[Plane, Path]]:
    """Return where a case's result goes, and its planes' results: in the image's format, TIFFs as .tiff."""
    ending = result_ending(image)
    return (
        options.output / f"{name}{ending}",
        {plane: options.output / f"{name}_{plane}{ending}" for plane in options.axes},
    )


def _predict_case(name: str, path: Path, predictor: SlicePredictor, model: ModelFile, options: MitoPredict) -> None:
    volume = open_volume(path)
    voxels = read_voxels(volume, path)
    if voxels.size == 0:
        raise PlanewiseError(f"{path}: is empty, {voxels.shape}")
    grouping = GroupingOptions(
        confidence=options.confidence_thr, centre_threshold=options.center_confidence_thr,
        centre_kernel=options.min_distance_object_centers, median_kernel=options.median_kernel,
        scale=options.downsampling, min_size=options.min_size, min_extent=options.min_extent,
    )  # fmt: skip
    norms = model.norms
    slices = SliceOptions(full_scale(voxels), norms.mean, norms.std, model.padding_factor, options.downsampling)
    planes = []
    final, of_planes = _prediction_paths(name, path, options)
    with ThreadPoolExecutor(1) as writer:  # compressing a plane's result takes as long as predicting it on a GPU
        written = []
        for plane in options.axes:
            with progress(f"{name} {plane}", voxels.shape[AXIS[plane]], unit="slices") as advance:
                outputs = plane_outputs(predictor, voxels, plane, slices, options.batch_size, advance)
                planes.append(gather_plane(outputs, voxels.shape, plane, grouping, THREADS))
            written.append(writer.submit(_write_plane, of_planes[plane], volume, planes[-1]))
        fused = consensus(planes, options.pixel_vote_thr, options.min_size, options.min_extent, THREADS)
        for writing in written:
            writing.result()
    write_labels(final, volume.with_voxels(fused))
    say(f"{name}: {int(fused.max(initial=0))} objects, {final}")


def _write_plane(path: Path, volume: Volume, objects: PlaneObjects) -> None:
    write_labels(path, volume.with_voxels(objects.labels()))


# ---- evaluate


def evaluate_mito(options: MitoEvaluate) -> int:
    """Score predictions against the truth. Returns the exit code; see ``train_mito`` for errors."""
    pairs = pair_files(options.predictions, options.truth)
    folder = (
        options.output
        or (options.predictions if options.predictions.is_dir() else options.predictions.parent) / "evaluation"
    )
    semantic_class = options.semantic_class
    if semantic_class is None and options.truth.name.startswith("labels"):
        semantic_class = 1
        say(f"{options.truth} is a semantic map by its name: class 1 is scored; --semantic_class chooses another")
    problems: list[Problem] = []
    _score(pairs, semantic_class, folder, problems)
    return conclude(problems)


def _score(pairs: list[Pair], semantic_class: int | None, folder: Path, problems: list[Problem]) -> list[Row]:
    with progress("evaluating", len(pairs), unit="cases") as advance:
        rows = evaluate_pairs(pairs, semantic_class, advance)
    write_results(rows, folder)
    print_rows(rows, "Evaluation")
    say(f"The results are in {folder}, to read: {folder / SUMMARY}")
    for pair, row in zip(pairs, rows):
        if row["status"] != OK:
            where = pair.prediction or pair.truth
            what = "has no prediction: counted as found nothing" if row["status"] == MISSING else row["status"]
            problems.append(Problem(str(where), what))
    return rows


# ---- demo


def demo_mito(options: MitoDemo) -> int:
    """Make a phantom dataset and do the whole job on it. Returns the exit code."""
    dataset = options.folder / "Dataset000_Phantom"
    made = [dataset, dataset.with_name(f"{dataset.name}_2d"), dataset.with_name(f"{dataset.name}_model")]
    if options.folder.exists():
        strange = sorted(item.name for item in options.folder.iterdir() if item not in made)
        if strange:
            raise PlanewiseError(f"{options.folder}: holds {', '.join(strange[:5])}; give an empty or a new folder")
    for folder in made:  # of an earlier demo
        shutil.rmtree(folder, ignore_errors=True)
    say(f"Making a synthetic EM dataset in {dataset}")
    write_phantom_dataset(dataset, options.seed)
    job = MitoTrain(
        dataset_path=dataset, model_dir=made[2], base_model="MitoNet_small.yaml", model_name="Demo",
        from_scratch=True, iterations=300, batch_size=8, patch_size=128, learning_rate=0.003, test_after_training=True,
        seed=options.seed, precision="32",
    )  # fmt: skip
    return train_mito(job)
