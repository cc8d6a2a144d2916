"""An option that decides on prepared slices is in their key: a new one fails here until it is, or is said not to."""

from planewise.apps.ild.options import IldPrepare
from planewise.apps.ild.prepare import DECISIVE
from planewise.apps.mito.train_options import MitoTrain

ILD_BY_WHAT_THEY_COME_TO = {
    "dataset_path", "channel", "ignore_geometry",  # the cases, and how they are read
    "window", "window_level", "window_width",  # the window in HU
    "lungs",  # a fingerprint of the masks
    "split", "patient_pattern", "patients", "valid_share", "test_share",  # the split
}  # fmt: skip
ILD_WITHOUT_EFFECT = {"work_dir", "num_workers"}
MITO_BY_WHAT_THEY_COME_TO = {
    "dataset_path", "channel", "ignore_geometry", "class_name", "things", "train_planes", "intensity", "invert",
    "base_model", "backbone", "from_scratch",  # the intensities that a model was trained on
    "corrections", "image", "margin",  # the truth of a dataset that is made of them
}  # fmt: skip
MITO_WITHOUT_EFFECT = {
    "model_dir", "model_name", "iterations", "minutes", "self_training", "batch_size", "learning_rate", "patch_size",
    "finetune_layer",
    "skip_conversion", "output_data_path", "test_after_training", "test_axes", "resume", "overwrite",
    "checkpoint_interval", "seed", "device", "devices", "num_nodes", "precision", "num_workers",
}  # fmt: skip


def test_every_option_of_ild_prepare_is_in_the_key_or_has_no_effect():
    assert set(IldPrepare.model_fields) == DECISIVE | ILD_BY_WHAT_THEY_COME_TO | ILD_WITHOUT_EFFECT


def test_every_option_of_mito_train_is_in_the_key_or_has_no_effect():
    assert set(MitoTrain.model_fields) == MITO_BY_WHAT_THEY_COME_TO | MITO_WITHOUT_EFFECT
