"""Registration of a later scan to an earlier one: affine, then B-spline, on the lungs; the same on every run.

Both are resampled to a grid of ``GRID_MM``. The affine transform fits the signed distances to the lungs' surface, which
disease inside does not change. The B-spline then fits the densities in and around the lungs by mutual information; its
control points are ``CONTROL_MM`` apart, so that it can follow breathing, but cannot hide a patch of disease. All voxels
are sampled, by one thread, so that nothing is random and no sum depends on an order.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from planewise.errors import PlanewiseError, first_line
from planewise.serial.missing import missing_pieces_ml
from planewise.volumes.volume import Spacing

GRID_MM = 5.0
CONTROL_MM = 60.0
AROUND_MM = 12.0  # densities are compared up to this distance from the lungs
FAR_MM = 30.0  # larger distances from the lungs are cut off
WINDOW_HU = (-1000.0, 100.0)
BINS = 32
AFFINE_STEPS, SPLINE_STEPS = 60, 12
LEAST_OVERLAP = 0.9  # Dice of the lungs below which a registration has failed: our choice


@dataclass(frozen=True)
class Registration:
    """The transform from each place of a first scan to a second one.

    ``transform``: SimpleITK's, from the first scan's millimetres (x, y, z) to the second's; ``growth`` (z, y, x)
    float32 on the first scan's grid: how much larger a voxel's content is in the second (the Jacobian determinant);
    ``overlap``: Dice of the lungs; ``folded``: the share of the lungs in which it turns space inside out.
    """

    transform: Any
    growth: np.ndarray
    overlap: float
    folded: float
    first_spacing_mm: Spacing
    second_spacing_mm: Spacing

    def carry(self, voxels: np.ndarray, labels: bool = True, fill: float = 0) -> np.ndarray:
        """Return ``voxels`` (z, y, x) of the second scan on the first's grid: nearest for labels, else linear."""
        import SimpleITK as sitk

        moving, fixed = _image(voxels, self.second_spacing_mm), _image(self.growth, self.first_spacing_mm)
        how = sitk.sitkNearestNeighbor if labels else sitk.sitkLinear
        return sitk.GetArrayFromImage(sitk.Resample(moving, fixed, self.transform, how, fill, moving.GetPixelID()))

    def displacement_mm(self) -> np.ndarray:
        """Return the displacement (z, y, x, 3) of each voxel of the first scan, its last axis z, y, x."""
        import SimpleITK as sitk

        field = _field(self.transform, _image(self.growth, self.first_spacing_mm))
        return sitk.GetArrayFromImage(field)[..., ::-1]


def register(
    first_hu: np.ndarray,
    first_lungs: np.ndarray,
    first_spacing_mm: Spacing,
    second_hu: np.ndarray,
    second_lungs: np.ndarray,
    second_spacing_mm: Spacing,
) -> Registration:
    """Register a second scan to a first: HU and lungs (> 0), (z, y, x), canonical, each with its spacing (z, y, x).

    Raises PlanewiseError if it fails: without lungs, if the lungs do not overlap, or if one scan lacks a piece of
    them.
    """
    import SimpleITK as sitk

    fixed, fixed_mask = _on_grid(first_hu, first_lungs, first_spacing_mm)
    moving, moving_mask = _on_grid(second_hu, second_lungs, second_spacing_mm)
    try:
        affine = _affine(fixed_mask, moving_mask)
        transform = sitk.CompositeTransform([affine, _spline(fixed, moving, fixed_mask, affine)])
    except RuntimeError as error:
        raise PlanewiseError(f"the scans could not be registered ({first_line(error)})") from error
    growth = sitk.DisplacementFieldJacobianDeterminant(_field(transform, fixed))
    whole = _image(first_lungs, first_spacing_mm)
    growth = sitk.Resample(growth, whole, sitk.Transform(), sitk.sitkLinear, 1.0, sitk.sitkFloat32)
    growth_voxels = sitk.GetArrayFromImage(growth)
    registration = Registration(transform, growth_voxels, 0.0, 0.0, first_spacing_mm, second_spacing_mm)
    carried, there = registration.carry((second_lungs > 0).astype(np.uint8)) > 0, first_lungs > 0
    overlap = 2 * float((carried & there).sum()) / float(carried.sum() + there.sum())
    if overlap < LEAST_OVERLAP:
        raise PlanewiseError(
            f"the scans could not be registered: Dice of the lungs is {overlap:.2f} after it, but must be at least "
            f"{LEAST_OVERLAP:g}; are both of one patient, and are the lungs right?"
        )
    if any(pieces_ml := missing_pieces_ml(there, carried, first_spacing_mm)):
        raise PlanewiseError(
            f"the lungs were segmented differently in the two scans: {max(pieces_ml):.0f} ml in one piece are lung "
            f"only in the {'first' if pieces_ml[0] >= pieces_ml[1] else 'second'}; was dense disease at the chest wall "
            "segmented as wall? Look at the lungs of both"
        )
    folded = float((growth_voxels[there] <= 0).mean())
    return Registration(transform, growth_voxels, overlap, folded, first_spacing_mm, second_spacing_mm)


def _image(voxels: np.ndarray, spacing_mm: Spacing) -> Any:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
    image.SetSpacing(spacing_mm[::-1])
    return image


def _on_grid(hu: np.ndarray, lungs: np.ndarray, spacing_mm: Spacing) -> tuple[Any, Any]:
    """Return HU within the window, smoothed, and the mask of the lungs, on the grid of ``GRID_MM``."""
    import SimpleITK as sitk

    if not lungs.any():
        raise PlanewiseError("the scans could not be registered: one of them shows no lungs")
    size = [max(8, round(side * step / GRID_MM)) for side, step in zip(hu.shape, spacing_mm)]
    steps = [side * step / count for side, step, count in zip(hu.shape, spacing_mm, size)]
    grid = sitk.Image(size[::-1], sitk.sitkFloat32)
    grid.SetSpacing(steps[::-1])
    grid.SetOrigin([(step - old) / 2 for step, old in zip(steps[::-1], spacing_mm[::-1])])  # keeps the corners
    clipped = _image(np.clip(hu, *WINDOW_HU).astype(np.float32), spacing_mm)
    smooth = sitk.SmoothingRecursiveGaussian(clipped, [max(step / 2, 0.1) for step in steps[::-1]])
    mask = _image((lungs > 0).astype(np.float32), spacing_mm)
    share = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkLinear, 0.0)
    return sitk.Resample(smooth, grid, sitk.Transform(), sitk.sitkLinear, WINDOW_HU[0]), share > 0.5


def _distance(mask: Any) -> Any:
    """Return the signed distance to the surface of a mask in mm, cut off at ``FAR_MM``."""
    import SimpleITK as sitk

    distance = sitk.SignedMaurerDistanceMap(mask, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    return sitk.Clamp(distance, sitk.sitkFloat32, -FAR_MM, FAR_MM)


def _affine(fixed_mask: Any, moving_mask: Any) -> Any:
    import SimpleITK as sitk

    start = sitk.CenteredTransformInitializer(
        sitk.Cast(fixed_mask, sitk.sitkFloat32),
        sitk.Cast(moving_mask, sitk.sitkFloat32),
        sitk.AffineTransform(3),
        sitk.CenteredTransformInitializerFilter.MOMENTS,
    )
    method = _method()
    method.SetMetricAsMeanSquares()
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, AFFINE_STEPS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=False)
    return _affine_of(method.Execute(_distance(fixed_mask), _distance(moving_mask)))


def _affine_of(transform: Any) -> Any:
    """Return the affine transform inside the result of a registration."""
    import SimpleITK as sitk

    if transform.GetTransformEnum() == sitk.sitkComposite:
        return _affine_of(sitk.CompositeTransform(transform).GetNthTransform(0))
    return sitk.AffineTransform(transform)


def _spline(fixed: Any, moving: Any, fixed_mask: Any, affine: Any) -> Any:
    import SimpleITK as sitk

    lengths = [side * step for side, step in zip(fixed.GetSize(), fixed.GetSpacing())]
    mesh = [max(1, round(length / CONTROL_MM)) for length in lengths]
    start = sitk.BSplineTransformInitializer(fixed, mesh, order=3)
    method = _method()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(_distance(fixed_mask) > -AROUND_MM)
    method.SetMovingInitialTransform(affine)
    method.SetOptimizerAsLBFGSB(gradientConvergenceTolerance=1e-5, numberOfIterations=SPLINE_STEPS)
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    return start


def _method() -> Any:
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _field(transform: Any, grid: Any) -> Any:
    import SimpleITK as sitk

    return sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
