"""The original command lines as they are printed, each twice: what is done is not done again, and all end well."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from planewise.cli import run
from planewise.compat.scripts import run_script
from planewise.data.phantom import write_chest_dataset, write_phantom_dataset
from planewise.data.prepared import load_patient
from planewise.report.class_tables import RESULTS
from planewise.training.checkpoint import load_checkpoint
from planewise.volumes.labels import read_labels, write_labels
from stopped import ENVIRONMENT

SCRIPTS = Path(__file__).parents[2] / "scripts"
SHAPE = (20, 112, 112)  # whose lesions are not removed as small
NII_TO_NPZ = (
    "nii_to_npz -img_path imagesTr -img_name_suffix _0000.nii.gz -gt_path labelsTr -gt_name_suffix .nii.gz "
    "-output_path ./data/ILD -num_workers 0 -modality CT -anatomy ILD -window_level 40 -window_width 400 --save_nii"
)
NPZ_TO_NPY = (
    "npz_to_npy -npz_train_dir ./data/ILD/npz_train/CT_ILD -npz_valid_dir ./data/ILD/npz_valid/CT_ILD "
    "-npy_dir ./data/ILD/npy -num_workers 4"
)
FINETUNE = (
    "finetune_sam2_img -i ./data/ILD/npy -task_name MedSAM2-Tiny-ILD -work_dir ./work_dir -num_epochs 1 "
    "-batch_size 16 -lr 1e-5 -pretrain_model_path checkpoints/sam2_hiera_tiny.pt -model_cfg sam2_hiera_t.yaml "
    "-bbox_shift 5 -weight_decay 0.01 -num_workers 0 -device cpu"
)
RESUME = f"{FINETUNE} -resume work_dir/MedSAM2-Tiny-ILD/medsam_model_latest.pth"
INFER = "-model_cfg sam2_hiera_t.yaml -bbox_shift 5 -num_workers 10 --visualize -device cpu"
INFER_MEDSAM2 = (
    "infer_medsam2_ILD -data_root ./data/ILD/npz_test/CT_ILD -pred_save_dir ./segs/medsam2 -sam2_checkpoint "
    f"checkpoints/sam2_hiera_tiny.pt -medsam2_checkpoint work_dir/MedSAM2-Tiny-ILD/medsam_model_best.pth {INFER}"
)
INFER_SAM2 = f"infer_sam2_ILD -data_root ./data/ILD/npz_test/CT_ILD -pred_save_dir ./segs/sam2 {INFER}"
COMPUTE = "compute_metrics_ILD_all -s ./segs/medsam2 -g labelsTr -csv_dir ./infer_eval/medsam2"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a small SAM2 to start from."""
    folder = tmp_path_factory.mktemp("weights")
    write_chest_dataset(folder / "data", 0, (6, 32, 32), train_cases=1)
    assert run(["ild", "prepare", str(folder / "data"), str(folder), "--min_voxels", "0", "--min_pixels", "0"]) == 0
    assert run(["ild", "train", str(folder), "--from_scratch", "--image_size", "64", "--epochs", "1", "--batch_size",
                "8", "--num_workers", "0", "--device", "cpu"]) == 0  # fmt: skip
    return folder / "MedSAM2-Tiny-ILD" / "medsam_model_latest.pth"


@pytest.fixture
def in_folder(tmp_path, weights, monkeypatch):
    """A working folder with imagesTr, labelsTr and dataset.json, without imagesTs, and with weights."""
    write_chest_dataset(tmp_path, 0, SHAPE, train_cases=3)
    for name in ("imagesTs", "labelsTs"):
        shutil.rmtree(tmp_path / name)
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(weights, tmp_path / "checkpoints" / "sam2_hiera_tiny.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def original(line):
    name, *words = line.split()
    return run_script(name, words)


@pytest.mark.slow
def test_the_lines_as_printed_twice(in_folder, capsys):
    for line, again in (
        (NII_TO_NPZ, "it is prepared already"),
        (NPZ_TO_NPY, ""),
        (FINETUNE, "already holds this training: it is resumed"),
        (RESUME, "already holds this training: it is resumed"),
        (INFER_MEDSAM2, "done already"),
        (INFER_SAM2, "done already"),
        (COMPUTE, "infer_eval/medsam2: done already"),
    ):
        assert original(line) == 0, capsys.readouterr().err
        capsys.readouterr()
        assert original(line) == 0, capsys.readouterr().err
        assert again in capsys.readouterr().err, line
    (tested,) = (path.stem for path in Path("data/ILD/npz_test/CT_ILD").glob("*.npz"))
    assert len(list(Path("data/ILD").glob("npz_t*/CT_ILD/*_img.nii.gz"))) == 2
    for method in ("medsam2", "sam2"):
        assert [path.name for path in Path("segs", method).glob("*.nii.gz")] == [f"{tested}.nii.gz"]
        assert Path("segs", method, f"{tested}.png").exists()
    with Path("infer_eval/medsam2", RESULTS).open() as file:
        assert {line.split(",")[0] for line in file} == {"case", tested}


@pytest.mark.slow
def test_labels_of_another_folder_are_prepared_and_their_window_goes_with_the_slices(in_folder, capsys):
    Path("second_reader").mkdir()
    for path in sorted(Path("labelsTr").iterdir()):
        labels = read_labels(path)
        zeroed = labels.with_voxels(np.where(labels.read() == 1, 0, labels.read()).astype(np.uint8))
        write_labels(Path("second_reader") / path.name.replace(".nii.gz", "_seg.nii.gz"), zeroed)
    line = NII_TO_NPZ.replace(
        "-gt_path labelsTr -gt_name_suffix .nii.gz", "-gt_path second_reader -gt_name_suffix _seg.nii.gz"
    )
    assert original(line) == 0
    computed = [load_patient(path).labels for path in Path("data/ILD").glob("npz_*/CT_ILD/*.npz")]
    assert len(computed) == 3
    assert {value for labels in computed for value in np.unique(labels).tolist()} == {0, 2, 3}
    assert original(NPZ_TO_NPY.replace("./data/ILD/npy", "./elsewhere/slices")) == 0
    assert original(FINETUNE.replace("./data/ILD/npy", "./elsewhere/slices")) == 0
    model = torch.load("work_dir/MedSAM2-Tiny-ILD/medsam_model_best.pth", weights_only=True)
    assert model["window"] == (40, 400)
    assert [path.name for path in Path("elsewhere").iterdir()] == ["slices"]


def train_sh(folder, steps, **variables):
    """Run train.sh step by step; return what each said."""
    small = {"EPOCHS": "1", "BATCH_SIZE": "16", "IMAGE_SIZE": "64", "NUM_WORKERS": "0"}
    printed = []
    for step in steps:
        environment = {**ENVIRONMENT, "PYTHON": sys.executable, **small, **variables, **step}
        result = subprocess.run(["bash", SCRIPTS / "train.sh"], cwd=folder, env=environment,
                                capture_output=True, text=True)  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        printed.append(result.stderr)
    return printed


TRAIN, MEDSAM2, BASELINE = {"TRAINORINFER": "1"}, {"TRAINORINFER": "2"}, {"TRAINORINFER": "2", "USEMEDSAM": "false"}


@pytest.mark.slow
def test_train_sh_twice_on_two_folders(tmp_path, weights):
    """With the original's variables, which decide."""
    write_chest_dataset(tmp_path / "data", 0, SHAPE, train_cases=3)
    images = (tmp_path / "data" / "imagesTr").rename(tmp_path / "ct")
    labels = (tmp_path / "data" / "labelsTr").rename(tmp_path / "drawn")
    for folder, before, after in ((images, "_0000.nii.gz", "_ct.nii.gz"), (labels, ".nii.gz", "_drawn.nii.gz")):
        for path in list(folder.iterdir()):
            path.rename(path.with_name(path.name.replace(before, after)))
    first, trained, _, _ = train_sh(
        tmp_path, (TRAIN, TRAIN, MEDSAM2, BASELINE), IMG_PATH=str(images), GT_PATH=str(labels),
        IMG_NAME_SUFFIX="_ct.nii.gz", GT_NAME_SUFFIX="_drawn.nii.gz", PRETRAIN_MODEL_PATH=str(weights), L_RATE="3e-4",
        MODEL_CFG="sam2.1_hiera_t512.yaml",
    )  # fmt: skip
    assert "3 pairs" in first
    assert "prepared already" in trained
    assert "it is resumed" in trained
    state = load_checkpoint(tmp_path / "work_dir" / "MedSAM2-Tiny-ILD" / "training" / "last.ckpt")
    assert state["options"]["learning_rate"] == 3e-4
    (predicted,) = (path.name for path in (tmp_path / "segs" / "medsam2").glob("*.nii.gz"))
    assert (labels / predicted.replace(".nii.gz", "_drawn.nii.gz")).exists()
    for name in ("medsam2", "sam2"):
        assert (tmp_path / "segs" / name / predicted).exists()
        assert (tmp_path / "infer_eval" / name / RESULTS).exists()


@pytest.mark.slow
def test_train_sh_on_a_nnunet_dataset_tests_on_its_test_images(tmp_path, weights):
    write_chest_dataset(tmp_path / "data", 0, SHAPE, train_cases=2)
    train_sh(tmp_path, (TRAIN, MEDSAM2), DATASET="data", PRETRAIN_MODEL_PATH=str(weights))
    predicted = {path.name for path in (tmp_path / "segs" / "medsam2").glob("*.nii.gz")}
    assert predicted == {"CT_phantomtest.nii.gz", "CT_phantomhealthy.nii.gz"}
    with (tmp_path / "infer_eval" / "medsam2" / RESULTS).open() as file:
        assert {line.split(",")[0] for line in file} == {"case", "CT_phantomtest", "CT_phantomhealthy"}


@pytest.mark.slow
def test_mito_twice(tmp_path, capsys):
    write_phantom_dataset(tmp_path / "D", 0, (32, 64, 72), (24, 40, 56), 1, bodies=8)
    small = "--from_scratch --batch_size 2 --patch_size 64 --num_workers 0 --device cpu --train_planes xy"
    train = (
        f"mitoNet_finetune_from_nnunet {tmp_path}/D {tmp_path}/models --model_config configs/MitoNet_small.yaml "
        f"--model_name MitoNet_Jurkat --iterations 1 --test_after_training --test_axes xy xz yz {small}"
    )
    predict = (
        f"mitoNet_finetune_from_nnunet --mode predict --trained_model {tmp_path}/models/MitoNet_Jurkat.yaml --input "
        f"{tmp_path}/D/imagesTs --output {tmp_path}/out --axes xy xz yz --device cpu"
    )
    for line, again in ((train, "MitoNet_Jurkat has begun already"), (predict, "done already")):
        assert original(line) == 0, capsys.readouterr().err
        capsys.readouterr()
        assert original(line) == 0, capsys.readouterr().err
        assert again in capsys.readouterr().err
