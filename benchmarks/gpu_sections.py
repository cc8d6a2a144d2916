"""What ``gpu.py`` measures: each section returns the table that the page shows."""

import csv
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from gpu_meter import Cost, Meter, OfSteps

import planewise as pw
from planewise.data.intensity import IntensityRange
from planewise.data.phantom import CHEST_CLASSES, em_phantom, write_chest_dataset, write_phantom_dataset
from planewise.device import choose_precision
from planewise.inference.encoder import GPU_BATCH, Encoder
from planewise.inference.planes import NetworkPredictor, SliceOptions
from planewise.inference.prompts import Box, Prompt
from planewise.inference.propagation import PropagationOptions, propagate
from planewise.models.panoptic_deeplab import build
from planewise.models.sam2 import BoxSegmenter, build_sam2
from planewise.models.sam2_files import Sam2Weights, save_published
from planewise.models.weights import inference_network
from planewise.progress import reported_to
from planewise.volumes.formats.ome_zarr import blocks, create
from planewise.volumes.machine import machine_cores

MITONETS = {"MitoNet_small": "mitonet_small_unet32", "MitoNet_v1_mini": "mitonet_v1_mini", "MitoNet_v1": "mitonet_v1"}
SAM2S = ("tiny", "small", "base_plus", "large")
Rows = Iterator[tuple[object, ...]]  # of a table, each as soon as it is measured
SLICES = SliceOptions(IntensityRange(0.0, 255.0), 0.57571, 0.12765, 128)  # 128 pads enough for all three
# Random weights detect no objects: tracks must go on to the end, as those of a detected object do.
TO_THE_END = PropagationOptions(least_score=-1e9, least_inside=0.0, least_pixels=1, split=False)


@dataclass(frozen=True)
class Bench:
    """Where and how to measure; ``quick``: in the smallest sizes."""

    work: Path
    device: str
    quick: bool

    @property
    def half(self) -> bool:
        """Whether ``--precision auto`` predicts in bf16 here."""
        return choose_precision("auto", self.device, predicting=True) == "bf16"

    @property
    def loaders(self) -> int:
        """Number of processes that prepare training data: as many as a GPU may need, as far as there are cores."""
        return 0 if self.quick else min(8, machine_cores())

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.half)

    def rate(self, step: Callable[[], object], items: int) -> tuple[float, Cost]:
        """Return the ``items`` per second of ``step``, repeated for a while, and its cost."""
        least = 0.1 if self.quick else 4.0  # seconds
        step()  # the first one chooses kernels
        with Meter(self.device) as meter:
            started, done = time.perf_counter(), 0
            while time.perf_counter() - started < least:
                step()
                done += items
        return done / meter.cost.seconds, meter.cost


@dataclass(frozen=True)
class Section:
    """A part of the page: its heading, what is measured, its table's ``columns``, as ``a | b``, and its ``rows``."""

    title: str
    about: str
    columns: str
    rows: Callable[[Bench], Rows]


def fitting(cells: Callable[[], tuple[object, ...]], columns: int) -> tuple[object, ...]:
    """Return the cells of a row, or "does not fit" if the GPU has too little memory for it."""
    try:
        return cells()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return ("does not fit", *["-"] * (columns - 1))


# ---- networks


def mito_predicting(bench: Bench) -> Rows:
    """MitoNet on batches of slices of several sizes."""
    sides = (128,) if bench.quick else (256, 512, 1024, 2048)
    for name, architecture in list(MITONETS.items())[: 1 if bench.quick else 3]:
        path = bench.work / f"{architecture}.pth"
        torch.save(build(architecture).state_dict(), path)
        predictor = NetworkPredictor(inference_network(path, architecture, bench.device), bench.half)
        for side in sides:
            batch = np.random.default_rng(0).integers(0, 255, (4, side, side), np.uint8)

            def cells(predictor: NetworkPredictor = predictor, batch: np.ndarray = batch) -> tuple[object, ...]:
                rate, cost = bench.rate(lambda: list(predictor.predict([batch] * 4, SLICES)), 4 * len(batch))
                return f"{rate:.1f}", *cost.cells

            yield name, f"{side} x {side}", *fitting(cells, 3)


def sam2_predicting(bench: Bench) -> Rows:
    """SAM2's encoder and four boxes a slice, slices one by one and in batches."""
    side = 64 if bench.quick else 1024
    for size in ("mini",) if bench.quick else SAM2S:
        segmenter = BoxSegmenter(build_sam2(size, side)).to(bench.device).frozen()
        for batch in (1, GPU_BATCH):
            slices = torch.rand(batch, 512, 512, device=bench.device)
            boxes = torch.tensor([0.2, 0.2, 0.6, 0.6], device=bench.device).expand(batch, 4, 4)

            def step(
                segmenter: BoxSegmenter = segmenter, slices: torch.Tensor = slices, boxes: torch.Tensor = boxes
            ) -> None:
                with torch.inference_mode(), bench.autocast():
                    segmenter.decode(segmenter.encode(slices), boxes)

            def cells(step: Callable[[], None] = step, batch: int = batch) -> tuple[object, ...]:
                rate, cost = bench.rate(step, batch)
                return f"{rate:.1f}", *cost.cells

            yield size, batch, *fitting(cells, 3)


# ---- training


def images_a_second(metrics: Path) -> str:
    """Return the median speed of the second half of a training's steps, by its metrics.csv."""
    with metrics.open(newline="", encoding="utf-8") as file:
        speeds = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    return f"{median(speeds[len(speeds) // 2 :]):.1f}"


def mito_training(bench: Bench) -> Rows:
    """``planewise mito train`` as it is used, loading included."""
    dataset = bench.work / "Dataset001_EM"
    if not dataset.exists():
        shape = (24, 64, 64) if bench.quick else (128, 384, 384)
        write_phantom_dataset(dataset, 0, shape, shape, train_cases=2, bodies=6 if bench.quick else 300)
    sizes: dict[str, Any] = (
        {"patch_size": 32, "iterations": 2} if bench.quick else {"patch_size": 256, "iterations": 100}
    )
    for name in list(MITONETS)[: 1 if bench.quick else 3]:
        for batch in (2,) if bench.quick else (4, 16):
            output = bench.work / "training" / f"{name}_{batch}"

            def cells(name: str = name, batch: int = batch, output: Path = output) -> tuple[object, ...]:
                with OfSteps(bench.device) as steps:
                    pw.finetune(
                        dataset,
                        f"{name}.yaml",
                        output,
                        from_scratch=True,
                        batch_size=batch,
                        overwrite=True,
                        checkpoint_interval=1000,
                        device=bench.device,
                        num_workers=bench.loaders,
                        progress=steps,
                        **sizes,
                    )
                return images_a_second(next(output.rglob("metrics.csv"))), *steps.cost.cells

            yield name, batch, *fitting(cells, 3)


def sam2_training(bench: Bench) -> Rows:
    """``planewise ild train`` as it is used, loading included."""
    from planewise.apps.ild.options import IldPrepare, IldTrain
    from planewise.apps.ild.prepare import prepare_ild
    from planewise.apps.ild.train import train_ild

    dataset, work, side = bench.work / "Dataset002_Chest", bench.work / "chest", 64 if bench.quick else 1024
    if not (work / "npy").exists():
        write_chest_dataset(dataset, 0, (8, 64, 64) if bench.quick else (24, 256, 256), train_cases=2)
        prepare_ild(IldPrepare(dataset_path=dataset, work_dir=work, min_volume_mm3=0, min_area_mm2=0, num_workers=0))
    for size in ("mini",) if bench.quick else SAM2S:
        base = bench.work / f"sam2_{size}.pt"
        save_published(base, Sam2Weights(build_sam2(size, side), size), 0)
        for batch, checkpointing in ((2, False),) if bench.quick else ((2, False), (8, False), (8, True)):
            job = IldTrain(
                work_dir=work,
                base=base,
                task_name=f"{size}_{batch}_{checkpointing}",
                epochs=1 if bench.quick else 3,
                batch_size=batch,
                image_size=side,
                gradient_checkpointing=checkpointing,
                overwrite=True,
                checkpoint_interval=1000,
                num_workers=bench.loaders,
                device=bench.device,
            )

            def cells(job: IldTrain = job) -> tuple[object, ...]:
                with OfSteps(bench.device) as steps, reported_to(steps):
                    train_ild(job)
                return images_a_second(work / job.task_name / "training" / "metrics.csv"), *steps.cost.cells

            yield size, batch, "yes" if checkpointing else "no", *fitting(cells, 3)


# ---- whole volumes


def one_ct(bench: Bench) -> Rows:
    """Four boxes carried through all slices of a CT: every slice encoded once and decoded once."""
    count, side, image_size = (6, 64, 64) if bench.quick else (200, 512, 1024)
    torch.manual_seed(0)
    segmenter = BoxSegmenter(build_sam2("mini" if bench.quick else "tiny", image_size)).to(bench.device).frozen()
    images = np.random.default_rng(0).integers(0, 255, (count, side, side), np.uint8)
    near, middle, far = side // 10, side * 0.45, side * 0.8
    boxes: list[Box] = [
        (x, y, x + middle - near, y + middle - near) for x in (near, far - middle) for y in (near, far - middle)
    ]
    prompts = [Prompt(label, count // 2, box) for label, box in enumerate(boxes, 1)]
    first: np.ndarray | None = None
    for batch in (1, GPU_BATCH):
        with bench.autocast():
            Encoder(segmenter, images, batch=batch).look_ahead(range(count))  # the first batch chooses kernels
            with Meter(bench.device) as meter:
                encoder = Encoder(segmenter, images, batch=batch)
                labels = propagate(encoder, np.ones(count - 1, bool), prompts, TO_THE_END, lambda done: None)
        first = labels if first is None else first
        alike = f"{100 * float((labels == first).mean()):.3f} %"
        cost = meter.cost
        yield encoder.batch, f"{cost.seconds:.1f}", f"{count / cost.seconds:.1f}", *cost.cells, alike


def trained(bench: Bench, base: str) -> Path:
    """Return a MitoNet that was trained as the demo trains, made once."""
    dataset, output = bench.work / "Dataset000_Phantom", bench.work / "models" / base
    if not dataset.exists():
        shapes = ((24, 64, 64), (24, 64, 64)) if bench.quick else ((64, 144, 144), (64, 128, 128))
        write_phantom_dataset(dataset, 0, *shapes, bodies=6 if bench.quick else 40)
    if not (output / f"{base}_trained.yaml").exists():
        pw.finetune(
            dataset,
            f"{base}.yaml",
            output,
            model_name=f"{base}_trained",
            from_scratch=True,
            overwrite=True,
            iterations=2 if bench.quick else 300,
            batch_size=8,
            patch_size=32 if bench.quick else 128,
            num_workers=bench.loaders,
            device=bench.device,
        )
    return output / f"{base}_trained.yaml"


def em_store(bench: Bench, side: int) -> Path:
    """Return a store of synthetic EM with ``side`` voxels along each axis, in which a tile repeats."""
    path, shape = bench.work / f"em_{side}.ome.zarr", (side,) * 3
    if not path.exists():
        tile = min(side, 256)
        image = em_phantom((tile,) * 3, 180 * tile**3 // 256**3 + 2, 0)[0]
        making = path.with_name(f"making_{path.name}")
        shutil.rmtree(making, ignore_errors=True)
        array = create(making, shape, np.uint8, (8.0, 8.0, 8.0), "nm", (0.0, 0.0, 0.0))
        for block in blocks(shape, (tile, min(side, 1024), min(side, 1024))):
            array[block] = np.tile(image, [(part.stop - part.start) // tile for part in block])
        making.rename(path)
    return path


def em_volume(bench: Bench) -> Rows:
    """``planewise mito predict`` from store to store, in three planes, by trained models."""
    side = 32 if bench.quick else 1024
    volume = em_store(bench, side)
    for base in ("MitoNet_small",) if bench.quick else ("MitoNet_small", "MitoNet_v1"):
        model = pw.load_model(trained(bench, base))
        output = bench.work / f"em_{base}.ome.zarr"
        with Meter(bench.device) as meter:
            labels = pw.segment(volume, model, output=output, overwrite=True, device=bench.device)
        objects = max(int(labels.voxels[block].max(initial=0)) for block in blocks(labels.shape, (64, side, side)))
        cost = meter.cost
        yield base, f"{cost.seconds:.0f}", f"{3 * side / cost.seconds:.1f}", *cost.cells, objects


def two_processes(bench: Bench) -> Rows:
    """The command line once, and twice at the same time, on one GPU; an unmeasured run before compiles the kernels."""
    side, least = 32 if bench.quick else 512, 32 if bench.quick else 128
    volume, model = em_store(bench, side), trained(bench, "MitoNet_small")

    def command(of: Path, number: int) -> list[str]:
        return [
            *(sys.executable, "-m", "planewise", "mito", "predict", "--overwrite", "--device", bench.device),
            *("--trained_model", str(model), "--input", str(of)),
            *("--output", str(bench.work / f"process_{number}.ome.zarr")),
        ]

    subprocess.run(command(em_store(bench, least), 0), check=True, stdout=subprocess.DEVNULL)
    for count in (1, 2):
        commands = [command(volume, number) for number in range(count)]
        with Meter(bench.device) as meter:
            started = [
                subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands
            ]
            codes = [process.wait() for process in started]
        if any(codes):
            raise RuntimeError(f"{' '.join(commands[0])} ended with {codes}")
        cost = meter.cost
        used = "-" if cost.used is None else f"{cost.used:.1f}"
        rate = f"{count * 3 * side / cost.seconds:.1f}"
        yield count, f"{cost.seconds:.0f}", rate, cost.cells[0], used


# ---- scores


def precisions(bench: Bench) -> Rows:
    """Scores of one trained model in bf16 and in fp32, for each application."""
    rows: list[tuple[object, ...]] = []
    mito, sample = trained(bench, "MitoNet_small"), bench.work / "Dataset000_Phantom"
    chest, work = bench.work / "Dataset003_Chest", bench.work / "chest_scores"
    best = work / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth"
    if not best.exists():
        write_chest_dataset(chest, 0, (8, 48, 48) if bench.quick else (24, 128, 128), 3 if bench.quick else 5)
        pw.finetune(
            chest,
            "SAM2",
            work,
            from_scratch=True,
            overwrite=True,
            train_prompts="mixed",
            batch_size=4,
            epochs=1 if bench.quick else 80,
            image_size=64 if bench.quick else 128,
            learning_rate=1e-3,
            min_voxels=100,
            min_pixels=10,
            num_workers=bench.loaders,
            device=bench.device,
        )
    ct = chest / "imagesTs" / "CT_phantomtest_0000.nii.gz"
    truth = chest / "labelsTs" / "CT_phantomtest.nii.gz"
    names = {value: name for name, value in CHEST_CLASSES.items()}
    for precision, shown in (("32", "fp32"), ("bf16", "bf16")):
        how = partial(pw.segment, device=bench.device, precision=precision)
        labels = how(sample / "imagesTs" / "phantom_test1_0000.tiff", mito)
        result = pw.score(labels, sample / "instancesTs" / "phantom_test1.tiff")
        rows += [("MitoNet_small", shown, metric, f"{result[metric]:.4f}") for metric in ("f1_50", "f1_75", "pq_50")]
        scored = pw.score(how(ct, best, truth=truth), truth, classes=names).to_frame()
        rows += [
            ("SAM2, boxes from the truth", shown, f"Dice of {row['class']}", f"{row['dsc']:.4f}")
            for _, row in scored.iterrows()
        ]
    yield from sorted(rows, key=lambda row: (str(row[0]), str(row[2])))


SECTIONS = {
    "mito": Section(
        "MitoNet, predicting",
        "Slices in batches of 4, including their preparation. In three planes a volume has three times as many. "
        "MitoNet_v1_mini has fewer weights than MitoNet_v1 but more and smaller layers.",
        "model | slice | slices/s | busy | GB",
        mito_predicting,
    ),
    "sam2": Section(
        "SAM2, predicting",
        "Each slice of 1024 x 1024 is encoded, and four boxes are decoded in it.",
        "model | slices at once | slices/s | busy | GB",
        sam2_predicting,
    ),
    "mito_train": Section(
        "MitoNet, training",
        "Training steps of `planewise mito train` with patches of 256 x 256, including loading.",
        "model | batch | images/s | busy | GB",
        mito_training,
    ),
    "sam2_train": Section(
        "SAM2, training",
        "Training steps of `planewise ild train` at 1024 x 1024, including loading; checkpointing is "
        "`--gradient_checkpointing`.",
        "model | batch | checkpointing | images/s | busy | GB",
        sam2_training,
    ),
    "ct": Section(
        "One CT with 200 slices and 4 classes",
        "SAM2 tiny at 1024. Four boxes in the middle slice are followed through all slices of 512 x 512. "
        "Slices are encoded one by one, or in batches, which round differently in bf16; masks that are carried from "
        "slice to slice keep such differences.",
        "slices encoded at once | seconds | slices/s | busy | GB | voxels equal to one by one",
        one_ct,
    ),
    "em": Section(
        "EM of 1,024 x 1,024 x 1,024 voxels in three planes",
        "`planewise mito predict` from store to store, including reading and writing, "
        "with models trained for a few minutes on synthetic EM.",
        "model | seconds | slices/s | busy | GB | objects",
        em_volume,
    ),
    "two": Section(
        "Two processes on one GPU",
        "`planewise mito predict` with MitoNet_small on 512 x 512 x 512 voxels in three planes, once, and twice at the "
        'same time. "GB in use" counts all processes, including this script.',
        "processes | seconds | slices/s of all | busy | GB in use",
        two_processes,
    ),
    "precision": Section(
        "bf16 against fp32",
        "Scores of one model on one synthetic test case, in both precisions; see [Metrics](evaluation.md).",
        "model | precision | score | value",
        precisions,
    ),
}
