"""check --model: how a model would see each image, in which planes, and the time and memory to predict it."""

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
BATCH = 4  # slices; the default of mito predict
TIMED_SLICES, TIMED_SIDE = 2, 1024  # for timing the network: number of slices, and their largest side in pixels


@dataclass(frozen=True)
class ModelToCheck:
    """A model to check images against: ``file`` and network for a MitoNet; only ``notes`` for a SAM2."""

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
        names = ", ".join(weights.tokens.names.values()) if weights.tokens else "drawn boxes only"
        window = "no window is stated" if weights.window is None else "window {:g}/{:g} HU".format(*weights.window)
        return cls(
            path, notes=(f"{path.name}: SAM2 {weights.version} hiera {weights.size}, trained for {names}; {window}",)
        )

    def hold_against(self, checked: Checked, options: Check) -> None:
        """Note how the model would see each image, in which planes, and the time and memory needed."""
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
        """Return the network's time for a pixel, in seconds, measured on a few slices of ``volume``."""
        assert self.predictor is not None
        axis = AXIS["xy"]
        middle = volume.shape[axis] // 2
        part = (slice(middle, middle + TIMED_SLICES), slice(TIMED_SIDE), slice(TIMED_SIDE))
        slices = as_stack(np.asarray(volume.voxels[part]), "xy")
        images = prepared(slices, options)
        self.predictor.outputs(images, slices.shape[1:], 1)  # warm-up: the first call is slower
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
