import pickle

import numpy as np
import tifffile

from planewise.training.slice_folder import SlicePair, read_pair
from planewise.training.slice_memory import SliceMemory


def write_pairs(folder, count, top=3):
    pairs = []
    for i in range(count):
        paths = folder / f"image_{i}.tiff", folder / f"labels_{i}.tiff"
        tifffile.imwrite(paths[0], np.full((4, 5), 10 * i, np.uint8), photometric="minisblack")
        labels = np.full((4, 5), top, np.int32)
        labels[0] = -1
        tifffile.imwrite(paths[1], labels, photometric="minisblack")
        pairs.append(SlicePair(*paths, "image"))
    return pairs


def test_slices_are_the_same_at_every_reading_and_are_read_once(tmp_path):
    for top in (3, 70_000):
        (pair,) = write_pairs(tmp_path, 1, top)
        expected, memory = read_pair(pair), SliceMemory()
        first = memory.read(pair)
        pair.image.unlink()
        again = memory.read(pair)
        for result in (first, again):
            assert [array.dtype for array in result] == [np.float32, np.int32]
            assert all(np.array_equal(a, b) for a, b in zip(result, expected))


def test_what_does_not_fit_is_read_anew(tmp_path):
    pairs = write_pairs(tmp_path, 2)
    memory = SliceMemory(4 * 5 * (4 + 2))
    before = [memory.read(pair) for pair in pairs]
    tifffile.imwrite(pairs[0].image, np.full((4, 5), 99, np.uint8), photometric="minisblack")
    tifffile.imwrite(pairs[1].image, np.full((4, 5), 255, np.uint8), photometric="minisblack")
    assert np.array_equal(memory.read(pairs[0])[0], before[0][0])
    assert (memory.read(pairs[1])[0] == 1).all()
    assert memory.read(pairs[1])[1].dtype == np.int32


def test_another_process_is_not_sent_what_is_remembered(tmp_path):
    (pair,) = write_pairs(tmp_path, 1)
    memory = SliceMemory()
    assert (memory.read(pair)[0] == 0).all()
    tifffile.imwrite(pair.image, np.full((4, 5), 255, np.uint8), photometric="minisblack")
    assert (pickle.loads(pickle.dumps(memory)).read(pair)[0] == 1).all()
    assert (memory.read(pair)[0] == 0).all()
