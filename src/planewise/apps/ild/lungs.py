"""Segments the lungs from HU alone: the body, the air in it, the two lungs, without airways, with dense disease at the
rim closed back in.

The field's standard steps (Hu et al. 2001, doi:10.1109/42.929615), but with a closing of each lung separately and
only towards the chest wall, so that neither the mediastinum nor the other lung is closed over (why dense disease must
be kept: van Rikxoort et al. 2009, doi:10.1118/1.3147146). No trained weights.
"""

import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from planewise.apps.ild.cohort import cts_in
from planewise.apps.ild.options import IldLungs
from planewise.data.case import channel_within, file_of_case, is_volume
from planewise.data.intensity import refuse_not_finite
from planewise.data.manifest import MANIFEST
from planewise.data.prepared import Patient
from planewise.data.run import Run, refuse_folder_of_inputs
from planewise.data.space import laid_on
from planewise.errors import PlanewiseError, Problem
from planewise.evaluation.scale import scale_in
from planewise.measurement.density import refuse_unless_hu
from planewise.measurement.lungs import nearest_side, sides_by_number, whole_parts
from planewise.measurement.regions import LEFT, RIGHT
from planewise.progress import say
from planewise.report.tables import print_table, report_problems
from planewise.volumes.files import open_volume, read_voxels
from planewise.volumes.formats.dicom import Series
from planewise.volumes.geometry import from_canonical, to_canonical
from planewise.volumes.labels import open_labels, write_labels
from planewise.volumes.parts import connected_parts
from planewise.volumes.tilt import tilt_note
from planewise.volumes.volume import Spacing

AIR_HU = -400.0  # darker than this is air, or lung
RIM_HU = -150.0  # darker than this at the rim is lung too: partial volume, up to half tissue
LUMEN_HU = -850.0  # darker than this may be the lumen of an airway
COARSE_MM = 2.0  # spacing of the grid on which shapes are segmented
LEAST_ML = 20.0  # smallest volume of a lung, or of a part of one
GAS_HU = -940.0  # a region with a darker median is bowel gas, unless it is as large as a lung
LARGE_ML = 1000.0
CLOSING_MM = 15.0  # radius: how thick dense disease at the rim may be
RIM_MM = 2.5
AIRWAY_WALL_MM = 2.5
AIRWAY_MM2 = (60.0, 700.0)  # cross-section of the trachea
AIRWAY_LENGTH_MM = 15.0  # a shorter tube is none
NEAR_MM = 5.0  # distance from the lungs within which disease is searched for, see ``near_lungs``


def find_lungs(hu: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Return uint8 labels (z, y, x): 1 left lung, 2 right lung, of a CT in HU in canonical orientation (z upwards).

    x runs towards the patient's left, as in ``to_canonical``. Raises PlanewiseError if the values are not HU or no
    lung is found.
    """
    refuse_unless_hu(hu)
    steps, coarse_mm = _coarse_grid(spacing_mm)
    lungs = _lungs_on(_block_means(hu, steps), coarse_mm)
    return lungs if steps == [1, 1, 1] else _refined(lungs, hu, steps)


def take_sides(mask: np.ndarray, hu: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Return labels as ``find_lungs`` does, for a mask (z, y, x) of both lungs made by another tool.

    Its label values do not matter, since tools differ in them. If they do not separate the lungs, each connected part
    is one lung; two connected lungs are separated, see ``nearest_side``.
    """
    numbered = sides_by_number(mask)
    if numbered is not None:
        return numbered
    steps, coarse_mm = _coarse_grid(spacing_mm)
    lungs = _block_means((mask > 0).astype(np.float32), steps) > 0
    sides = _enlarged(nearest_side(lungs, _filled(~_outside(_block_means(hu, steps))), coarse_mm), steps, hu.shape)
    return whole_parts(sides, connected_parts(mask > 0, 26))


def near_lungs(lungs: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Return where disease is searched for: the voxels within ``NEAR_MM`` of the lungs (z, y, x) in the same slice.

    A mask of the lungs may miss dense disease at their rim. In two real CTs, 2 % of the lungs drawn by experts lie
    outside those from HU, and 0.1 % by more than 5 mm. The zone within 5 mm has a fifth of the lungs' volume, that
    within 10 mm half.
    """
    near = np.zeros(lungs.shape, bool)
    reach = [int(NEAR_MM / spacing) + 1 for spacing in spacing_mm[1:]]
    for z in np.flatnonzero(lungs.any(axis=(1, 2))).tolist():
        rows, columns = (np.flatnonzero(lungs[z].any(axis=axis)) for axis in (1, 0))
        box = tuple(
            slice(max(0, int(places[0]) - margin), int(places[-1]) + margin + 1)
            for places, margin in zip((rows, columns), reach)
        )
        away = ndimage.distance_transform_edt(lungs[z][box] == 0, spacing_mm[1:])
        near[z][box] = away <= NEAR_MM
    return near


def _coarse_grid(spacing_mm: Spacing) -> tuple[list[int], Spacing]:
    """Return how many voxels along each axis form one coarse voxel, and the spacing of the coarse grid."""
    steps = [max(1, round(COARSE_MM / spacing)) for spacing in spacing_mm]
    z, y, x = (spacing * step for spacing, step in zip(spacing_mm, steps))
    return steps, (z, y, x)


def _enlarged(labels: np.ndarray, steps: list[int], shape: tuple[int, ...]) -> np.ndarray:
    for axis, step in enumerate(steps):
        labels = np.repeat(labels, step, axis=axis)
    return labels[tuple(slice(side) for side in shape)]


def _block_means(hu: np.ndarray, steps: list[int]) -> np.ndarray:
    padded = np.pad(hu, [(0, -side % step) for side, step in zip(hu.shape, steps)], mode="edge")
    split = [number for side, step in zip(padded.shape, steps) for number in (side // step, step)]
    return padded.reshape(split).mean(axis=(1, 3, 5), dtype=np.float32)


def _refined(coarse: np.ndarray, hu: np.ndarray, steps: list[int]) -> np.ndarray:
    """Resample coarse labels to the grid of ``hu``; at their rim, the HU of each voxel decides."""
    core = ndimage.binary_erosion(coarse > 0, border_value=1)
    around = ndimage.grey_dilation(coarse, size=(3, 3, 3))
    sides = _enlarged(np.where(coarse > 0, coarse, around), steps, hu.shape)
    inside = _enlarged(core, steps, hu.shape) | ((hu < RIM_HU) & (sides > 0))
    return np.where(inside, sides, 0).astype(np.uint8)


def _lungs_on(hu: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    outside = _outside(hu)
    body = _filled(~outside)
    airways = _within(_trachea(hu, body, spacing_mm), AIRWAY_WALL_MM, spacing_mm)

    parts, count = ndimage.label((hu < AIR_HU) & ~outside & ~airways)
    ml = np.bincount(parts.ravel(), minlength=count + 1) * voxel_ml
    median = ndimage.median(hu, parts, np.arange(count + 1)) if count else np.zeros(1)
    kept = (ml >= LEAST_ML) & ((median > GAS_HU) | (ml >= LARGE_ML))
    kept[0] = False
    lungs = kept[parts]
    if not lungs.any():
        raise PlanewiseError(
            f"no lungs were found: the body holds no part of at least {LEAST_ML:g} ml as dark as lung; is this a CT of "
            "the chest?"
        )
    sides = nearest_side(lungs, body, spacing_mm)
    lungs |= _within(lungs, RIM_MM, spacing_mm) & (hu < RIM_HU) & body & ~airways
    labels = np.zeros(hu.shape, np.uint8)
    for side in (LEFT, RIGHT):
        lung = lungs & (sides == side)
        if lung.any():
            labels[_closed(lung, side, spacing_mm) & ~airways & body & (labels == 0)] = side
    return labels


def _outside(hu: np.ndarray) -> np.ndarray:
    """Return the air around the body: dark regions that reach the sides of the slices."""
    parts, _ = ndimage.label(hu < AIR_HU)
    border = [parts[:, 0], parts[:, -1], parts[:, :, 0], parts[:, :, -1]]
    return np.isin(parts, np.setdiff1d(np.concatenate([side.ravel() for side in border]), [0]))


def _filled(mask: np.ndarray) -> np.ndarray:
    return np.stack([ndimage.binary_fill_holes(slice_) for slice_ in mask])


def _within(mask: np.ndarray, distance_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """Return the mask dilated by a distance."""
    return ndimage.distance_transform_edt(~mask, spacing_mm) <= distance_mm if mask.any() else mask


def _trachea(hu: np.ndarray, body: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Follow the trachea from the top down, and into the bronchi while they differ from the lung; the mask may be
    empty.

    It is the first dark tube near the middle of the body that is long enough.
    """
    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    if not body.any():
        return body
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    middle, width = columns[[0, -1]].mean(), np.ptp(columns[[0, -1]])

    def lumens(z: int) -> list[np.ndarray]:
        parts, count = ndimage.label((hu[z] < LUMEN_HU) & body[z])
        return [parts == i for i in range(1, count + 1)]

    for top in range(len(hu) - 1, len(hu) // 2, -1):
        for start in lumens(top):
            area = start.sum() * pixel_mm2
            central = abs(np.flatnonzero(start.any(axis=0)).mean() - middle) < 0.12 * width
            if not (AIRWAY_MM2[0] <= area <= AIRWAY_MM2[1] and central and np.median(hu[top][start]) < GAS_HU + 20):
                continue
            tube = np.zeros(hu.shape, bool)
            tube[top] = start
            z = top
            while z > 0 and tube[z].any():
                z -= 1
                near = ndimage.binary_dilation(tube[z + 1])
                most = min(AIRWAY_MM2[1], 2.2 * max(tube[z + 1].sum() * pixel_mm2, 100.0))
                for part in lumens(z):
                    if (part & near).any():  # a lumen that opens into the lung is followed where it is as dark as gas
                        small = part.sum() * pixel_mm2 <= most
                        tube[z] |= part if small else part & near & (hu[z] < GAS_HU + 10)
                if tube[z].sum() * pixel_mm2 < 25:
                    tube[z] = False
            if (top - z) * spacing_mm[0] >= AIRWAY_LENGTH_MM:
                return tube
    return np.zeros(hu.shape, bool)


def _closed(lung: np.ndarray, side: int, spacing_mm: Spacing) -> np.ndarray:
    """Close one lung: fill its holes, and what a ball cannot enter from outside on the side away from the other
    lung."""
    box = ndimage.find_objects(lung.astype(np.uint8))[0]
    margin = [int(np.ceil(CLOSING_MM / spacing)) + 1 for spacing in spacing_mm]
    padded = np.pad(lung[box], [(m, m) for m in margin], mode="edge")  # a lung that is cut off continues beyond the cut
    closed = ~_within(~_within(padded, CLOSING_MM, spacing_mm), CLOSING_MM, spacing_mm)
    closed = closed[tuple(slice(m, -m) for m in margin)]
    closed = _filled(closed | lung[box])
    inwards = lung[box] if side == LEFT else lung[box][:, :, ::-1]
    lung_inside = np.maximum.accumulate(inwards, axis=2)
    result = lung.copy()
    result[box] |= closed & (lung_inside if side == LEFT else lung_inside[:, :, ::-1])
    return result


# ---- the command


def lungs_ild(options: IldLungs) -> int:
    """Write the lungs of each volume. Returns the exit code: 1 if the lungs of one were not detected.

    Raises PlanewiseError, before any work, if there is no input.
    """
    images, problems = cts_in(options.input, options.channel, options.series)
    rows = []
    decisive = {"channel": options.channel, "series": options.series}
    refuse_folder_of_inputs((path for path in images.values() if isinstance(path, Path)), options.output, "output")
    run = Run.begin(options.output / MANIFEST, "ild lungs", decisive, None, images, options.overwrite, kind=IldLungs)
    for case, path in images.items():
        target = options.output / f"{case}.nii.gz"
        inputs = [path] if isinstance(path, Path) else list(path.files)
        started = time.perf_counter()
        try:
            if run.is_done(case, inputs):
                say(f"{case}: done already, from the same data ({target})")
                continue
            with run.making(case, inputs, [target]):
                left, right = _write_lungs(case, path, channel_within(path, options.channel), target)
        except Exception as error:  # no failure of one case may stop the others
            problems.append(Problem.of(path, error))
            continue
        rows.append((case, f"{left:.0f}", f"{right:.0f}", f"{time.perf_counter() - started:.1f}", str(target)))
    if rows:
        print_table("Lungs", ("case", "left, ml", "right, ml", "seconds", "file"), rows)
    return report_problems(problems)


def lungs_of(
    patient: Patient, hu: np.ndarray, image: Path | Series, masks: Path | None, ignore_geometry: bool = False
) -> np.ndarray:
    """Return the lungs of a patient (z, y, x) in canonical orientation: from a given mask, or else segmented.

    ``hu``: the CT, canonical, of the file or series ``image``. ``masks``: a mask made by another tool, or a folder with
    one for each case, in the CT's space, or with ``ignore_geometry`` matched voxel by voxel. With a tilted gantry, the
    mask is one of the slices as acquired. Raises PlanewiseError; see ``find_lungs`` and ``take_sides``.
    """
    if masks is None:
        return find_lungs(hu, patient.spacing_mm)
    mask = laid_mask(mask_of(patient.case, masks), patient, image, ignore_geometry)
    return take_sides(mask, hu, patient.spacing_mm)


def laid_mask(path: Path, patient: Patient, image: Path | Series, ignore_geometry: bool = False) -> np.ndarray:
    """Return the mask of the lungs at ``path`` (z, y, x), canonical, on the grid of the patient's CT; see ``lungs_of``.

    Raises PlanewiseError, also if it is empty.
    """
    placed = laid_on(open_labels(path), path, patient.geometry, image, ignore_geometry)
    mask = to_canonical(placed, labels=True).read()
    if not mask.any():
        raise PlanewiseError(f"{path}: the mask of the lungs is empty")
    return mask


def mask_of(case: str, masks: Path) -> Path:
    """Return the path of a case's lung mask: ``masks`` itself, or the case's file in that folder. Raises
    PlanewiseError."""
    return masks if is_volume(masks, "--lungs") else file_of_case(case, masks, "mask of the lungs")


def _write_lungs(case: str, path: Path | Series, channel: int | None, target: Path) -> tuple[float, float]:
    """Write the lungs of a CT on its grid; return the volumes of the left and the right lung in ml."""
    volume = open_volume(path, channel)
    if any(volume.tilt):
        say(f"{case}: {tilt_note(volume)}")
    stored = read_voxels(volume, path)
    refuse_not_finite(stored, path)
    canonical = to_canonical(volume.with_voxels(stored))
    scale = scale_in(canonical, "mm")
    labels = find_lungs(canonical.read(), scale.spacing)
    write_labels(target, from_canonical(labels, volume))
    left, right = (float((labels == side).sum()) * scale.voxel_volume for side in (LEFT, RIGHT))
    return left, right
