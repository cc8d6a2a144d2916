"""MitoNet from Python: segment a volume into instances, and fine-tune."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from planewise.apps.mito.case import VolumeToPredict, say_notes
from planewise.apps.mito.in_memory import classes_in_memory, memory_for, segment_in_memory
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.predict_settings import settled
from planewise.apps.mito.store import segment_store
from planewise.apps.mito.train import finetune_mito
from planewise.apps.mito.train_options import MitoTrain
from planewise.data.run import remove
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError
from planewise.inference.executor import executor
from planewise.inference.planes import NetworkPredictor, NetworkSource, SharedPredictor, SlicePredictor
from planewise.interface.calls import options_of
from planewise.interface.model import Model
from planewise.models.model_file import ModelFile, find_model_file, read_model_file
from planewise.models.weights import inference_network, locate_weights
from planewise.progress import counted, say
from planewise.volumes.files import write_volume
from planewise.volumes.formats import ending_of, ome_zarr, stem_of
from planewise.volumes.labels import open_labels
from planewise.volumes.volume import Volume

OF_FOLDERS = ("sequence", "overwrite")  # options of the command about the files that it reads and writes


@dataclass(frozen=True)
class MitoNetModel(Model):
    """A MitoNet with the YAML ``file``. The network is loaded at its first use, and kept."""

    file: ModelFile = field(repr=False)
    weights: Path
    loaded: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)  # networks, by device

    kind: Literal["MitoNet"] = field(default="MitoNet", init=False)

    @classmethod
    def load(cls, model: str | os.PathLike[str]) -> "MitoNetModel":
        """See ``load_model``."""
        path = Path(model)
        if path.is_dir():
            files = sorted(path.glob("*.yaml"))
            if len(files) > 1:
                raise PlanewiseError(f"{path}: holds {len(files)} models, {', '.join(f.name for f in files)}: name one")
            path = files[0]
        path = find_model_file(path)
        file = read_model_file(path)
        return cls(path, file.class_names, file, locate_weights(file, path))

    def segment(
        self,
        volume: Volume,
        name: str,
        prompts: Any,
        truth: Any,
        output: Path | None,
        given: dict[str, Any],
        source: Path | None,
    ) -> Volume:
        """See ``planewise.segment``."""
        if prompts is not None or truth is not None:
            raise PlanewiseError(f"prompts: {self.path.name} finds objects by itself; boxes are for SAM2's models")
        fixed = {"trained_model": self.path, "input": source or Path(name), "output": output or Path()}
        options = options_of(MitoPredict, given, () if output is not None else OF_FOLDERS, **fixed)
        if output is not None:
            return self._segment_store(volume, options, source)
        if options.workers or options.scheduler:
            raise PlanewiseError("workers and scheduler go with an output that ends in .ome.zarr; see devices")
        options = settled(options, self.file)
        if self.file.several is not None and options.fuse != "probabilities":
            raise PlanewiseError(
                f"{self.path.name}: is of several classes, which one volume of labels does not hold; give "
                'output="labels.ome.zarr", and their classes lie beside it, in classes/'
            )
        case = VolumeToPredict.of(volume, source or Path(name), None, self.file, options)
        need, limit = memory_for(case, options)
        if need.beside_network > limit:
            raise PlanewiseError(
                f"{name}: would need {need}, beside the network more than the {limit / 1e9:.2g} GB it may take; give "
                'output="labels.ome.zarr", and it is streamed from disk to disk, with the same result, or a larger '
                "memory="
            )
        options = case.sized(self.file, options)
        say_notes({name: case.notes(options, self.file)})
        slices, seen = case.slice_options(self.file, options)
        say(f"{name}: {seen}")
        device = choose_device(options.device)
        half = choose_precision(options.precision, device, predicting=True) == "bf16"
        with executor(NetworkSource(self.weights, self.file.architecture, half), device, options.devices) as workers:
            predictor: SlicePredictor
            alone = workers.in_this_process
            predictor = NetworkPredictor(self._network(device), half) if alone else SharedPredictor(workers)
            if options.fuse == "probabilities":
                return volume.with_voxels(classes_in_memory(name, case, slices, predictor, options))
            (labels,) = segment_in_memory(name, case, slices, predictor, options)
        say(f"{name}: {counted(labels.count, 'object')}")
        return volume.with_voxels(np.asarray(labels))

    def _network(self, device: str) -> Any:
        if device not in self.loaded:
            self.loaded[device] = inference_network(self.weights, self.file.architecture, device)
        return self.loaded[device]

    def _segment_store(self, volume: Volume, options: MitoPredict, source: Path | None) -> Volume:
        """Segment from store to store; what is not on disk, or not as it is given, is first copied piece by piece."""
        if ending_of(options.output) not in ome_zarr.FORMAT.endings:
            raise PlanewiseError(
                f"output={options.output}: must end in .ome.zarr; write_volume writes what is returned"
            )
        copy = options.output.with_name(f"{stem_of(options.output)}_input.ome.zarr")
        if source is None:
            say(f"{copy}: the volume is copied there, piece by piece, until it is segmented")
            write_volume(copy, volume)
        segment_store(options if source is not None else options.model_copy(update={"input": copy, "channel": None}))
        if source is None:
            remove(copy)
        return open_labels(options.output)


def finetune_mitonet(dataset: Path, base: str | os.PathLike[str], output: Path, given: dict[str, Any]) -> Model:
    """Fine-tune a MitoNet on a nnU-Net raw dataset; see ``planewise.finetune``."""
    fixed: dict[str, Any] = {"dataset_path": dataset, "model_dir": output, "base_model": os.fspath(base)}
    options = options_of(MitoTrain, given, **fixed)
    finetune_mito(options)
    return MitoNetModel.load(output / f"{options.model_name}.yaml")
