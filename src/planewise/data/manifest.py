"""The manifest beside results: which command made them, and from which inputs.

::

    planewise.json    command, version, options, model; for each case its inputs, its outputs and the decisions
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from planewise.data.preparation import MadeFrom, fingerprint, sha256_of
from planewise.errors import PlanewiseError
from planewise.locks import locked
from planewise.volumes.atomic import atomic_path
from planewise.volumes.formats import stem_of

MANIFEST = "planewise.json"
SCORES = "planewise_scores.json"  # of files derived from results, see ``derived``
PREDICTING = ("predict", "follow")  # second words of the commands of applications that write predicted labels


@dataclass
class CaseRecord:
    """A case in a manifest: fingerprints of its ``inputs`` by path, and of its ``outputs`` by name in the folder.

    An output without a fingerprint was begun but not finished. ``decided``: the decisions for the case, as text.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]
    decided: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The content of a manifest; ``model``: the path of its file; ``version``: planewise's when it was last written."""

    made_from: MadeFrom
    model: str
    cases: dict[str, CaseRecord]
    version: str = ""

    @property
    def command(self) -> str:
        """The command whose results it records, such as mito predict."""
        return str(self.made_from.options.get("command"))

    @property
    def is_of_predictions(self) -> bool:
        """Whether the label volumes that it names were predicted by a model."""
        return self.command.partition(" ")[2] in PREDICTING


def named_weights(model: Path) -> str:
    """Return a manifest's entry for a file of weights: its name and its fingerprint."""
    return f"{model.name} (sha256 {sha256_of(model)})"


def weights_in(named: str) -> str:
    """Return the fingerprint in an entry made by ``named_weights``: copies under other names are the same model."""
    return named.partition(" (sha256 ")[2] or named


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest at ``path``; None if there is none. Raises PlanewiseError if it is damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if missing := [name for name in ("options", "model", "cases") if name not in content]:
            lacks = f"it has no {', '.join(missing)}"
            raise ValueError(f"{lacks}: it is damaged, or the file of that name beside a SAM2's weights")
        cases = {name: CaseRecord(**record) for name, record in content["cases"].items()}
        for name, record in cases.items():
            fingerprints = [*record.inputs.items(), *record.outputs.items()]
            if not all(isinstance(made, str) and "\0" not in path for path, made in fingerprints):
                raise ValueError(f"the files of {name} have no fingerprints")
            if any(Path(path).is_absolute() or ".." in Path(path).parts for path in record.outputs):
                raise ValueError("an output lies outside its folder")
            if not isinstance(record.decided, dict):
                raise ValueError(f"what was decided for {name} is no table")
        return Manifest(
            MadeFrom(dict(content["options"]), {}), str(content["model"]), cases, str(content.get("version", ""))
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PlanewiseError(
            f"{path}: is not a manifest of planewise ({error}); move it away with the results beside it, or give "
            "another folder"
        ) from error


def manifest_of(result: Path) -> Manifest | None:
    """Return the manifest that records how a result (a file in a folder, or a store) was made; None if there is none.

    Raises PlanewiseError if it is damaged.
    """
    for path in (result.with_name(f"{stem_of(result)}.{MANIFEST}"), result.with_name(MANIFEST)):
        manifest = read_manifest(path)
        if manifest is not None and any(result.name in record.outputs for record in manifest.cases.values()):
            return manifest
    return None


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write what ``read_manifest`` reads."""
    content = {
        "version": version("planewise"),
        "options": manifest.made_from.options,
        "model": manifest.model,
        "cases": {name: asdict(record) for name, record in sorted(manifest.cases.items())},
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), "utf-8")


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """In here no other process writes the manifest in ``folder``, which is made if needed; see ``locks.locked``."""
    with ExitStack() as closing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            closing.enter_context(locked(folder))
        except OSError as error:
            raise PlanewiseError(f"{folder}: cannot be written ({error.strerror}); give another folder") from error
        yield


def edited_outputs(folder: Path) -> list[Path]:
    """Return the results in ``folder`` that were changed after they were made."""
    manifest = read_manifest(folder / MANIFEST)
    made = [] if manifest is None else [item for record in manifest.cases.values() for item in record.outputs.items()]
    there = [(folder / name, before) for name, before in made if before and (folder / name).exists()]
    return [path for path, before in there if fingerprint(path) != before]
