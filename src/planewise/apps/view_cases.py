"""Which files to show for a path: the image, the truth, and each method's labels."""

from dataclasses import dataclass, field
from pathlib import Path

from planewise.apps.view_options import View
from planewise.data.case import (
    case_name,
    file_of_case,
    group_by_case,
    is_volume,
    label_volumes_in,
    plane_of,
    predictions_beside,
)
from planewise.data.image_sequences import is_sequence_folder
from planewise.data.input_images import cases_in
from planewise.data.manifest import manifest_of
from planewise.data.source_image import PREPARED, source_image
from planewise.errors import PlanewiseError
from planewise.progress import first_few, say
from planewise.report.comparison_files import JSON as RESULTS
from planewise.report.listed_mistakes import of_dataset, read_mistakes
from planewise.volumes.channel_numbers import PREDICTED
from planewise.volumes.files import open_volume
from planewise.volumes.formats import ending_of
from planewise.volumes.formats.dicom import Series

IMAGES, TRUTHS = "images", ("instances", "labels")  # nnU-Net's folders: imagesTr, instancesTs, ...
SPLITS = ("Ts", "Tr")
TRUTH = "truth"
LISTED = 12  # cases in a message


@dataclass(frozen=True)
class Shown:
    """The files of a case. ``methods``: labels by method; ``named``: the requested labels, if any."""

    case: str
    image: Path | Series | None
    truth: Path | None
    methods: dict[str, Path] = field(default_factory=dict)
    named: str | None = None
    dataset: Path | None = None


def shown_of(options: View) -> Shown:
    """Return the files of the case to show. Raises PlanewiseError unless it is exactly one case."""
    path = options.path
    folder_of_volumes = not is_volume(path) and not is_sequence_folder(path)
    if folder_of_volumes and _is_dataset(path):
        shown = _of_dataset(path, options)
    elif folder_of_volumes and label_volumes_in(path) and not _is_images(path):
        shown = _of_results(path, options)
    else:
        shown = _of_volume(path, options)
    return _with_more(shown, options)


def _is_dataset(folder: Path) -> bool:
    return any((folder / f"{IMAGES}{split}").is_dir() for split in SPLITS)


def _is_images(folder: Path) -> bool:
    return folder.name in {f"{IMAGES}{split}" for split in SPLITS}


def _of_dataset(folder: Path, options: View, splits: tuple[str, ...] = SPLITS) -> Shown:
    """Return a case of a dataset, or of some of its ``splits``, with its truth and the labels of all methods."""
    images: dict[str, tuple[Path, str]] = {}
    for split in splits:
        if (folder / f"{IMAGES}{split}").is_dir():
            volumes, _ = cases_in(folder / f"{IMAGES}{split}", options.channel, "auto")
            images = {name: (path, split) for name, path in volumes.items()} | images
    case = _choose(images, options, folder if splits == SPLITS else folder / f"{IMAGES}{splits[0]}")
    image, split = images[case]
    methods = {name: path for name, labels in predictions_beside(folder).items() if (path := _if_there(case, labels))}
    return Shown(case, image, _truth_of(case, folder, (split,)), methods, dataset=folder)


def _of_results(folder: Path, options: View) -> Shown:
    """Return a case of a folder of results, with its image and truth if they are known."""
    results = group_by_case(label_volumes_in(folder), labels=True)
    case = _choose([name for name in results if plane_of(name) not in results], options, folder)
    return _of_result(case, file_of_case(case, folder, "label volume"))


def _of_volume(path: Path, options: View) -> Shown:
    """Return an image with everything that its dataset has for it; or labels, if the path is known to hold labels."""
    if _is_images(path.parent) or _is_images(path):
        images = path if _is_images(path) else path.parent
        return _of_dataset(images.parent, _for_case(path, options), (images.name.removeprefix(IMAGES),))
    if _is_result(path):
        return _of_result(case_name(path, labels=True), path)
    if not options.labels:
        say(f"{path}: is shown as an image, since nothing marks it as labels; --labels PATH shows labels")
    return Shown(case_name(path) if ending_of(path) else path.name, path, None)


def _for_case(path: Path, options: View) -> View:
    return options if _is_images(path) else options.model_copy(update={"case": options.case or case_name(path)})


def _is_result(path: Path) -> bool:
    """Whether a volume holds labels, according to its file, a manifest beside it, or its folder in a dataset."""
    if open_volume(path).labels is not None:
        return True
    if manifest_of(path) is not None:
        return True
    truths = {f"{kind}{split}" for kind in TRUTHS for split in SPLITS}
    return path.parent.name in truths or (path.parent.name.startswith(PREDICTED) and _is_dataset(path.parent.parent))


def _of_result(case: str, path: Path) -> Shown:
    dataset = path.resolve().parents[1] if len(path.resolve().parents) > 1 else None
    dataset = dataset if dataset is not None and _is_dataset(dataset) else None
    image = _source_image(path)
    if image is None and dataset is not None:
        image = next(filter(None, (_if_there(case, dataset / f"{IMAGES}{split}") for split in SPLITS)), None)
    if isinstance(image, Path) and dataset is None and _is_images(image.parent):
        dataset = image.parent.parent
    truth = None if dataset is None else _truth_of(case, dataset, SPLITS)
    if truth is not None and truth.resolve() == path.resolve():
        return Shown(case, image, truth, named=TRUTH, dataset=dataset)
    method = path.resolve().parent.name.removeprefix(PREDICTED)
    return Shown(case, image, truth, {method: path}, method, dataset)


def _source_image(path: Path) -> Path | Series | None:
    """Return the image that a result was made from; None, with a message, if it no longer exists."""
    try:
        image = source_image(path)
    except PlanewiseError as error:
        say(str(error))
        return None
    return None if isinstance(image, Path) and image.suffix == PREPARED else image


def _truth_of(case: str, dataset: Path, splits: tuple[str, ...]) -> Path | None:
    folders = [dataset / f"{kind}{split}" for split in splits for kind in TRUTHS]
    return next(filter(None, (_if_there(case, folder) for folder in folders)), None)


def _if_there(case: str, folder: Path) -> Path | None:
    """Return the file of a case in a folder, None if it has none. Raises PlanewiseError if it has several."""
    if not folder.is_dir() or case not in group_by_case(label_volumes_in(folder), {case}, labels=True):
        return None
    return file_of_case(case, folder, "volume")


def _choose(cases: "dict[str, tuple[Path, str]] | list[str]", options: View, folder: Path) -> str:
    """Return the requested case among those that --errors lists. Raises PlanewiseError if it is missing, or if several
    cases are possible."""
    names = sorted(cases)
    if options.case is not None and options.case not in names:
        raise PlanewiseError(
            f"--case {options.case}: {folder} has none of that name; it has {first_few(names, LISTED)}"
        )
    if options.case is not None:
        return options.case
    compared = [name for name in names if name in _compared_cases(options, folder)]
    if len(compared or names) == 1:
        return (compared or names)[0]
    if compared:
        what = f"--errors lists {len(compared)} cases of it ({first_few(compared, LISTED)}): choose one with --case"
    else:
        several = f"holds {len(names)} cases ({first_few(names, LISTED)}): choose one with --case"
        what = several if names else "holds no volumes"
    raise PlanewiseError(f"{folder}: {what}")


def named_results(options: View) -> list[Path]:
    """Return the results.json that --errors names: the file, or the folder that holds it."""
    return [file / RESULTS if file.is_dir() else file for file in options.errors or ()]


def compared_in(dataset: Path) -> list[Path]:
    """Return the results.json of the first comparison in a dataset's folder, if there is one."""
    files = (dataset / RESULTS, *sorted(dataset.glob(f"*/{RESULTS}")))
    return [file for file in files if file.is_file()][:1]


def _compared_cases(options: View, folder: Path) -> set[str]:
    """Return the cases whose mistakes are requested: those in a results.json of the dataset or folder."""
    if options.errors is None:
        return set()
    folder = folder.resolve()
    dataset = folder if _is_dataset(folder) else folder.parent
    evaluations = [folder / "evaluation" / RESULTS, *folder.glob(f"{PREDICTED}*/evaluation/{RESULTS}")]
    beside = [*(file for file in evaluations if file.is_file()), *compared_in(dataset)]
    return {
        entry.case
        for file in named_results(options) or beside
        for entry in of_dataset(read_mistakes(file), dataset.name)
    }


def _with_more(shown: Shown, options: View) -> Shown:
    """Return ``shown`` with the image, truth and labels given as options."""
    image, truth = shown.image, shown.truth
    if options.image is not None:
        image = _given(options.image, "--image", shown.case, "image")
    if options.truth is not None:
        truth = _given(options.truth, "--truth", shown.case, "truth")
    methods, named = dict(shown.methods), shown.named
    for text in options.labels:
        name, _, where = text.rpartition("=") if not Path(text).exists() else ("", "", text)
        path = Path(where)
        file = _given(path, "--labels", shown.case, "label volume")
        name = name or _method_of(path, shown.case)
        if name in methods or name in (TRUTH, shown.case):
            raise PlanewiseError(f"--labels {text}: {name} is shown already; give it another name, NAME=PATH")
        methods[name], named = file, named or name
    if image is None:
        say(f"The image of case {shown.case} is not known: labels are shown without it; --image PATH shows it")
    return Shown(shown.case, image, truth, methods, named, shown.dataset)


def _method_of(path: Path, case: str) -> str:
    """Return the name of a method: the name of its file, or of its folder if the file is named after the case."""
    if path.is_dir() and not ending_of(path):
        return path.resolve().name.removeprefix(PREDICTED)
    name = case_name(path, labels=True)
    return path.resolve().parent.name.removeprefix(PREDICTED) if name == case else name


def _given(path: Path, option: str, case: str, what: str) -> Path:
    return path if is_volume(path, option) else file_of_case(case, path, what)
