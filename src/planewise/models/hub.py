"""Models in the hub's form: a folder, given or in the hub's cache, with the licence stated in its card."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from planewise.errors import PlanewiseError, first_line
from planewise.models.downloads import cached
from planewise.models.zoo import of_hub_id
from planewise.progress import say

HUB = "https://huggingface.co"
CONFIG, WEIGHTS_FILE = "config.json", "model.safetensors"
CARD = "README.md"


@contextmanager
def reading_hub(source: str, what: str, instead: str) -> Iterator[None]:
    """Turn all exceptions of reading a hub model into a PlanewiseError: damaged or foreign folders fail in many ways.

    ``source``: as the user named it; ``what``: the expected model; ``instead``: what else the user can give.
    """
    from transformers.utils import logging

    logging.set_verbosity(logging.CRITICAL)  # planewise itself reports what is wrong with a folder
    try:
        yield
    except PlanewiseError:
        raise
    except Exception as error:
        raise PlanewiseError(
            f"{source}: is not a hub folder of {what} with {CONFIG} and {WEIGHTS_FILE} ({reason_of(error)}); give the "
            f"path of its {instead}"
        ) from error


def reason_of(error: Exception) -> str:
    """Return why a file of a hub folder cannot be read, in a line."""
    return "its JSON is nested too deeply" if isinstance(error, RecursionError) else first_line(error)


def hub_folder(source: Path, files: Iterable[str]) -> Path:
    """Return the folder ``source``, or the folder of the hub model with this id, after downloading its ``files``.

    It is in the hub's own cache, which names files by their sha256. Raises PlanewiseError if it cannot be downloaded,
    saying which files to put where, or if the weights are damaged.
    """
    if source.is_dir():
        return source
    import pooch
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(str(source), allow_patterns=[*files, CARD]))
    except Exception as error:  # no network, no such model, or a login is needed: errors of many types
        raise PlanewiseError(
            f"{source}: is not a file or folder, and cannot be downloaded from {HUB}/{source} ({first_line(error)}). "
            f"{_by_hand(source)}"
        ) from error
    blob = (folder / WEIGHTS_FILE).resolve()
    digest = pooch.file_hash(str(blob))
    if len(blob.name) == len(digest) and blob.name != digest:
        raise PlanewiseError(f"{blob}: its sha256 is {digest}: it is damaged. Delete it to download it again")
    say(f"{source}: {folder}, its sha256 is {digest}; its licence is on {HUB}/{source}")
    return folder


def _by_hand(source: Path) -> str:
    """Return instructions for a hub model that cannot be downloaded."""
    files = " and ".join(f"{HUB}/{source}/resolve/main/{name}" for name in (CONFIG, WEIGHTS_FILE))
    by_hand = f"Download {files} elsewhere, put them into one folder, and give the path of that folder"
    if published := of_hub_id(str(source)):
        by_hand += (
            f"; or download {published.url}, put it at {cached(published.url)}, and give the name {published.name}"
        )
    return by_hand


def licence_of(source: Path) -> str | None:
    """Return the licence stated in a folder's card, or in that of a cached hub model; None if it is not stated."""
    from huggingface_hub import snapshot_download

    try:
        folder = source if source.is_dir() else Path(snapshot_download(str(source), local_files_only=True))
        _, metadata, _ = (folder / CARD).read_text("utf-8").split("---\n", 2)
        header = yaml.safe_load(metadata)
        licence = header.get("license_name") or header["license"]
    except Exception:  # no card, or one that cannot be read
        return None
    link = header.get("license_link")
    return f"{licence} ({link})" if link else str(licence)
