"""How much of the lungs drawn by experts lies outside those that planewise segments from HU, by distance.

    python benchmarks/real_lungs.py DATASET    # nnU-Net raw, with lung_left, lung_right, and maybe tumour, in labelsTr

Distances are in mm, within the slice, as ``near_lungs`` measures them.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from planewise.apps.ild.lungs import find_lungs
from planewise.data.classes import DATASET_FILE, read_labels_of
from planewise.volumes.files import open_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import open_labels

DISTANCES = (0.0, 2.5, 5.0, 10.0)


def away_from(lungs: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the distance in mm from the lungs (z, y, x) within the slice; infinite in a slice without them."""
    away = np.full(lungs.shape, np.inf, np.float32)
    for z in np.flatnonzero(lungs.any(axis=(1, 2))).tolist():
        away[z] = ndimage.distance_transform_edt(lungs[z] == 0, spacing[1:])
    return away


def main(dataset: Path) -> None:
    """Print a row for each case and class, and one for the space around the lungs."""
    names = {name: value for value, name in read_labels_of(dataset / DATASET_FILE).class_names().items()}
    classes = {"lungs": [names["lung_left"], names["lung_right"]]}
    classes |= {"tumour": [names["tumour"]]} if "tumour" in names else {}
    print("| case | what | share farther than " + " | ".join(f"{limit:g} mm" for limit in DISTANCES) + " |")
    print("|---|---|" + "---|" * len(DISTANCES))
    for path in sorted((dataset / "labelsTr").glob("*.nii.gz")):
        case = path.name.removesuffix(".nii.gz")
        ct = to_canonical(open_volume(dataset / "imagesTr" / f"{case}_0000.nii.gz"))
        truth = to_canonical(open_labels(path), labels=True).read()
        spacing = ct.spacing_in("mm")
        lungs = find_lungs(ct.read(), spacing)
        away = away_from(lungs, spacing)
        for what, values in classes.items():
            distances = away[np.isin(truth, values)]
            if distances.size:
                cells = [f"{100 * float((distances > limit).mean()):.1f} %" for limit in DISTANCES]
                print(f"| {case} | {what} | {' | '.join(cells)} |", flush=True)
        around = [f"{int(((away > 0) & (away <= limit)).sum()) / int((lungs > 0).sum()):.2f}" for limit in DISTANCES]
        print(f"| {case} | volume within, of that of the lungs | {' | '.join(around)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    main(parser.parse_args().dataset)
