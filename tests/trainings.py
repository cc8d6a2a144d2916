"""Tiny trainings, mito's and ild's alike, for the command line."""

import numpy as np

from planewise.data.phantom import write_phantom_dataset
from planewise.training.checkpoint import load_checkpoint

MITO = ["--model_config", "MitoNet_small.yaml", "--from_scratch", "--patch_size", "64", "--train_planes", "xy",
        "--num_workers", "0", "--device", "cpu"]  # fmt: skip
ILD = ["--from_scratch", "--image_size", "64", "--batch_size", "1", "--num_workers", "0", "--device", "cpu"]


class Training:
    """A training on a tiny dataset: mito's in steps, ild's in epochs of two."""

    def __init__(self, app, folder):
        self.app, self.folder = app, folder
        if app == "mito":
            write_phantom_dataset(folder / "data", 0, (32, 64, 72), (24, 40, 56), 1, bodies=8)
        else:
            for part, name in (("train", "a-000"), ("train", "a-001"), ("valid", "b-000")):
                write_slice(folder, part, name)

    def command(self, name, epochs, *more):
        if self.app == "mito":
            given = [] if "--batch_size" in more else ["--batch_size", "2"]
            return ["mito", "train", str(self.folder / "data"), str(self.folder / name), "--iterations",
                    str(2 * epochs), *MITO, *given, *more]  # fmt: skip
        return ["ild", "train", str(self.folder), "--task_name", name, "--epochs", str(epochs), *ILD, *more]

    def logs(self, name):
        return self.folder / name / ("FinetunedMitoNet_training" if self.app == "mito" else "training")

    def model(self, name):
        return self.folder / name / ("FinetunedMitoNet.pth" if self.app == "mito" else "medsam_model_best.pth")

    def last(self, name):
        return load_checkpoint(self.logs(name) / "last.ckpt")


def write_slice(folder, part, name):
    labels = np.zeros((256, 256), np.uint8)
    labels[30:120, 40:110] = 1
    for kind, content in (("imgs", np.full((40, 50, 3), 100, np.uint8)), ("gts", labels)):
        path = folder / "npy" / part / kind / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, content)
