"""check --model: how a model would see each image, in which planes, and what predicting would take."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planewise.apps.check_options import Check
from planewise.apps.check_result import Checked
from planewise.data.intensity_rule import choose_range
from planewise.errors import PlanewiseError, Problem
from planewise.inference.memory import need_in_memory
from planewise.inference.planes import NetworkPredictor, SliceOptions, choose_planes, pixel_note, prepared
from planewise.models.archive import ARCHIVE
from planewise.models.model_file import ModelFile, find_model_file, read_model_file
from planewise.models.weights import inference_network, locate_weights
from planewise.models.zoo import of_name
from planewise.volumes.machine import machine_memory
from planewise.volumes.slices import AXIS, as_stack
from planewise.volumes.volume import Volume

YAML = (".yaml", ".yml")
BATCH = 4  # slices, as mito predict has them by default
TIMED_SLICES, TIMED_SIDE = 2, 1024  # that the network is timed on, and their side in pixels at most


@dataclass(frozen=True)
class ModelToCheck:
    """A model to hold images against: ``file`` and network of a MitoNet; of a SAM2 only ``notes`` on it."""

    path: Path
    file: ModelFile | None = None
    predictor: NetworkPredictor | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "ModelToCheck":
        """Load the model at ``path``. Raises PlanewiseError if it cannot be used."""
        if path.suffix.lower() in (*YAML, ARCHIVE) or of_name(str(path), "MitoNet"):
            path = find_model_file(path)
            file = read_model_file(path)
            network = inference_network(locate_weights(file, path), file.architecture, "cpu")
            return cls(path, file, NetworkPredictor(network, False))
        from planewise.models.sam2_files import load_sam2

        weights = load_sam2(path, None)
        names = ", ".join(weights.tokens.names.values()) if weights.tokens else "drawn boxes alone"
        window = "no window is stated" if weights.window is None else "window {:g}/{:g} HU".format(*weights.window)
        return cls(
            path, notes=(f"{path.name}: SAM2 {weights.version} hiera {weights.size}, trained for {names}; {window}",)
        )

    def hold_against(self, checked: Checked, options: Check) -> None:
        """Say how the model would see every image, in which planes, and what it would take."""
        checked.notes += self.notes
        if self.file is None or self.predictor is None:
            return
        seconds = None
        for case in checked.cases:
            if case.image is None:
                continue
            volume, profile = case.image.volume, case.image.intensities
            planes, why = choose_planes(volume, self.file.planes, None)
            if unlike := pixel_note(volume, planes, self.file.pixel_nm):
                checked.problems.append(Problem(str(case.image.path), unlike))
            try:
                trained = self.file.trained_intensities()
                range_, seen = choose_range(profile, trained, case.image.path, options.intensity, options.invert)
            except PlanewiseError as error:
                checked.problems.append(Problem.of(case.image.path, error))
                continue
            norms = self.file.norms
            slices = SliceOptions(range_, norms.mean, norms.std, self.file.padding_factor)
            seconds = seconds or self._seconds_a_pixel(volume, slices)
            pixels = len(planes) * math.prod(volume.shape)
            need = need_in_memory(volume, planes, BATCH, 1, "cpu", self.file.outputs)
            streamed = "streamed" if need.beside_network > machine_memory() // 2 else f"needs {need}"
            checked.notes.append(
                f"{case.name}: {seen}; {why}; {streamed}; about {_duration(pixels * seconds)} on this CPU"
            )

    def _seconds_a_pixel(self, volume: Volume, options: SliceOptions) -> float:
        """Return how long the network takes a pixel, timed on a few slices of ``volume``."""
        assert self.predictor is not None
        axis = AXIS["xy"]
        middle = volume.shape[axis] // 2
        part = (slice(middle, middle + TIMED_SLICES), slice(TIMED_SIDE), slice(TIMED_SIDE))
        slices = as_stack(np.asarray(volume.voxels[part]), "xy")
        images = prepared(slices, options)
        self.predictor.outputs(images, slices.shape[1:], 1)  # the first is slower than the rest
        started = time.perf_counter()
        self.predictor.outputs(images, slices.shape[1:], 1)
        return (time.perf_counter() - started) / slices.size


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
