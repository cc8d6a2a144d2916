"""CT volumes prepared for a slice-wise model: windowed, in one orientation, as npz per patient and npy per slice.

::

    {folder}/{case}.npz               imgs uint8 (N, H, W), gts uint8 (N, H, W): classes 1 to 254, and 255 where the
                                      truth is nnU-Net's ignore label; spacing (x, y, z) in mm, as published; organ
                                      uint8 (N, H, W), if it was segmented; and what restores a prediction: kept (N,),
                                      file_shape, file_spacing, direction, origin, tilt
    {folder}/imgs/{case}-000.npy      (H, W, 3) uint8
    {folder}/gts/{case}-000.npy       (256, 256) uint8, nearest
    {folder}/organs/{case}-000.npy    the same of the organ
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from planewise.data.intensity import refuse_not_finite
from planewise.data.intensity_profile import like_labels
from planewise.data.space import laid_on
from planewise.data.window import apply_window
from planewise.errors import PlanewiseError
from planewise.progress import counted, say
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import from_canonical, to_canonical
from planewise.volumes.labels import open_labels
from planewise.volumes.tilt import tilt_note
from planewise.volumes.volume import ReadWhenIndexed, Volume

SliceChoice = Literal["labelled", "all", "both"]
KINDS = ("imgs", "gts", "organs")  # folders of slices
IGNORED = 255  # in prepared labels
GRID = 256  # side of the grid on which labels of slices are stored, as published


@dataclass(frozen=True)
class Patient:
    """A prepared volume, in canonical orientation (z upwards).

    ``images`` (N, H, W) uint8; ``labels`` (N, H, W) uint8 or None, ``IGNORED`` where unknown; ``kept`` (N,) the z
    of each slice in the whole volume; ``geometry``: the file's own volume, without voxels; ``organ`` (N, H, W) uint8 or
    None: the region searched for classes, its parts by number.
    """

    case: str
    images: np.ndarray
    labels: np.ndarray | None
    kept: np.ndarray
    geometry: Volume
    organ: np.ndarray | None = None

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Spacing (z, y, x) in canonical orientation."""
        return to_canonical(self.geometry).spacing

    def on_every_slice(self, values: np.ndarray, elsewhere: float) -> np.ndarray:
        """Return ``values`` (N, ...) of the kept slices for all slices of the volume, with ``elsewhere`` in the
        others."""
        whole = np.full((to_canonical(self.geometry).shape[0], *values.shape[1:]), elsewhere, values.dtype)
        whole[self.kept] = values
        return whole

    def restore(self, labels: np.ndarray) -> Volume:
        """Return ``labels`` (N, H, W) of the kept slices on the grid and in the orientation of the file."""
        return from_canonical(self.on_every_slice(labels, 0), self.geometry)


class _NoVoxels(ReadWhenIndexed):
    """A placeholder for voxels of which only the shape is known."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.uint8)

    def __getitem__(self, index: Any) -> Any:
        return np.broadcast_to(np.uint8(0), self.shape)[index]


def read_patient(
    case: str,
    image: Path | Series,
    truth: Path | None,
    level: float,
    width: float,
    ignore: int | None = None,
    channel: int | None = None,
    ignore_geometry: bool = False,
) -> tuple[Patient, np.ndarray]:
    """Return a CT volume as a patient with all its slices, and its intensities in HU (N, H, W), canonical.

    ``ignore``: the truth's value of unknown voxels. Raises PlanewiseError for classes above 254, and for
    files that cannot be read or do not lie in one space; with ``ignore_geometry`` they are matched voxel by voxel.
    """
    placed = None if truth is None else open_labels(truth)
    return as_patient(case, open_volume(image, channel), image, placed, truth, level, width, ignore, ignore_geometry)


def as_patient(
    case: str,
    volume: Volume,
    image: Path | Series,
    truth: Volume | None,
    truth_path: Path | None,
    level: float,
    width: float,
    ignore: int | None = None,
    ignore_geometry: bool = False,
) -> tuple[Patient, np.ndarray]:
    """Return a CT ``volume`` as a patient; see ``read_patient``. The paths name the volumes in errors."""
    volume = volume.in_unit("mm")
    if any(volume.tilt):
        say(f"{case}: {tilt_note(volume)}")
    stored = read_voxels(volume, image)
    refuse_not_finite(stored, image)
    if doubt := like_labels(stored, image):
        say(doubt)
    hu = to_canonical(volume.with_voxels(stored))
    labels = None
    if truth is not None and truth_path is not None:
        placed = laid_on(truth, truth_path, volume, image, ignore_geometry)
        values = to_canonical(placed, labels=True).read()
        ignored = np.zeros(values.shape, bool) if ignore is None else values == ignore
        largest = values.max(initial=0, where=~ignored)
        if largest >= IGNORED:
            raise PlanewiseError(
                f"{truth_path}: holds {largest}; classes are numbers from 1 to {IGNORED - 1}: renumber them"
            )
        labels = np.where(ignored, IGNORED, values).astype(np.uint8)
    voxels = hu.read()
    geometry = volume.with_voxels(_NoVoxels(volume.shape))
    return Patient(case, apply_window(voxels, level, width), labels, np.arange(len(voxels)), geometry), voxels


def is_object(labels: np.ndarray) -> np.ndarray:
    """Return where prepared labels have a class: neither background nor ignored."""
    return (labels > 0) & (labels != IGNORED)


def remove_small(labels: np.ndarray, min_voxels: int, min_pixels: int) -> np.ndarray:
    """Return ``labels`` (z, y, x) without small components of any class; ignored voxels stay.

    Components in 3D (26-connected) under ``min_voxels``, then in each slice (8-connected) under ``min_pixels``.
    """
    import cc3d

    result = labels * is_object(labels)
    if min_voxels > 1:
        result = cc3d.dust(result, threshold=min_voxels, connectivity=26)
    if min_pixels > 1:
        for index, slice_ in enumerate(result):
            if slice_.any():
                result[index] = cc3d.dust(slice_, threshold=min_pixels, connectivity=8)
    result[labels == IGNORED] = IGNORED
    return result


def choose_slices(patient: Patient, choice: SliceChoice, background_share: float, rng: np.random.Generator) -> Patient:
    """Return the patient with its labelled slices, with all slices, or with labelled and some background slices.

    Ignored voxels are not labels. With "both", background slices make up ``background_share`` of the kept slices, as
    far as there are enough.
    """
    if choice == "all" or patient.labels is None:
        return patient
    labelled = is_object(patient.labels).any(axis=(1, 2))
    keep = np.flatnonzero(labelled)
    if choice == "both":
        background = np.flatnonzero(~labelled)
        wanted = round(len(keep) * background_share / (1 - background_share))
        keep = np.sort(np.concatenate([keep, rng.permutation(background)[:wanted]]))
    organ = None if patient.organ is None else patient.organ[keep]
    images, labels, kept = patient.images[keep], patient.labels[keep], patient.kept[keep]
    return Patient(patient.case, images, labels, kept, patient.geometry, organ)


def save_patient(path: Path, patient: Patient) -> None:
    """Write a patient as npz."""
    geometry = patient.geometry
    labels = np.zeros_like(patient.images) if patient.labels is None else patient.labels
    organ: dict[str, Any] = {} if patient.organ is None else {"organ": patient.organ}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            imgs=patient.images,
            gts=labels,
            spacing=np.array(patient.spacing_mm[::-1]),
            kept=patient.kept,
            labelled=patient.labels is not None,
            file_shape=geometry.shape,
            file_spacing=geometry.spacing,
            direction=geometry.direction,
            origin=geometry.origin,
            tilt=geometry.tilt,
            **organ,
        )


def load_patient(path: Path) -> Patient:
    """Read a file of ``save_patient``, or of the original scripts, whose slices are taken as consecutive.

    Raises PlanewiseError if it is not such a file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            fields = {name: content[name] for name in content.files}
        images, labels = fields["imgs"], fields["gts"]
        if images.ndim != 3 or images.shape != labels.shape:
            raise ValueError(f"imgs {images.shape} and gts {labels.shape} must be (N, H, W)")
    except FileNotFoundError as error:
        raise PlanewiseError(f"{path}: no such file") from error
    except Exception as error:  # a damaged archive fails in many ways
        raise PlanewiseError(f"{path}: is not a prepared patient ({error}); run planewise ild prepare") from error
    if "kept" not in fields:
        x, y, z = fields["spacing"].tolist() if "spacing" in fields else (1.0, 1.0, 1.0)
        geometry = Volume(_NoVoxels(images.shape), (z, y, x), "mm")
        return Patient(path.stem, images, labels, np.arange(len(images)), geometry)
    tilt_y, tilt_x = fields["tilt"].tolist() if "tilt" in fields else (0.0, 0.0)
    geometry = Volume(
        _NoVoxels(tuple(fields["file_shape"].tolist())),
        tuple(fields["file_spacing"].tolist()),
        "mm",
        tuple(fields["origin"].tolist()),
        tuple(tuple(row) for row in fields["direction"].tolist()),
        tilt=(tilt_y, tilt_x),
    )
    labels = labels if fields["labelled"] else None
    return Patient(path.stem, images, labels, fields["kept"], geometry, fields.get("organ"))


def save_slices(folder: Path, patient: Patient) -> int:
    """Write a patient's slices as npy in ``imgs``, ``gts`` and ``organs`` of ``folder``; return their number."""
    if patient.labels is None:
        return 0
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    organ = np.zeros_like(patient.labels) if patient.organ is None else patient.organ
    for index, image in enumerate(patient.images):
        name = slice_name(patient.case, index)
        written = {
            "imgs": np.repeat(image[..., None], 3, axis=2),
            "gts": nearest_grid(patient.labels[index]),
            "organs": nearest_grid(organ[index]),
        }
        for kind, content in written.items():
            with atomic_path(folder / kind / name) as temporary, temporary.open("wb") as file:
                np.save(file, content)
    return len(patient.images)


def slices_above(slices: list[Path], patients: Path) -> dict[Path, Path]:
    """Return for each slice of ``save_slices`` the patient's slice directly above it, if there is one.

    ``patients``: the folder of the npz that they were cut from, which give the slices' positions. Raises PlanewiseError
    if one is missing, or has other slices.
    """
    by_case: dict[str, dict[int, Path]] = {}
    for slice_ in slices:
        case, _, number = slice_.stem.rpartition("-")
        by_case.setdefault(case, {})[int(number) if number.isdigit() else -1] = slice_
    above: dict[Path, Path] = {}
    for case, numbered in by_case.items():
        kept = _kept_in(patients / f"{case}.npz").tolist()
        others = [slice_ for number, slice_ in numbered.items() if not 0 <= number < len(kept)]
        if others:
            raise PlanewiseError(
                f"{patients / case}.npz: has {counted(len(kept), 'slice')}, and {others[0]} is not one of them; run "
                "planewise ild prepare again"
            )
        at = {kept[number]: slice_ for number, slice_ in numbered.items()}
        above |= {slice_: at[z + 1] for z, slice_ in at.items() if z + 1 in at}
    return above


def _kept_in(path: Path) -> np.ndarray:
    """Return the z of a prepared patient's slices; see ``load_patient``, which reads the rest too."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return content["kept"] if "kept" in content.files else np.arange(len(content["imgs"]))
    except FileNotFoundError as error:
        raise PlanewiseError(
            f"{path}: no such file, and it is needed to know which slices are neighbours; run planewise ild prepare"
        ) from error
    except Exception as error:  # a damaged archive fails in many ways
        raise PlanewiseError(f"{path}: is not a prepared patient ({error}); run planewise ild prepare") from error


def slice_name(case: str, number: int) -> str:
    """Return the name of a case's slice, in each of ``KINDS``."""
    return f"{case}-{number:03d}.npy"


def nearest_grid(labels: np.ndarray, side: int = GRID) -> np.ndarray:
    """Return ``labels`` (H, W) on a grid of ``side`` x ``side``, nearest."""
    rows, columns = ((np.arange(side) + 0.5) * length / side for length in labels.shape)
    return labels[rows.astype(int)[:, None], columns.astype(int)]
