"""How large the objects are that a model is trained on: what is much smaller is seldom one."""

from collections import Counter

import numpy as np

from planewise.models.model_file import ModelFile, Specks
from planewise.training.slice_folder import SlicePair, case_of, planes_of, read_pair


def specks_by_training(model: ModelFile, pairs: list[SlicePair]) -> Specks | None:
    """Return what a model trained on ``pairs`` leaves out, by its recipe: that of ``model`` if the recipe does not say.

    Its least size is a quantile of the sizes of the objects in ``pairs``, those for validation among them.
    """
    recipe = model.little_data
    if recipe is None or recipe.size_quantile is None:
        return model.specks
    sizes = object_sizes(pairs)
    least = int(np.quantile(sizes, recipe.size_quantile)) if len(sizes) else 0
    return Specks(min_fused_size=least, min_agreement=recipe.min_agreement)


def object_sizes(pairs: list[SlicePair]) -> np.ndarray:
    """Return the voxels of every object, in no order; none where the names of slices do not say their planes.

    Parts of a case that are trained on and parts that are kept for validation count together.
    """
    planes = planes_of(pairs)
    if planes is None:
        return np.zeros(0, np.int64)
    sizes: Counter[tuple[str, int]] = Counter()
    for pair in pairs:
        if pair.source.endswith(f"_{planes[0]}"):
            ids, counts = np.unique(read_pair(pair)[1], return_counts=True)
            sizes.update({(case_of(pair), i): n for i, n in zip(ids.tolist(), counts.tolist()) if i > 0})
    return np.array(list(sizes.values()), np.int64)
