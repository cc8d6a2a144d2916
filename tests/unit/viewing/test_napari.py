"""What layers napari gets. Its model of a viewer needs no window; a window is opened in the integration tests."""

import numpy as np
import pytest

from scenes import CODED, LABELS, SPACING, em_scene

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # napari's own
PLACES = [("merge: truth 1, 2; predicted 7; 12 voxels", (2, 4, 20), 12), ("missed: truth 3; 4 voxels", (8, 1, 5), 4)]


@pytest.fixture
def filled():
    pytest.importorskip("napari", reason="napari is not installed: pip install planewise[napari]")

    def fill_model(scene):
        from napari.components import ViewerModel

        from planewise.viewing.napari_window import fill

        viewer = ViewerModel()
        fill(viewer, scene)
        return viewer

    return fill_model


@pytest.mark.parametrize("ending", [".tiff", ".ome.zarr"])
def test_layers_with_spacing_units_and_colours(tmp_path, filled, ending):
    names = {7: "ring", 300: "bar"} if ending == ".ome.zarr" else None
    viewer = filled(em_scene(tmp_path, ending, names=names, places=PLACES, chosen={"method": 7}))
    image, truth, method, places = viewer.layers
    assert [layer.name for layer in viewer.layers] == ["case", "truth", "method", "places"]
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Labels", "Labels", "Points"]
    assert (truth.visible, method.visible) == (False, True)
    assert all(tuple(layer.scale) == SPACING for layer in viewer.layers)
    assert [str(unit) for unit in image.units] == ["nanometer"] * 3
    assert np.array_equal(np.asarray(image.data), CODED)
    assert np.array_equal(np.asarray(method.data), LABELS)
    assert method.selected_label == 7
    assert np.array_equal(places.data, [place[1] for place in PLACES])
    assert tuple(viewer.dims.point) == (6 * 40, 10 * 8, 16 * 4)
    if names:
        assert np.allclose(method.get_color(7)[:3], np.array([0xE6, 0x9F, 0x00]) / 255)
        assert method.features["name"].tolist() == ["background", "ring", "bar"]


def test_a_store_is_read_as_it_is_seen(tmp_path, filled, monkeypatch):
    monkeypatch.setattr("planewise.volumes.formats.ome_zarr.LEAST_LEVEL", 8)
    viewer = filled(em_scene(tmp_path))
    image = viewer.layers[0]
    assert image.multiscale
    assert [level.shape for level in image.data] == [(12, 20, 33), (6, 10, 17), (3, 5, 9), (2, 3, 5)]
    assert not isinstance(image.data[0], np.ndarray)
    assert np.array_equal(np.asarray(image.data[1]), CODED[::2, ::2, ::2])
    assert tuple(image.scale) == SPACING


def test_going_to_a_place(tmp_path, filled):
    from planewise.viewing.napari_window import go

    scene = em_scene(tmp_path, places=PLACES)
    viewer = filled(scene)
    go(viewer, scene, (8, 1, 5))
    assert tuple(viewer.dims.point) == (8 * 40, 1 * 8, 5 * 4)
    assert tuple(viewer.scene.camera.center)[1:] == (1 * 8, 5 * 4)


def test_a_window_is_read_when_it_is_made_an_array(filled):
    from planewise.viewing.napari_window import Window

    class Voxels:
        shape, dtype = CODED.shape, CODED.dtype
        read = []  # noqa: RUF012

        def __getitem__(self, index):
            self.read.append(index)
            return CODED[index]

    window = Window(Voxels(), np.dtype(np.uint32), tuple(range(side) for side in CODED.shape))
    seen = window[:, 2:14:3, 5:20][4:, 1:][1, ..., ::2]
    assert (seen.shape, seen.ndim, seen.size) == ((3, 8), 2, 24)
    assert Voxels.read == []
    assert np.array_equal(np.asarray(seen), CODED[:, 2:14:3, 5:20][4:, 1:][1, ..., ::2])
    assert Voxels.read == [(5, slice(5, 14, 3), slice(5, 20, 2))]
