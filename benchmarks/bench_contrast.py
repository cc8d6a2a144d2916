"""How often crops are taken for inverted, rightly and wrongly, and how many of them are refused for it.

Each volume of the folders is cut into crops, which are compared with what a model would have seen of each other volume:
as they are and inverted, each with its grey values changed. A crop that is taken for inverted is refused if that is
certain (CERTAIN of planewise.data.contrast), and else only warned about: so many wrong refusals are avoided, at the
price of so many right ones. Without folders it runs on phantoms, whose numbers mean nothing.

    python benchmarks/bench_contrast.py [--tiny] [FOLDER ...]
"""

from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from machine import TINY, WORDS, describe
from scipy import ndimage

from planewise.data.intensity_profile import IntensityProfile, measure_intensities
from planewise.data.phantom import em_phantom
from planewise.volumes.files import open_volume, volumes_in
from planewise.volumes.volume import Volume

CROP = (32, 128, 128) if TINY else (64, 192, 256)  # z, y, x
CHANGES = {
    "as it is": lambda shares: shares,
    "gamma 0.25": lambda shares: shares**0.25,
    "gamma 0.5": lambda shares: shares**0.5,
    "gamma 2": lambda shares: shares**2,
    "gamma 3": lambda shares: shares**3,
    "gamma 4": lambda shares: shares**4,
    "a fifth of the range": lambda shares: 0.4 + 0.2 * shares,
    "noise of SD 0.1": lambda shares: np.clip(shares + np.random.default_rng(0).normal(0, 0.1, shares.shape), 0, 1),
    "half as many pixels": lambda shares: ndimage.zoom(shares, 0.5, order=1),
    "twice as many pixels": lambda shares: ndimage.zoom(shares[: CROP[0] // 2], 2, order=1),
}


def images() -> dict[str, Volume]:
    """Return the volumes to compare, by name."""
    if not WORDS:
        return {f"phantom {seed}": Volume(em_phantom((64, 256, 256), 24, seed)[0]) for seed in range(2)}
    return {str(path): open_volume(path) for folder in WORDS for path in volumes_in(Path(folder))}


def crops(image: Volume) -> Iterator[np.ndarray]:
    """Yield the crops of an image that lie side by side, as shares of the range of its type, which has no sign."""
    for starts in product(*(range(0, side - length + 1, length) for side, length in zip(image.shape, CROP))):
        voxels = np.asarray(image.voxels[tuple(slice(a, a + length) for a, length in zip(starts, CROP))])
        yield voxels / np.iinfo(voxels.dtype).max


def profile_of(image: Volume) -> IntensityProfile:
    """Return what planewise measures of an image."""
    return measure_intensities(image, Path("crop"))


print(describe(), flush=True)
contrasts = {name: profile_of(image).contrast for name, image in images().items()}
print("\n".join(f"{name}: {contrast}" for name, contrast in contrasts.items()), flush=True)
print(
    "| grey values | crops | inverted: taken for inverted | of these refused | not inverted: taken for inverted | ",
    end="",
)
print("of these refused |\n" + "|---" * 6 + "|")
for change, changed in CHANGES.items():
    taken, refused, count = Counter(), Counter(), 0
    for name, image in images().items():
        trained = [contrast for other, contrast in contrasts.items() if other != name]
        for crop in crops(image):
            count += len(trained)
            for inverted in (True, False):
                voxels = np.rint(255 * changed(1 - crop if inverted else crop)).astype(np.uint8)
                profile = profile_of(Volume(voxels))
                against = sum(profile.contrast.against(contrast) == "inverted" for contrast in trained)
                taken[inverted] += against
                refused[inverted] += against * profile.contrast_is_certain
    cells = (f"{taken[inverted]} | {refused[inverted]}" for inverted in (True, False))
    print(f"| {change} | {count} | {' | '.join(cells)} |", flush=True)
