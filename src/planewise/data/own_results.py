"""Recognises planewise's own results where images or truths are expected, by the manifests beside them.

A manifest only helps here: one that cannot be read is a warning, and nothing is taken for a result by it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from planewise.correction.journal import corrections_folder, review_note
from planewise.data.manifest import MANIFEST, SCORES, Manifest, read_manifest
from planewise.data.preparation import fingerprint
from planewise.errors import PlanewiseError, first_line
from planewise.options import real_path
from planewise.progress import WARNING, first_few, say_once
from planewise.volumes.files import volumes_in
from planewise.volumes.formats import stem_of
from planewise.volumes.formats.dicom import read_folder


def manifest_naming(volume: Path) -> Manifest | None:
    """Return the manifest that says planewise wrote ``volume``, or the file it links to, as its bytes are now.

    A sidecar beside it does not count: it may have been added. Results that planewise correct changed, and those begun
    but not finished, are named too. None if there is no such manifest.
    """
    for place in _places(volume):
        for name in (f"{stem_of(place)}.{MANIFEST}", MANIFEST, SCORES):
            manifest = _read(place.with_name(name))
            records = [] if manifest is None else manifest.cases.values()
            written = [record.outputs[place.name] for record in records if place.name in record.outputs]
            if written and (corrections_folder(place).is_dir() or any(_is(place, made) for made in written)):
                return manifest
    return None


def prediction_manifest(volume: Path) -> Manifest | None:
    """Return the manifest that says planewise predicted ``volume``, see ``manifest_naming``; None if there is none."""
    manifest = manifest_naming(volume)
    return manifest if manifest is not None and manifest.is_of_predictions else None


def unreviewed_prediction(volume: Path) -> Manifest | None:
    """Return the manifest that says planewise predicted ``volume``, if nobody corrected or confirmed it since."""
    reviewed = any(review_note(place) for place in _places(volume))
    return None if reviewed else prediction_manifest(volume)


def notes_on_predicted(truths: Iterable[Path]) -> list[str]:
    """Return a note on the ``truths`` of a training that planewise predicted and nobody reviewed, for each model."""
    found = defaultdict(list)
    for path in truths:
        if (manifest := unreviewed_prediction(path)) is not None:
            found[path.parent, manifest.command, manifest.model].append(path.name)
    return [
        f"{folder}: {first_few(names)}: predicted by planewise {command} with {model}, according to the manifest, and "
        "nobody corrected or confirmed it: a model trained on it learns its mistakes. planewise correct does so; go on "
        "if pseudo-labels are meant"
        for (folder, command, model), names in found.items()
    ]


def is_of_another_case(result: Path, case: str) -> bool:
    """Whether a manifest says that ``result`` was written for a case of another name, as those of single planes are."""
    manifest = manifest_naming(result)
    made_for = [] if manifest is None else [name for name, of in manifest.cases.items() if result.name in of.outputs]
    return bool(made_for) and case not in made_for


def without_results(folders: list[Path]) -> list[Path]:
    """Return the folders that may be volumes; those that hold nothing but results of planewise's are printed."""
    left = []
    for folder in folders:
        if commands := _commands_of_results(folder):
            say_once(f"{folder}: is passed over: it holds only results of planewise {first_few(commands)}")
        else:
            left.append(folder)
    return left


def _commands_of_results(folder: Path) -> list[str]:
    """Return the commands whose results are all that ``folder`` holds of volumes; none if it holds others too."""
    named = []
    for volume in volumes_in(folder):
        if (manifest := manifest_naming(volume)) is None:  # of a folder of slices, the first tells
            return []
        named.append(manifest)
    within = [] if named else [_read(path) for path in _manifests_within(folder)]
    commands = sorted({manifest.command for manifest in [*named, *within] if manifest is not None})
    return [] if commands and read_folder(folder).series else commands


def _places(volume: Path) -> list[Path]:
    """Return where a volume lies: its path and, if it is a link itself, the path of what it links to."""
    target = real_path(volume)
    return [volume] if target == real_path(volume.parent) / volume.name else [volume, target]


def _manifests_within(folder: Path) -> Iterator[Path]:
    for place in ("", "*/"):
        for name in (MANIFEST, SCORES):
            yield from sorted(folder.glob(f"{place}{name}"))


def _is(path: Path, made: str) -> bool:
    """Whether the bytes at ``path`` have the fingerprint ``made``, with a sidecar or without; "" is of any bytes."""
    return made == "" or made == fingerprint(path, sidecar=False) or made == fingerprint(path)


@lru_cache(maxsize=8)  # each of the many results in a folder asks for it
def _read_once(path: Path, *_written: int) -> Manifest | None:
    """Return the manifest at ``path`` as it was ``_written``; it is replaced as a whole, see ``write_manifest``."""
    return read_manifest(path)


def _read(path: Path) -> Manifest | None:
    """Return the manifest at ``path``; None, with a warning, if it cannot be read."""
    try:
        status = path.stat()
        return _read_once(path, status.st_mtime_ns, status.st_size, status.st_ino)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, PlanewiseError) as error:
        why = first_line(error.__cause__ or error)
        say_once(
            f"{WARNING}{path}: is not a manifest of planewise ({why}), so nothing is taken for a result by it; move it "
            "away, or put the right one back"
        )
        return None
