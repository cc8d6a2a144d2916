"""The error of each measure of objects against resolution, on solids whose measures are known in closed form.

The solids are balls, ellipsoids, tori, Y-shaped tubes and touching balls, in three orientations, with cubic voxels and
with slices two and four times as thick as a pixel is wide. The worst of the orientations is printed; without --tiny it
is also drawn, in docs/images/measure_error.png.

    python benchmarks/bench_measure_error.py [--tiny]
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import TINY
from solids import Spacing, ball, ellipsoid, ellipsoid_surface, orientations, torus, touching_balls, y_tube

from planewise.measurement.contacts import ContactCounter
from planewise.measurement.objects import ObjectCounter
from planewise.measurement.skeleton import centre_line
from planewise.measurement.surface import surface_area

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "measure_error.png"
RADII = (4,) if TINY else (3, 4, 6, 8, 12, 16)  # pixels
THICKNESS = (1.0, 2.0, 4.0)  # of a slice, in sides of a pixel
COLOURS = ("#0072B2", "#D55E00", "#009E73")  # Okabe and Ito
ELONGATED = (1.0, 1.5, 2.5)  # half-axes of the ellipsoid, in radii

Measure = Callable[[float, Spacing, np.ndarray, int], float]


def objects_of(mask: np.ndarray) -> ObjectCounter:
    """Return the counted objects of a mask."""
    counter = ObjectCounter(mask.shape)
    counter.add(mask.astype(np.uint32), 0)
    return counter


def volume_of_ball(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return the relative error of the volume of a ball."""
    voxels = objects_of(ball(radius, spacing, seed)).objects().voxels[0]
    return voxels * math.prod(spacing) / (4 / 3 * math.pi * radius**3) - 1


def surface_of_ball(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return the relative error of the surface of a ball."""
    return surface_area(ball(radius, spacing, seed), spacing) / (4 * math.pi * radius**2) - 1


def surface_of_ellipsoid(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return the relative error of the surface of an ellipsoid with ``radius`` as its shortest half-axis."""
    half_axes = [radius * side for side in ELONGATED]
    return surface_area(ellipsoid(half_axes, spacing, turn, seed), spacing) / ellipsoid_surface(half_axes) - 1


def surface_of_torus(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return the relative error of the surface of a torus, a ring three times as wide as its tube."""
    truth = 4 * math.pi**2 * 3 * radius * radius
    return surface_area(torus(3 * radius, radius, spacing, turn, seed), spacing) / truth - 1


def longest_axis(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return the relative error of the longest axis of an ellipsoid."""
    half_axes = [radius * side for side in ELONGATED]
    axes = objects_of(ellipsoid(half_axes, spacing, turn, seed)).objects().axes(spacing)
    return axes[0, 0] / (2 * half_axes[-1]) - 1


def length_of_y(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return the relative error of the centre line of three tubes, six times as long as thick."""
    return centre_line(y_tube(6 * radius, radius, spacing, turn, seed), spacing).length / (18 * radius) - 1


def length_of_torus(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return the relative error of the centre line of a torus."""
    line = centre_line(torus(3 * radius, radius, spacing, turn, seed), spacing)
    return line.length / (6 * math.pi * radius) - 1


def radius_of_y(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return the relative error of the mean radius along the centre line of the tubes."""
    return centre_line(y_tube(6 * radius, radius, spacing, turn, seed), spacing).radius / radius - 1


def branches_of_y(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return by how many the branches and ends of the tubes are too many or too few."""
    line = centre_line(y_tube(6 * radius, radius, spacing, turn, seed), spacing)
    return abs(line.branches - 3) + abs(line.end_points - 3)


def contact_of_balls(radius: float, spacing: Spacing, turn: np.ndarray, seed: int) -> float:
    """Return the relative error of the disc in which two balls touch whose centres are a radius apart."""
    labels = touching_balls(radius, radius, spacing, turn, seed)
    counter = ContactCounter(spacing)
    counter.add(labels, labels, slice(0, len(labels)))
    return counter.contacts().once.area.sum() / (math.pi * radius**2 * 3 / 4) - 1


MEASURES: dict[str, Measure] = {
    "volume of a ball": volume_of_ball,
    "surface of a ball": surface_of_ball,
    "surface of an ellipsoid": surface_of_ellipsoid,
    "surface of a torus": surface_of_torus,
    "longest axis of an ellipsoid": longest_axis,
    "contact of two balls": contact_of_balls,
    "length of a Y": length_of_y,
    "length of a torus": length_of_torus,
    "radius along a Y": radius_of_y,
}


def worst(measure: Measure, radius: float, thickness: float) -> float:
    """Return the error with the largest absolute value of those in three orientations."""
    spacing = (thickness, 1.0, 1.0)
    errors = [measure(radius, spacing, turn, seed) for seed, turn in enumerate(orientations())]
    return max(errors, key=abs)


def draw(errors: dict[str, dict[float, list[float]]]) -> None:
    """Draw the errors in percent against the radius."""
    from planewise.report.figures import new_figure

    figure = new_figure(10, 8)
    for axes, (name, by_thickness) in zip(figure.subplots(3, 3, sharex=True).ravel(), errors.items()):
        axes.axhspan(-3, 3, color="#EEEEEE")
        axes.axhline(0, color="black", linewidth=0.6)
        for colour, (thickness, values) in zip(COLOURS, by_thickness.items()):
            axes.plot(RADII, np.multiply(values, 100), "o-", color=colour, markersize=3, label=f"{thickness:g}")
        axes.set_title(name, fontsize=9, loc="left")
        axes.set(xscale="log", ylim=(-25, 25))
        axes.set_xticks(RADII, RADII)
        axes.xaxis.set_minor_formatter("")
    for axes in figure.axes[-3:]:
        axes.set_xlabel("radius, pixels")
    for axes in figure.axes[::3]:
        axes.set_ylabel("error, %")
    figure.axes[0].legend(title="slice thickness, pixels", fontsize=7, title_fontsize=7, frameon=False)
    figure.savefig(PICTURE)


def main() -> None:
    """Print the errors, and draw them."""
    print(f"worst error of three orientations, %, radius in pixels{'':<16}{''.join(f'{r:>8}' for r in RADII)}")
    errors: dict[str, dict[float, list[float]]] = {}
    for name, measure in MEASURES.items():
        errors[name] = {}
        for thickness in THICKNESS:
            errors[name][thickness] = [worst(measure, radius, thickness) for radius in RADII]
            shown = "".join(f"{100 * error:8.1f}" for error in errors[name][thickness])
            print(f"{name:<40}slices of {thickness:g} pixels{'':<12}{shown}")
    for thickness in THICKNESS:
        wrong = [worst(branches_of_y, radius, thickness) for radius in RADII]
        print(
            f"{'branches and ends of a Y, wrong':<40}slices of {thickness:g} pixels{'':<12}"
            f"{''.join(f'{count:8.0f}' for count in wrong)}"
        )
    if not TINY:
        draw(errors)
        print(f"drawn in {PICTURE}")


if __name__ == "__main__":
    main()
