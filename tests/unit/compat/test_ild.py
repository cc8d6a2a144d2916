import os
from pathlib import Path
from shlex import split

import pytest
import torch

from planewise.compat import ild
from planewise.compat.scripts import run_script
from planewise.data.phantom import write_chest_dataset
from planewise.errors import PlanewiseError
from planewise.models import sam2_files

WEIGHTS = "-pretrain_model_path sam2.pt"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_nii_to_npz(tmp_path, capsys):
    write_chest_dataset(tmp_path, 0, (4, 16, 16), train_cases=1)
    line = ild.nii_to_npz(
        split(
            "-img_path imagesTr -img_name_suffix _0000.nii.gz -gt_path labelsTr -gt_name_suffix "
            ".nii.gz -output_path ./data/ILD -num_workers 4 -modality CT -anatomy ILD "
            "-window_level 40 -window_width 400 --save_nii"
        )
    )
    assert line == (
        f"ild prepare {tmp_path} data/ILD --min_voxels 1000 --min_pixels 100 --num_workers 4 --window_level 40 "
        "--window_width 400 --save_nii".split()
    )
    assert "-modality CT has no effect: volumes are CT; the folders" in capsys.readouterr().err
    line = ild.nii_to_npz(split("-img_path imagesTr -gt_path labelsTr --min_voxels 5"))
    assert line[3:] == split("data --min_voxels 5 --min_pixels 100")
    assert "the lung window" in capsys.readouterr().err


def test_without_images_for_the_test_a_fifth_of_the_patients_is_kept(tmp_path, capsys):
    write_chest_dataset(tmp_path, 0, (4, 16, 16), train_cases=1)
    (tmp_path / "imagesTs").rename(tmp_path / "elsewhere")
    old = ["-img_path", "imagesTr", "-gt_path", "labelsTr"]
    assert ild.nii_to_npz(old)[-2:] == ["--test_share", "0.2"]
    assert "There is no imagesTs: --test_share 0.2" in capsys.readouterr().err
    assert ild.nii_to_npz([*old, "--test_share", "0.5"])[-2:] == ["--test_share", "0.5"]
    assert "--test_share" not in ild.nii_to_npz([*old, "--split", "s.json"])


def test_finetune_sam2():
    line = ild.finetune_sam2(
        split(
            "-i ./data/ILD/npy -task_name T -work_dir ./work_dir -num_epochs 500 -batch_size 16 "
            "-lr 1e-5 -pretrain_model_path sam2.pt -model_cfg sam2_hiera_t.yaml -bbox_shift 5 "
            "-weight_decay 0.01 -num_workers 0 -device cuda:0"
        )
    )
    assert line == (
        split(
            "ild train ./work_dir --task_name T --epochs 500 --batch_size 16 --learning_rate 1e-5 "
            "--bbox_shift 5 --weight_decay 0.01 --num_workers 0 --npy_path ./data/ILD/npy --base "
            "sam2.pt --device cuda"
        )
    )
    assert ild.finetune_sam2(f"--tr_npy_path=N {WEIGHTS}".split()) == split(
        "ild train work_dir --npy_path N --base sam2.pt"
    )


def test_a_training_that_was_begun_goes_on(tmp_path, capsys):
    (tmp_path / "work_dir" / "T" / "training").mkdir(parents=True)
    (tmp_path / "work_dir" / "T" / "training" / "last.ckpt").touch()
    old = f"-i N -task_name T {WEIGHTS}"
    assert "--resume" in ild.finetune_sam2(old.split())
    assert "work_dir/T already holds this training" in capsys.readouterr().err
    assert "--resume" in ild.finetune_sam2(f"{old} -resume work_dir/T/medsam_model_latest.pth".split())
    assert "--resume" not in ild.finetune_sam2(f"{old} --overwrite".split())
    assert "--resume" not in ild.finetune_sam2(f"-i N -task_name another {WEIGHTS}".split())
    (tmp_path / "work_dir" / "T" / "latest.pth").touch()
    with pytest.raises(PlanewiseError, match="belongs to the training work_dir/T; to resume that, give its folder"):
        ild.finetune_sam2(f"-i N -task_name another {WEIGHTS} -resume work_dir/T/latest.pth".split())


def test_a_checkpoint_of_the_original_script_gives_its_weights(tmp_path, capsys):
    folder = tmp_path / "work_dir" / "T-20240822-2156"
    folder.mkdir(parents=True)
    old = f"-i N -task_name T {WEIGHTS} -resume work_dir/T-20240822-2156/medsam_model_latest.pth".split()
    with pytest.raises(PlanewiseError, match=r"^-resume .*medsam_model_latest.pth: no such file"):
        ild.finetune_sam2(old)
    (folder / "medsam_model_latest.pth").touch()
    line = ild.finetune_sam2(old)
    assert line[line.index("--base") + 1] == "work_dir/T-20240822-2156/medsam_model_latest.pth"
    assert "--resume" not in line
    assert "without its optimiser's state and epoch" in capsys.readouterr().err


def test_weights_are_the_script_s_default_where_it_is_there(tmp_path, capsys):
    for translate, old, flag, default in (
        (ild.finetune_sam2, "-i N", "-pretrain_model_path", "checkpoints/sam2_hiera_tiny.pt"),
        (ild.infer_sam2, "-data_root D -pred_save_dir P", "-sam2_checkpoint", "checkpoints/sam2_hiera_tiny.pt"),
        (
            ild.infer_medsam2,
            "-data_root D -pred_save_dir P",
            "-medsam2_checkpoint",
            "work_dir/MedSAM2-Tiny-ILD/medsam_model_best.pth",
        ),
    ):
        (tmp_path / default).unlink(missing_ok=True)
        with pytest.raises(
            PlanewiseError, match=f"^{flag}: is missing, and the script's default, .*{default}, does not"
        ):
            translate(old.split())
        (tmp_path / default).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / default).touch()
        assert default in translate(old.split())
        assert f"{flag} is not given: {default}" in capsys.readouterr().err


def test_inference(capsys):
    old = "-data_root npz -pred_save_dir segs -sam2_checkpoint s.pt -model_cfg c/sam2.1_hiera_t512.yaml -bbox_shift 5 "
    line = ild.infer_medsam2(f"{old} -medsam2_checkpoint m.pth -num_workers 10 --visualize".split())
    assert line == split("ild predict npz segs --bbox_shift 5 --visualize --image_size 512 --trained_model m.pth")
    err = capsys.readouterr().err
    assert "-num_workers 10 has no effect: patients are segmented one by one; --devices N" in err
    assert "-sam2_checkpoint s.pt has no effect" in err
    line = ild.infer_sam2(f"{old} -vis x.pkl".split())
    assert line == split("ild predict npz segs --bbox_shift 5 --image_size 512 --base s.pt")
    with pytest.raises(PlanewiseError, match="has no flag -medsam2_checkpoint"):
        ild.infer_sam2(f"{old} -medsam2_checkpoint m.pth".split())
    with pytest.raises(PlanewiseError, match=r"^-pred_save_dir: is missing"):
        ild.infer_sam2(["-data_root", "npz"])


@pytest.mark.parametrize(
    ("config", "stated"),
    [
        ("sam2_hiera_t.yaml", ""),
        ("configs/sam2.1/sam2.1_hiera_t.yaml", ""),
        ("sam2_hiera_s.yaml", "says small, but s.pt is tiny, which is used"),
        ("sam2.1_hiera_b+.yaml", "says base_plus, but s.pt is tiny"),
        ("sam2_hiera_large", "says large, but s.pt is tiny"),
        ("mine.yaml", "has no effect: the size of SAM2 is read from its weights"),
    ],
)
def test_the_size_is_that_of_the_weights_and_a_config_of_another_is_told(config, stated, monkeypatch, capsys):
    Path("s.pt").touch()
    monkeypatch.setattr(sam2_files, "size_and_side", lambda path: ("tiny", None))
    line = ild.infer_sam2(split(f"-data_root npz -pred_save_dir segs -sam2_checkpoint s.pt -model_cfg {config}"))
    assert line == split("ild predict npz segs --base s.pt")
    err = capsys.readouterr().err
    assert (f"-model_cfg {config} {stated}" in err) if stated else not err


@pytest.mark.parametrize(("trained_at", "side"), [(None, ["--image_size", "512"]), (1024, []), (512, [])])
def test_a_config_says_the_side_of_weights_that_do_not(trained_at, side, monkeypatch, capsys):
    Path("s.pt").touch()
    monkeypatch.setattr(sam2_files, "size_and_side", lambda path: ("tiny", trained_at))
    old = "-data_root npz -pred_save_dir segs -medsam2_checkpoint s.pt -model_cfg configs/sam2.1_hiera_t512.yaml"
    assert ild.infer_medsam2(split(old)) == split("ild predict npz segs --trained_model s.pt")[:4] + side + [
        "--trained_model",
        "s.pt",
    ]
    stated = "-model_cfg configs/sam2.1_hiera_t512.yaml says 512, but s.pt was trained at 1024, which is used"
    assert (stated in capsys.readouterr().err) == (trained_at == 1024)


def test_weights_that_cannot_be_read_are_left_to_the_command(capsys):
    torch.save({"model": {"a": torch.zeros(1)}}, "s.pt")
    old = split("-data_root npz -pred_save_dir segs -sam2_checkpoint s.pt -model_cfg sam2_hiera_b+.yaml")
    assert ild.infer_sam2(old) == split("ild predict npz segs --base s.pt")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("device", "visible", "wanted", "sees"),
    [
        ("cuda:1", None, "cuda", "1"),
        ("cuda:1", "4,7", "cuda", "7"),
        ("cuda:0", None, "cuda", "0"),
        ("cuda", "4,7", "cuda", "4,7"),
        ("cpu", None, "cpu", None),
    ],
)
def test_the_gpu_of_a_number_is_the_one_that_is_seen(device, visible, wanted, sees, monkeypatch):
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    else:  # so that what is set is taken back
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    line = ild.infer_sam2(f"-data_root D -pred_save_dir P -sam2_checkpoint s.pt -device {device}".split())
    assert line[line.index("--device") + 1] == wanted
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == sees


def test_a_gpu_that_cannot_be_is_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    for device in ("cuda:2", "cuda:first"):
        with pytest.raises(PlanewiseError, match=f"^-device {device}: no such GPU; CUDA_VISIBLE_DEVICES=4,7 has 2"):
            ild.infer_sam2(f"-data_root D -pred_save_dir P -sam2_checkpoint s.pt -device {device}".split())


def test_compute_metrics():
    assert ild.compute_metrics(split("-s segs --gt_dir labelsTr -csv_dir out")) == (
        split("ild evaluate segs labelsTr --output out --predicted_only")
    )


def test_compute_metrics_with_a_suffix(tmp_path):
    write_chest_dataset(tmp_path / "data", 0, (4, 16, 16), train_cases=1)
    folder = tmp_path / "data" / "labelsTr"
    labels = (folder / "CT_phantom1.nii.gz").rename(folder / "a_seg.nii.gz")
    line = ild.compute_metrics(split("-s segs -g data/labelsTr -gt_name_suffix _seg.nii.gz"))
    ours = f"ild evaluate segs segs/evaluation/truth --dataset {tmp_path}/data/dataset.json --predicted_only"
    assert line == ours.split()
    assert (tmp_path / "segs/evaluation/truth/a.nii.gz").resolve() == labels


def test_npz_to_npy_takes_nothing_from_the_working_folder(tmp_path, capsys):
    (tmp_path / "train").mkdir()
    (tmp_path / "stray.npz").touch()
    for old, words in (
        ("-npz_train_dir train -npy_dir npy", "-npz_valid_dir: is missing"),
        ("-npz_train_dir train -npz_valid_dir none -npy_dir npy", "-npz_valid_dir none: no such folder"),
        ("-npz_train_dir train -npz_valid_dir train", "-npy_dir: is missing"),
    ):
        assert run_script("npz_to_npy", old.split()) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "npy").exists()


@pytest.mark.parametrize(
    ("script", "old", "words"),
    [
        ("finetune_sam2_img", f"-i N {WEIGHTS} -lr 0", ": -lr 0: must be a number above 0"),
        ("compute_metrics_ILD_all", f"-s segs -g {'x' * 300}", f": -g {'x' * 60}...: is too long"),
        ("nii_to_npz", "-img_path i -gt_path l -output_path stray.npz", ": -output_path stray.npz: is a file; give a"),
        ("npz_to_npy", "-npz_train_dir . -npz_valid_dir . -npy_dir stray.npz", ": -npy_dir stray.npz: is a file;"),
        ("nii_to_npz", "-img_path images -gt_path labels -window_level 40", ": -img_path images: no such folder"),
        ("infer_sam2_ILD", "-data_root D -pred_save_dir P -sam2_checkpoint s.pt -bbox_shift=-1", ": --bbox_shift -1"),
    ],
)
def test_errors_name_the_original_flags(script, old, words, capsys, tmp_path):
    (tmp_path / "stray.npz").touch()
    try:
        code = run_script(script, old.split())
    except SystemExit as refused:  # as wrong options do
        code = refused.code
    assert code == 2
    assert words in capsys.readouterr().err
