"""Files from a URL, kept in the user's cache, each checked by its sha256 whenever it is used."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from planewise.errors import PlanewiseError, first_line
from planewise.progress import Advance, progress, say


def is_url(text: str) -> bool:
    """Whether ``text`` is a URL that can be downloaded. Raises ValueError if it is a broken one."""
    return urlparse(text).scheme in ("http", "https")


def cached(url: str) -> Path:
    """Return the path of the file of ``url`` in the cache: in a separate folder, since many URLs end in the same
    name."""
    import pooch

    name = Path(urlparse(url).path).name or "weights"
    return Path(pooch.os_cache("planewise")) / hashlib.sha256(url.encode()).hexdigest()[:16] / name


def state_of(url: str, sha256: str | None) -> str:
    """Return whether the file of ``url`` is in the cache, with the right content; see ``fetch`` for ``sha256``."""
    import pooch

    path = cached(url)
    if not path.is_file():
        return "not cached"
    known = sha256 or _pinned(path)
    if known is None:
        return "cached, not used yet"
    return "cached" if pooch.file_hash(str(path)) == known else "damaged, or another file"


def _pinned(path: Path) -> str | None:
    """Return the sha256 that a file had when it was first used; None before that."""
    pinned = _pin(path)
    try:
        return pinned.read_text("ascii").strip() if pinned.exists() else None
    except (OSError, ValueError) as error:
        raise PlanewiseError(
            f"{pinned}: holds no sha256 ({first_line(error)}); delete it if {path} is right"
        ) from error


def _pin(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def fetch(url: str, sha256: str | None, says: str, otherwise: str, read: Callable[[Path], Any] | None = None) -> Path:
    """Return the file of ``url``, downloaded if it is missing; a file put there by hand is accepted.

    ``sha256``: the required one; None: that of the file's first use, which is printed and stored beside the file.
    ``says``: the source of the sha256, if any; ``otherwise``: what can be done without the file; ``read`` raises
    PlanewiseError if the file is damaged, so that the sha256 of a damaged file is not stored. Raises PlanewiseError if
    the file cannot be downloaded, saying which file to put where, or if it has another sha256; it is then kept.
    """
    import pooch

    path = cached(url)
    pinned, known = _pin(path), sha256 or _pinned(path)
    by = f"which {says} gives" if sha256 else f"which it had when it was first used ({pinned})"
    if not path.exists():
        say(f"Downloading {url} to {path}")
        pooch.get_logger().setLevel("WARNING")  # planewise prints the same
        downloader = pooch.HTTPDownloader(progressbar=_DownloadBar(path.name))
        try:
            pooch.retrieve(url, f"sha256:{known}" if known else None, path.name, path.parent, downloader=downloader)
        except ValueError as error:  # raised by pooch if the hash differs; it keeps nothing
            raise PlanewiseError(f"{url}: was downloaded, but its sha256 is not that {by}: {error}") from error
        except Exception as error:  # requests has many exceptions for a missing network
            raise PlanewiseError(
                f"{url}: cannot be downloaded ({type(error).__name__}). Download it elsewhere and put it at {path}"
                f"{f' (sha256 {known})' if known else ''}, or {otherwise}"
            ) from error
    try:
        actual = pooch.file_hash(str(path))
        if known is None:
            if read is not None:
                read(path)
            pinned.write_text(f"{actual}\n", "ascii")
    except OSError as error:
        raise PlanewiseError(
            f"{error.filename}: the weights of {url} cannot be used ({error.strerror}); make sure that {path} is a "
            f"file that can be read and {path.parent} can be written to, or {otherwise}"
        ) from error
    if known is None:
        say(
            f"{url}: {says} gives no sha256 to check the file by. Its sha256 is {actual}; from now on, a file with "
            "another one is refused. Compare it with the sha256 that the publisher states"
        )
    elif actual != known:
        raise PlanewiseError(
            f"{path}: its sha256 is {actual}, not {known}, {by}: it is damaged, or another file. Delete it to download "
            f"it again, or put the right one there{'' if sha256 else f'; if this is the right one, delete {pinned}'}"
        )
    return path


class _DownloadBar:
    """Shows a download's progress; it has the interface that pooch expects of a progress bar."""

    def __init__(self, what: str) -> None:
        self.what, self.total = what, 0  # bytes; pooch sets the total
        self.shown = ExitStack()
        self.advance: Advance | None = None

    def update(self, count: int) -> None:
        if self.advance is None:
            self.advance = self.shown.enter_context(progress(f"downloading {self.what}", self.total, unit="bytes"))
        self.advance(count)

    def reset(self) -> None:
        """Do nothing: pooch calls this after the download, before it adds all bytes once more."""

    def close(self) -> None:
        self.shown.close()
