"""mito demo: make a phantom dataset, train on it, predict and evaluate."""

import shutil

from planewise.apps.mito.train import train_mito
from planewise.apps.mito.train_options import MitoDemo, MitoTrain
from planewise.data.phantom import THINGS, write_phantom_dataset
from planewise.errors import PlanewiseError
from planewise.progress import say


def demo_mito(options: MitoDemo) -> int:
    """Make a phantom dataset, train on it, predict and evaluate. Returns the exit code."""
    dataset = options.folder / "Dataset000_Phantom"
    made = [dataset, dataset.with_name(f"{dataset.name}_2d"), dataset.with_name(f"{dataset.name}_model")]
    if options.folder.exists():
        others = sorted(item.name for item in options.folder.iterdir() if item not in made)
        if others:
            raise PlanewiseError(f"{options.folder}: holds {', '.join(others[:5])}; give an empty or a new folder")
    for folder in made:  # of an earlier demo
        shutil.rmtree(folder, ignore_errors=True)
    say(f"Making a synthetic EM dataset in {dataset}")
    write_phantom_dataset(dataset, options.seed, organelles=options.organelles)
    job = MitoTrain(
        dataset_path=dataset,
        model_dir=made[2],
        base_model="MitoNet_small.yaml",
        model_name="Demo",
        from_scratch=True,
        iterations=300,
        batch_size=8,
        patch_size=128,
        learning_rate=0.003,
        test_after_training=True,
        seed=options.seed,
        precision="32",
        things=THINGS if options.organelles else (),
    )
    return train_mito(job)
