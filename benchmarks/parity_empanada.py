"""The published program's 3D inference with a model that planewise wrote, against planewise's with the same model.

The program is ``empanada-dl`` 0.1.7. empanada-napari 1.2.4 contains the same lines for inference, linking and
consensus, except for types that numba requires. The program is not a dependency, and runs without numba's compiler (see
tests/reference/make_mitonet.py):

    pip install --no-deps --target SITE empanada-dl==0.1.7 opencv-python-headless==5.0.0.93
    planewise mito predict --trained_model MODEL.yaml --input CASE_0000.tiff --output OURS --axes xy xz yz \
        --precision 32 --published --intensity 0 255
    NUMBA_DISABLE_JIT=1 PYTHONPATH=SITE:src:tests python benchmarks/parity_empanada.py MODEL.yaml CASE_0000.tiff OURS
"""

import sys
from pathlib import Path

import numpy as np
import tifffile
import torch
from machine import describe

from partitions import same_partition
from planewise.models.model_file import read_model_file
from planewise.models.weights import locate_weights
from reference.formulas import AXES
from reference.make_mitonet import consensus, consensus_in_order, painted, plane_objects


def alike(theirs: np.ndarray, ours: np.ndarray) -> str:
    """Return, as text, in how many objects and voxels two label volumes agree."""
    pairs, counts = np.unique(np.stack([theirs.ravel(), ours.ravel()]), axis=1, return_counts=True)
    sizes = [dict(zip(*np.unique(labels, return_counts=True))) for labels in (theirs, ours)]
    same = {(a, b) for (a, b), n in zip(pairs.T.tolist(), counts.tolist()) if a and sizes[0][a] == sizes[1][b] == n}
    voxels = sum(n for (a, b), n in zip(pairs.T.tolist(), counts.tolist()) if (a or b) and (a, b) not in same)
    total, there = len(sizes[0]) - 1, len(sizes[1]) - 1
    whole = "the same" if same_partition(theirs, ours) else "not the same"
    return f"{len(same)} of {total} objects ({there} of ours), {voxels} voxels in others: {whole}"


def main(model_path: Path, image: Path, ours: Path) -> None:
    """Run the published inference on ``image``, and print each stage against the results in the folder ``ours``."""
    print(describe())
    model, case = read_model_file(model_path), image.name.removesuffix("_0000.tiff")
    network = torch.jit.load(locate_weights(model, model_path))
    scale = np.iinfo(np.uint8).max
    x = (tifffile.imread(image).astype(np.float32) - model.norms.mean * scale) / (model.norms.std * scale)
    trackers = []
    for plane, axis in AXES.items():
        images = (torch.from_numpy(slice_.copy())[None, None] for slice_ in np.moveaxis(x, axis, 0))
        with torch.inference_mode():
            trackers.append(plane_objects(network, images, x.shape, plane)[1])
        print(f"{plane}: {alike(painted(trackers[-1], x.shape), tifffile.imread(ours / f'{case}_{plane}.tiff'))}")
    predicted = tifffile.imread(ours / f"{case}.tiff")
    print(f"consensus, in the order of Python's sets: {alike(consensus(trackers), predicted)}")
    print(f"consensus, in the order of planes and labels: {alike(consensus_in_order(trackers), predicted)}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(Path, sys.argv[1:]))
