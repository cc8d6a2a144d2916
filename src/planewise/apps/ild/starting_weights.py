"""The weights that a training of SAM2 starts from, with a token for each class and the window of its slices."""

from pathlib import Path

import torch

from planewise.apps.ild.options import IldTrain
from planewise.apps.ild.prepare import WINDOW_FILE
from planewise.data.classes import DATASET_FILE, read_labels_of
from planewise.errors import PlanewiseError
from planewise.models.model_file import RANDOM
from planewise.models.sam2 import ClassTokens, build_sam2, initialise
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.models.zoo import of_file, of_hub_id, of_name
from planewise.progress import warn
from planewise.training.prompted_slices import classes_in
from planewise.volumes.json_files import read_json

SCRATCH_SIZE, SCRATCH_IMAGE_SIZE = "mini", 256


def starting_weights(options: IldTrain) -> Sam2Weights:
    """Return the network to start from."""
    if options.from_scratch:
        torch.manual_seed(options.seed)
        network = build_sam2(SCRATCH_SIZE, options.image_size or SCRATCH_IMAGE_SIZE)
        initialise(network)
        return Sam2Weights(network, SCRATCH_SIZE)
    if options.base is None:
        raise PlanewiseError("--base: give the weights to start from (sam2_hiera_tiny.pt), or --from_scratch")
    return load_sam2(options.base, options.image_size)


def class_tokens(options: IldTrain, npy: Path, weights: Sam2Weights) -> ClassTokens:
    """Return a token for each class of the dataset; classes that ``weights`` have by name keep their token."""
    values = classes_in(npy / "train")
    meta = _beside(npy, DATASET_FILE)
    names = read_labels_of(meta).class_names() if meta.is_file() else {}
    names = names or {value: f"class {value}" for value in values}
    unseen = [name for value, name in names.items() if value not in values]
    if unseen:
        warn(f"no training slice shows {', '.join(unseen)}: the model can only learn their absence")
    torch.manual_seed(options.seed)
    tokens = ClassTokens(names, weights.network.config.prompt_encoder_config.hidden_size)
    if weights.tokens is not None:
        known = {name: place for place, name in enumerate(weights.tokens.names.values())}
        for place, name in enumerate(names.values()):
            if name in known:
                tokens.weight.data[place] = weights.tokens.weight.data[known[name]]
    return tokens


def window_of_slices(npy: Path) -> tuple[float, float] | None:
    """Return the window that the slices were prepared with; None for slices that the original scripts made."""
    path = _beside(npy, WINDOW_FILE)
    if not path.exists():
        return None
    level, width = read_json(path)
    return float(level), float(width)


def _beside(npy: Path, name: str) -> Path:
    """Return the path of a file about the slices: beside them, or beside the patients they were cut from."""
    return next((path for path in (npy / name, npy.parent / name) if path.exists()), npy.parent / name)


def base_and_licence(options: IldTrain, weights: Sam2Weights) -> tuple[str, str | None]:
    """Return the base model and its licence for a model's card; ``weights``: the base as it was loaded."""
    if options.from_scratch or options.base is None:
        return RANDOM, None
    name = str(options.base)
    exists = options.base.exists()  # an existing file is preferred to a published name
    if published := of_file(options.base) if exists else of_name(name, "SAM2") or of_hub_id(name):
        return published.name, published.licence
    return options.base.name, weights.trained.base_licence if weights.trained else None
