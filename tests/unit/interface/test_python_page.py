"""The blocks of docs/python.md run one after the other, and their types are right."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

import planewise as pw
from planewise.data.phantom import chest_phantom, em_phantom
from planewise.models.sam2 import ClassTokens, build_sam2, initialise
from planewise.models.sam2_files import Sam2Weights, save_published
from planewise.progress import ON_TERMINAL
from untrained import write_untrained

PAGE = Path(__file__).parents[3] / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
SOURCE = Path(pw.__file__).parents[1]
QUICK = {  # what takes hours on real data is made short here, and a model that was not trained given its head
    "iterations=2000": "iterations=1, batch_size=2, patch_size=32, num_workers=0, device='cpu'",
    'large_labels.ome.zarr", memory="1GB"': 'large_labels.ome.zarr", memory="1MB"',
    "logging.basicConfig(level=logging.INFO)": "",
}


def write_inputs(folder):
    """Write every file that the page names."""
    write_untrained(folder)
    (folder / "M.yaml").rename(folder / "MitoNet_v1.yaml")
    images = [em_phantom((24, 48, 48), 6, seed) for seed in (0, 1)]
    for name, voxels in (
        ("cell", images[0][0]),
        ("other", images[1][0]),
        ("truth", images[0][1]),
        ("nnunet", images[1][1]),
    ):
        pw.write_volume(folder / f"{name}.tif", pw.Volume(voxels.astype(np.uint8), (8.0, 8.0, 8.0), "nm"))
    for number, (image, labels) in enumerate(images):
        for kind, voxels in ((f"imagesTr/c{number}_0000", image), (f"instancesTr/c{number}", labels)):
            pw.write_volume(folder / "Dataset001_Cells" / f"{kind}.tiff", pw.Volume(voxels, (8.0, 8.0, 8.0), "nm"))
    (folder / "Dataset001_Cells" / "dataset.json").write_text(
        '{"labels": {"background": 0, "mitochondria": 1}, "file_ending": ".tiff"}'
    )
    array = zarr.create_array(folder / "large.zarr", shape=(24, 64, 64), chunks=(8, 32, 32), dtype="u1")
    array[...] = em_phantom((24, 64, 64), 6, 2)[0]
    ct, truth = chest_phantom((10, 64, 64), 0)
    for name, voxels in (("ct", ct), ("ct_truth", truth)):
        pw.write_volume(folder / f"{name}.nii.gz", pw.Volume(voxels, (5.0, 5.0, 5.0), "mm"))
    torch.manual_seed(0)
    network = build_sam2("mini", 64)
    initialise(network)
    tokens = ClassTokens({1: "ground_glass", 2: "reticulation", 3: "honeycombing"}, 64)
    save_published(folder / "medsam_model_best.pth", Sam2Weights(network, tokens=tokens), 0)


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ON_TERMINAL)
    page = {"__name__": "page"}
    for block in BLOCKS:
        for slow, quick in QUICK.items():
            block = block.replace(slow, quick)
        exec(compile(block, str(PAGE), "exec"), page)
    out = capsys.readouterr().out
    assert "(24, 48, 48) (8.0, 8.0, 8.0) nm" in out
    assert "MitoNet models_of_arrays" in out
    assert "did you mean min_size?" in out
    assert len(BLOCKS) > 9
    assert all(any(slow in block for block in BLOCKS) for slow in QUICK)


def pyright(program: Path) -> tuple[int, str]:
    """Return what pyright says of a program, its exit code and its text; mypy where pyright gets no Node.js."""
    config = program.with_name("pyrightconfig.json")
    config.write_text(f'{{"include": ["{program.name}"], "extraPaths": ["{SOURCE}"]}}')
    command = [sys.executable, "-m", "pyright", "-p", str(config), "--pythonpath", sys.executable]
    result = subprocess.run(command, capture_output=True, text=True)
    if not re.search(r"\d+ errors?", result.stdout):
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn(f"pyright cannot run ({result.stderr[-200:]}): mypy checks instead", stacklevel=2)
        command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", str(program)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=program.parent)
    return result.returncode, result.stdout


@pytest.mark.slow
def test_types_of_the_page_are_right_and_wrong_ones_are_seen(tmp_path):
    program = tmp_path / "page.py"
    right = "\n".join(BLOCKS)
    program.write_text(right)
    code, printed = pyright(program)
    assert code == 0, printed
    program.write_text(right + "\npw.segment(labels, model=5)\nfound.nonesuch\npw.score(labels, labels).to_frame(3)\n")
    code, printed = pyright(program)
    assert code == 1
    assert len(re.findall(r"page\.py.* error", printed)) == 3, printed


def test_every_name_of_the_contents_is_there():
    assert {"segment", "finetune", "score", "compare", "measure", "open", "Volume", "load_model"} <= set(pw.__all__)
    for name in pw.__all__:
        assert getattr(pw, name) is not None
    assert re.fullmatch(r"\d+\.\d+.*", pw.__version__)
    assert (Path(pw.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError, match="nonesuch"):
        pw.nonesuch  # noqa: B018
