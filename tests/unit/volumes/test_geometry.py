from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.geometry import place_from_canonical, planes_sharp_in_all, same_space, sharp_planes, to_canonical
from planewise.volumes.volume import Volume

VOXELS = np.zeros((4, 5, 6), np.uint8)
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
BACKWARDS = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
CT = Volume(VOXELS, (3.0, 1.95, 1.95), "mm", (10.0, -20.0, 30.0))


def test_a_volume_lies_in_its_own_space_in_any_unit():
    assert same_space(CT, CT) == ""
    assert same_space(CT, Volume(VOXELS, (3000.0, 1950.0, 1950.0), "um", (1e4, -2e4, 3e4))) == ""


def test_what_files_round_away_does_not_count():
    assert same_space(CT, Volume(VOXELS, (3.0001, 1.95, 1.9500001), "mm", (10.001, -20.0, 30.0))) == ""


def test_a_lost_header_is_described():
    assert same_space(CT, Volume(VOXELS, (1.0, 1.0, 1.0), "mm")) == (
        "spacing (3, 1.95, 1.95) and (1, 1, 1) mm; origin (10, -20, 30) and (0, 0, 0) mm"
    )


def test_a_volume_stored_backwards_lies_in_the_same_space_if_its_origin_says_so():
    stored_backwards = Volume(VOXELS, (3.0, 1.95, 1.95), "mm", (10.0 + 3 * 3.0, -20.0, 30.0), BACKWARDS)
    assert same_space(CT, stored_backwards) == ""
    wrong = Volume(VOXELS, (3.0, 1.95, 1.95), "mm", (10.0, -20.0, 30.0), BACKWARDS)
    assert same_space(CT, wrong) == "origin (10, -20, 30) and (1, -20, 30) mm"


def test_an_oblique_volume_lies_elsewhere():
    cos, sin = np.cos(0.1), np.sin(0.1)
    tilted = Volume(VOXELS, CT.spacing, "mm", CT.origin, ((cos, -sin, 0.0), (sin, cos, 0.0), (0.0, 0.0, 1.0)))
    assert same_space(CT, tilted).startswith("direction (1, 0, 0, 0, 1, 0, 0, 0, 1) and (0.995004, ")


def test_slices_of_a_tilted_gantry_are_compared_as_the_upright_stack_of_their_labels():
    tilted = replace(CT, tilt=(-1.0, 0.0))
    assert same_space(tilted, CT) == same_space(CT, tilted) == ""
    elsewhere = replace(CT, origin=(10.0, -21.0, 30.0))
    assert same_space(tilted, elsewhere) == "origin (10, -20, 30) and (10, -21, 30) mm"


def test_shapes_are_compared():
    assert same_space(CT, Volume(VOXELS[1:], CT.spacing, "mm", CT.origin)) == "shape (4, 5, 6) and (3, 5, 6)"


def test_the_spacing_along_an_axis_of_one_voxel_does_not_count():
    assert same_space(Volume(VOXELS[:1], (5.0, 1.0, 1.0), "mm"), Volume(VOXELS[:1], (1.0, 1.0, 1.0), "mm")) == ""


@pytest.mark.parametrize(("ending", "what"), [(".nii.gz", "origin"), (".ome.zarr", "origin"), (".tiff", "")])
def test_only_what_a_file_says_is_compared(tmp_path, ending, what):
    write_volume(tmp_path / f"a{ending}", Volume(VOXELS, CT.spacing, "mm", (0.0, 0.0, 1.0), IDENTITY))
    assert same_space(CT, open_volume(tmp_path / f"a{ending}"))[: len("origin")] == what
    write_volume(tmp_path / f"b{ending}", Volume(VOXELS, (1.0, 1.0, 1.0), "mm", CT.origin))
    assert same_space(CT, open_volume(tmp_path / f"b{ending}")) == "spacing (3, 1.95, 1.95) and (1, 1, 1) mm"


def test_a_file_without_a_unit_says_nothing_about_its_place(tmp_path):
    write_volume(tmp_path / "a.tiff", Volume(VOXELS))
    assert same_space(CT, open_volume(tmp_path / "a.tiff")) == ""


@pytest.mark.parametrize(
    ("spacing", "shape", "planes"),
    [
        ((5, 5, 5), None, ("xy", "xz", "yz")),
        ((6, 5, 5.5), None, ("xy", "xz", "yz")),
        ((40, 5, 5), None, ("xy",)),
        ((5, 40, 5), None, ("xz",)),
        ((5, 5, 40), None, ("yz",)),
        ((10, 5, 7), None, ("xy",)),  # none is sharp: the smallest pixels
        ((1, 5, 5), (1, 9, 9), ("xy",)),  # a spacing along one voxel says nothing
        ((5, 5, 5), (9, 1, 9), ("xz",)),
        ((5, 5, 5), (1, 1, 9), ("xy", "xz", "yz")),
    ],
)
def test_sharp_planes(spacing, shape, planes):
    assert sharp_planes(spacing, shape) == planes


def test_the_planes_of_several_volumes_are_those_that_all_are_sharp_in():
    cube, flat, other = (Volume(VOXELS, spacing) for spacing in ((5, 5, 5), (40, 5, 5), (5, 40, 5)))
    assert planes_sharp_in_all([cube, cube]) == ("xy", "xz", "yz")
    assert planes_sharp_in_all([cube, flat]) == ("xy",)
    assert planes_sharp_in_all([cube, flat, other]) == ()


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_a_place_of_the_canonical_array_is_where_its_voxel_lies_in_the_file(axes, signs):
    direction = np.zeros((3, 3))
    direction[list(axes), range(3)] = signs
    original = Volume(np.arange(2 * 3 * 4).reshape(2, 3, 4), direction=tuple(map(tuple, direction.tolist())))
    canonical = np.asarray(to_canonical(original).voxels)
    for place in np.ndindex(canonical.shape):
        assert original.voxels[place_from_canonical(place, original)] == canonical[place]
