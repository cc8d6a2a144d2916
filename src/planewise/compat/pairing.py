"""Images and labels in any two folders, paired by the suffixes of their names, as a dataset that lists its files."""

from pathlib import Path

from planewise.data.classes import DATASET_FILE
from planewise.data.nnunet import read_meta
from planewise.errors import PlanewiseError
from planewise.progress import say
from planewise.volumes.formats import ending_of
from planewise.volumes.json_files import read_json, write_json

# The original scripts' names of the values, used without a dataset.json.
CLASSES = {"ILD1": 1, "Reticulation": 2, "GGO-reticulation": 3, "ILD4": 4, "Honeycombing": 5}
LISTED = "dataset"  # folder, in the work folder, of the dataset.json that lists the pairs


def dataset_of(images: Path, labels: Path, image_suffix: str, label_suffix: str, work: Path) -> Path:
    """Return the folder of a nnU-Net dataset whose training cases are the pairs of two folders.

    This is the folder that holds both, if they are its imagesTr and labelsTr by name and suffix. Otherwise a
    dataset.json that lists the pairs is written in ``work``. Raises PlanewiseError, naming the flag, if nothing pairs.
    """
    folder = images.parent.resolve()
    if _is_nnunet(folder, images, labels, image_suffix, label_suffix):
        return folder
    for flag, path in (("img_path", images), ("gt_path", labels)):
        if not path.is_dir():
            raise PlanewiseError(f"-{flag} {path}: no such folder")
    for flag, suffix in (("img_name_suffix", image_suffix), ("gt_name_suffix", label_suffix)):
        if not ending_of(Path(f"case{suffix}")):
            raise PlanewiseError(f"-{flag} {suffix}: must end like a volume's name, for example in .nii.gz")
    one_folder = images.resolve() == labels.resolve()
    image_cases = _cases(images, image_suffix, label_suffix if one_folder else None)
    label_cases = _cases(labels, label_suffix, image_suffix if one_folder else None)
    paired = image_cases & label_cases
    if not paired:
        raise PlanewiseError(
            f"-img_path {images}, -gt_path {labels}: no name before {image_suffix} equals one before {label_suffix}; "
            f"the folders hold {_some(images)}, and {_some(labels)}: see -img_name_suffix and -gt_name_suffix"
        )
    say(f"{len(paired)} pairs: {images}/*{image_suffix} with {labels}/*{label_suffix}")
    if (folder / "imagesTs").is_dir():
        say(f"{folder / 'imagesTs'}: is not used; it needs imagesTr, labelsTr and dataset.json beside it")
    cases = {
        # incomplete pairs are listed too: reading them reports what is missing
        case: {
            "images": [str(images.resolve() / f"{case}{image_suffix}")],
            "label": str(labels.resolve() / f"{case}{label_suffix}"),
        }
        for case in sorted(image_cases | label_cases)
    }
    meta = {
        "channel_names": {"0": "CT"},
        "labels": _classes(images, labels),
        "numTraining": len(cases),
        "file_ending": ending_of(Path(f"case{image_suffix}")),
        "dataset": cases,
    }
    listed = work / LISTED / DATASET_FILE
    listed.parent.mkdir(parents=True, exist_ok=True)
    write_json(listed, meta)
    return listed.parent


def named_by_case(labels: Path, suffix: str, links: Path) -> Path:
    """Return a folder of the labels named by their cases: ``labels`` itself, or ``links`` to them, made here.

    Raises PlanewiseError if no name in ``labels`` ends in ``suffix``.
    """
    ending = ending_of(Path(f"case{suffix}"))
    if suffix == ending:
        return labels
    cases = _cases(labels, suffix, None) if labels.is_dir() else set()
    if not cases:
        raise PlanewiseError(f"-g {labels}: holds no file *{suffix}; see -gt_name_suffix")
    links.mkdir(parents=True, exist_ok=True)
    for case in cases:
        link = links / f"{case}{ending}"
        if link.is_symlink():
            link.unlink()
        link.symlink_to(labels.resolve() / f"{case}{suffix}")
    return links


def beside(*folders: Path) -> Path | None:
    """Return the dataset.json beside one of ``folders``, if there is one."""
    paths = [folder.resolve().parent / DATASET_FILE for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def _is_nnunet(folder: Path, images: Path, labels: Path, image_suffix: str, label_suffix: str) -> bool:
    in_one = (images.name, labels.name, labels.parent.resolve()) == ("imagesTr", "labelsTr", folder)
    if not in_one or not (folder / DATASET_FILE).is_file():
        return False
    ending = read_meta(folder)["file_ending"]
    return (image_suffix, label_suffix) == (f"_0000{ending}", ending)


def _cases(folder: Path, suffix: str, others: str | None) -> set[str]:
    """Return the part before ``suffix`` of the names in ``folder`` that end in it, unless they end in ``others``, a
    longer suffix.
    """
    names = {path.name for path in folder.iterdir() if path.name.endswith(suffix) and not path.name.startswith(".")}
    if others is not None and len(others) > len(suffix):
        names = {name for name in names if not name.endswith(others)}
    return {name.removesuffix(suffix) for name in names} - {""}


def _some(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}" if names else "nothing"


def _classes(images: Path, labels: Path) -> dict[str, object]:
    """Return the labels of the dataset.json beside the folders; without one, those of the original scripts."""
    meta = beside(labels, images)
    if meta is None:
        listed = ", ".join(f"{value} {name}" for name, value in CLASSES.items())
        say(f"No {DATASET_FILE} beside {labels} names the classes: those of the original scripts, {listed}, are used")
        return {"background": 0, **CLASSES}
    content = read_json(meta)
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise PlanewiseError(f"{meta}: must hold labels {{name: value}}")
    return dict(content["labels"])
