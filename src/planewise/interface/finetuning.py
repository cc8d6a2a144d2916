"""The function finetune: trains a base model on a dataset."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planewise.data.nnunet_writing import write_dataset
from planewise.errors import PlanewiseError
from planewise.interface.calls import call
from planewise.interface.model import Model, is_mitonet
from planewise.progress import ProgressFunction, say
from planewise.volumes.arrays import as_volume
from planewise.volumes.labels import as_labels

Cases = Mapping[str, tuple[Any, Any]]


def finetune(
    dataset: str | os.PathLike[str] | Cases,
    base: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    classes: Mapping[int, str] | None = None,
    progress: ProgressFunction | bool | None = None,
    **options: Any,
) -> Model:
    """Fine-tune a model on a dataset and return it; everything is kept in the folder ``output``.

    ``dataset``: a nnU-Net raw dataset (dataset.json, imagesTr, instancesTr or labelsTr), or {case: (image, labels)}
    with anything that ``open`` takes; these are written as a dataset to ``output``/dataset. ``base``: a MitoNet, whose
    labels are instances, or a SAM2, whose labels are classes, see ``load_model``; "SAM2" with from_scratch=True starts
    from random weights. ``classes``: for SAM2 with {case: ...}, the names of the labels by value.

    ``options``: those of ``planewise mito train``, or of ``planewise ild prepare`` and ``ild train``, by name. Other
    processes are started only if num_workers or devices ask for them; a script then needs ``if __name__ ==
    "__main__":``. Cases that cannot be used are left out, and logged. For ``progress`` see ``segment``.

    Raises PlanewiseError for a dataset, base or option that cannot be used, or if the training fails.
    """
    with call(progress):
        folder, mitonet = Path(output), is_mitonet(base)
        options = {"num_workers": 0} | options
        if isinstance(dataset, Mapping):
            cases = {}
            for name, given in dataset.items():
                if not isinstance(given, tuple | list) or len(given) != 2:
                    raise PlanewiseError(
                        f"dataset: case {name} is {type(given).__name__}; give {{case: (image, labels)}}, or the "
                        "folder of a nnU-Net raw dataset"
                    )
                image, labels = given
                truth = f"labels of {name}"
                cases[name] = as_volume(image, name=name), as_labels(as_volume(labels, name=truth), Path(truth))
            source = folder / "dataset"
            write_dataset(source, cases, None if mitonet else dict(classes or {}))
            say(f"The cases are in {source}, a nnU-Net raw dataset")
        else:
            source = Path(dataset)
        if mitonet:
            from planewise.interface.mitonet import finetune_mitonet

            return finetune_mitonet(source, base, folder, options)
        from planewise.interface.sam2 import finetune_sam2

        return finetune_sam2(source, base, folder, options)
