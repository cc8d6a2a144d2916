"""How reliable presence and expected Dice without boxes are, and how often a scan is called far from the training data.

Each WORK is a folder of planewise ild run on chest phantoms, such as planewise ild demo writes (FOLDER/work). The
scores of its model are calibrated on the patients that its training held out, as ild train does. Then the model
predicts phantoms that were in no training, diseased and healthy ones, as they are and as another scanner would show
them. The same is done after a calibration on ten additional phantoms, to show the gain from more held-out patients.
Probabilities are given by the raw score, by the fitted curves, and by those curves alone that the training keeps. The
last table is the mean over classes and WORKs. Without WORK one is made in seconds, whose numbers mean nothing.

    python benchmarks/bench_presence.py [--tiny] [WORK ...]
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from machine import TINY, WORDS, describe
from scipy import ndimage

from planewise.apps.ild.lungs import find_lungs, near_lungs
from planewise.apps.ild.options import WINDOWS
from planewise.apps.ild.prepared_folder import npz_folder
from planewise.apps.ild.summary import certainties_of
from planewise.cli import run
from planewise.data.phantom import CHEST_SPACING_MM, chest_phantom, write_chest_dataset
from planewise.data.prepared import Patient, save_patient
from planewise.data.window import apply_window
from planewise.inference.automatic import Place, find_in_slices
from planewise.inference.encoder import Encoder
from planewise.inference.novelty import novelty_of
from planewise.inference.propagation import PropagationOptions
from planewise.models.reliability import ClassReliability, presence_curve
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_files import load_sam2
from planewise.training.reliability import answers_on, reliability_on
from planewise.training.seen_data import seen_in
from planewise.volumes.volume import Volume

SHAPE = (10, 64, 64) if TINY or not WORDS else (24, 128, 128)
DISEASED, HEALTHY = (2, 1) if TINY or not WORDS else (12, 8)
FIRST_SEED = 900_000  # higher than the seeds of all demos
BINS = 10
LUNG = WINDOWS["lung"]
CLASSES = (1, 2, 3)
KINDS = ("raw", "curves", "kept", "curves of 10", "kept of 10")
Scan = tuple[np.ndarray, tuple[float, float]]  # HU (z, y, x), and the window that is applied


def noisy(hu: np.ndarray, sd: float) -> np.ndarray:
    return hu + np.random.default_rng(0).normal(0, sd, hu.shape)


SCANNERS: dict[str, Callable[[np.ndarray], Scan]] = {
    "as trained": lambda hu: (hu, LUNG),
    "noise of 30 HU more": lambda hu: (noisy(hu, 30), LUNG),
    "noise of 60 HU more": lambda hu: (noisy(hu, 60), LUNG),
    "a soft kernel": lambda hu: (ndimage.gaussian_filter(hu.astype(float), (0, 1, 1)), LUNG),
    "HU 100 too high": lambda hu: (hu + 100, LUNG),
    "soft-tissue window": lambda hu: (hu, WINDOWS["soft-tissue"]),
    "HU inverted": lambda hu: (-hu.astype(float), LUNG),
}


def work_made_up(folder: Path) -> Path:
    """Prepare tiny phantoms, and train on them."""
    write_chest_dataset(folder / "data", 0, (10, 64, 64), train_cases=4)
    work = folder / "work"
    smallest = ["--min_voxels", "0", "--min_pixels", "0", "--num_workers", "0"]
    assert run(["ild", "prepare", str(folder / "data"), str(work), *smallest]) == 0
    training = ["--from_scratch", "--image_size", "64", "--epochs", "1", "--batch_size", "4", "--num_workers", "0"]
    assert run(["ild", "train", str(work), "--train_prompts", "lungs", *training]) == 0
    return work


def patient_of(hu: np.ndarray, lungs: np.ndarray, window: tuple[float, float], thickness: float) -> Patient:
    volume = Volume(hu, (thickness, *CHEST_SPACING_MM[1:]), "mm")
    return Patient("phantom", apply_window(hu, *window), None, np.arange(len(hu)), volume, lungs)


def further_phantoms(folder: Path) -> list[Path]:
    """Return phantoms prepared in ``folder`` that are neither trained on nor examined."""
    paths = []
    for number in range(3 if TINY or not WORDS else 10):
        hu, labels = chest_phantom(SHAPE, FIRST_SEED + 1000 + number, CLASSES)
        patient = patient_of(hu, find_lungs(hu, CHEST_SPACING_MM), LUNG, CHEST_SPACING_MM[0])
        paths.append(folder / f"{number}.npz")
        save_patient(paths[-1], replace(patient, labels=labels))
    return paths


def errors(likely: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the expected calibration error, of ``BINS`` bins of equal width, and the Brier score; NaN if unknown."""
    if np.isnan(likely).any():
        return np.nan, np.nan
    bins = np.minimum((likely * BINS).astype(int), BINS - 1)
    gaps = [abs(likely[bins == b].mean() - truth[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist())]
    return float(sum(gaps)), float(((likely - truth) ** 2).mean())


def calibrations(segmenter: BoxSegmenter, held_out: list[Path]) -> tuple[dict[int, ClassReliability], ...]:
    """Return the calibration by class on prepared patients: with all curves of presence, and with those kept."""
    patients = {path: path.stem for path in held_out}
    kept, answers = reliability_on(segmenter, patients, 5), answers_on(segmenter, patients, 5)
    fitted = {value: presence_curve(answers[value][0], answers[value][2]) for value in kept}
    return {value: known.model_copy(update={"presence": fitted[value]}) for value, known in kept.items()}, kept


def examine(work: Path) -> list[tuple[str, float, float]]:
    """Print the numbers of a model; return those of presence, for each class and kind: kind, ECE, and Brier score."""
    weights = load_sam2(next(work.glob("*/medsam_model_best.pth")), None)
    assert weights.tokens is not None
    names = weights.tokens.names
    segmenter = BoxSegmenter(weights.network, weights.tokens).eval()
    trained_on, held_out = (sorted(npz_folder(work, part).glob("*.npz")) for part in ("train", "valid"))
    with tempfile.TemporaryDirectory() as folder:
        known = [*calibrations(segmenter, held_out), *calibrations(segmenter, further_phantoms(Path(folder)))]
    seen = seen_in(segmenter, trained_on, held_out)
    assert seen is not None
    samples: dict[int, list[tuple[np.ndarray, ...]]] = {value: [] for value in names}
    alarms: dict[str, list[tuple[bool, bool]]] = {}
    for number in range(DISEASED + HEALTHY):
        hu, labels = chest_phantom(SHAPE, FIRST_SEED + number, CLASSES if number < DISEASED else ())
        lungs = find_lungs(hu, CHEST_SPACING_MM)
        for name, scanner in SCANNERS.items():
            patient = patient_of(np.rint(scanner(hu)[0]).astype(np.int16), lungs, scanner(hu)[1], CHEST_SPACING_MM[0])
            novelty = novelty_of(Encoder(segmenter, patient.images), lungs, patient.spacing_mm[0], seen)
            assert novelty is not None
            alarms.setdefault(name, []).append((novelty.intensities > 1, novelty.embedding > 1))
        patient = patient_of(hu, lungs, LUNG, CHEST_SPACING_MM[0])
        place = Place(lungs, near_lungs(lungs, patient.spacing_mm))
        encoder = Encoder(segmenter, patient.images)
        result = find_in_slices(encoder, place, PropagationOptions(), False, lambda _: None, known[1])
        certainties = [certainties_of(result, reliability, list(names)) for reliability in known]
        asked = lungs.any(axis=(1, 2))
        for column, value in enumerate(names):
            truth = (labels == value).any(axis=(1, 2))[asked]
            raw = 1 / (1 + np.exp(-result.scores[asked, column].astype(float)))
            parts = (labels == value, result.labels == value)
            both, sizes = (parts[0] & parts[1]).sum(axis=(1, 2)), sum(part.sum(axis=(1, 2)) for part in parts)
            dices = (2 * both / np.maximum(1, sizes))[asked]
            columns = (shares[asked, column] for of in certainties for shares in (of.probabilities, of.dices))
            samples[value].append((truth, dices, raw, np.full(len(raw), np.nan), *columns))
    print(f"{work}: {DISEASED} diseased and {HEALTHY} healthy phantoms that no training saw")
    columns = ("slices", "with it", "score", "ECE", "Brier", "Dice", "expected", "off by")
    print(f"{'class':<14}" + "".join(f"{column:>14}" for column in columns))
    rows = []
    for value, name in names.items():
        truth, dices, *pairs = map(np.concatenate, zip(*samples[value]))
        for kind, shares, expected in zip(KINDS, pairs[::2], pairs[1::2]):
            rows.append((kind, *errors(shares, truth)))
            off = np.abs(dices - expected)[truth].mean()
            cells = "".join(f"{n:>14.3f}" for n in (*rows[-1][1:], dices[truth].mean(), expected[truth].mean(), off))
            print(f"{name:<14}{len(truth):>14}{truth.sum():>14}{kind:>14}{cells}")
    print(f"{'taken for far from the training':<34}{'by intensities':>16}{'by embeddings':>16}{'by either':>16}")
    for name, warned in alarms.items():
        counts = [sum(intensities for intensities, _ in warned), sum(embedding for _, embedding in warned)]
        cells_of_row = [f"{count} of {len(warned)}" for count in (*counts, sum(map(any, warned)))]
        print(f"{name:<34}" + "".join(f"{count:>16}" for count in cells_of_row), flush=True)
    return rows


print(describe(), flush=True)
with tempfile.TemporaryDirectory() as made:
    rows = [row for work in [Path(word) for word in WORDS] or [work_made_up(Path(made))] for row in examine(work)]
print("| score | ECE, mean (range) | Brier, mean (range) |\n|---|---|---|")
for kind in KINDS:
    of_kind = np.array([row[1:] for row in rows if row[0] == kind])
    cells = (f"{of.mean():.3f} ({of.min():.3f} to {of.max():.3f})" for of in of_kind.T)
    print(f"| {kind} | {' | '.join(cells)} |")
