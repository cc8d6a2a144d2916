"""One volume in eight encodings, one trained network: the same objects."""

import numpy as np
import pytest
import tifffile
import torch

from planewise.cli import run
from planewise.data.phantom import em_phantom, write_phantom_dataset
from planewise.evaluation.evaluate import score_labels
from planewise.volumes.labels import read_labels

ENCODINGS = {  # of grey values of 8 bit
    "full 16 bit": lambda grey: grey.astype(np.uint16) * 257,
    "float": lambda grey: (grey.astype(float) / 255).astype(np.float32),
    "12 bit": lambda grey: np.rint(grey.astype(float) / 255 * 4095).astype(np.uint16),
    "low-contrast 16 bit": lambda grey: (30_000 + 10 * grey.astype(float)).astype(np.uint16),
    "dim 8 bit": lambda grey: grey // 4,
    "int16 of 0..255": lambda grey: grey.astype(np.int16),
    "inverted": lambda grey: 255 - grey,
    "floats beyond 1": lambda grey: (grey.astype(float) * 16).astype(np.float32),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model that was trained until it sees most bodies of a phantom, the 8-bit volume, and what it sees in that."""
    folder = tmp_path_factory.mktemp("encodings")
    torch.set_num_threads(1)
    write_phantom_dataset(folder / "Dataset001_Phantom", 3, (32, 96, 96), (8, 32, 32), 2, bodies=14)
    command = ["mito", "train", folder / "Dataset001_Phantom", folder / "models", "--model_config",
               "MitoNet_small.yaml", "--from_scratch", "--model_name", "M", "--iterations", "90", "--batch_size", "8",
               "--patch_size", "64", "--checkpoint_interval", "90", "--device", "cpu", "--num_workers",
               "0"]  # fmt: skip
    assert run([str(word) for word in command]) == 0
    grey = em_phantom((32, 96, 96), 14, 77)[0]
    objects = predict(folder, grey, "plain")
    assert objects.max() >= 3
    return folder, grey, objects


def predict(folder, voxels, name, *more):
    path = folder / f"{name}.tif"
    tifffile.imwrite(path, voxels, photometric="minisblack")
    command = ["mito", "predict", "--trained_model", folder / "models" / "M.yaml", "--input", path, "--output",
               folder / f"out {name}", "--axes", "xy", "--device", "cpu", "--min_size", "100", *more]  # fmt: skip
    assert run([str(word) for word in command]) == 0
    return read_labels(folder / f"out {name}" / f"{name}.tiff").read()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_objects_of_the_8_bit_volume(trained, encoding):
    folder, grey, objects = trained
    result = predict(folder, ENCODINGS[encoding](grey), encoding, *(("--invert",) if encoding == "inverted" else ()))
    assert score_labels(objects, result)["f1_50"] >= 0.95
