"""Files from a URL, kept in the user's cache, each checked by its sha256 whenever it is used."""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlparse

from planewise.errors import PlanewiseError, first_line
from planewise.progress import Advance, progress, say


def is_url(text: str) -> bool:
    """Whether ``text`` is a URL that can be downloaded. Raises ValueError if it is a broken one."""
    return urlparse(text).scheme in ("http", "https")


def cached(url: str) -> Path:
    """Return where the file of ``url`` is, or would be: in a folder of its own, since many URLs end in one name."""
    import pooch

    name = Path(urlparse(url).path).name or "weights"
    return Path(pooch.os_cache("planewise")) / hashlib.sha256(url.encode()).hexdigest()[:16] / name


def fetch(url: str, sha256: str | None, says: str, otherwise: str) -> Path:
    """Return the file of ``url``, downloaded if it is not there; one that was put there by hand is as good.

    ``sha256``: what it must have; None: what it had when it was first used, which is told and kept beside it.
    ``says``: who gives the sha256, or does not; ``otherwise``: what can be done without the file. Raises PlanewiseError
    if it cannot be downloaded, saying what to put where, or if it has another sha256, in which case it is kept.
    """
    import pooch

    path = cached(url)
    pinned = path.with_name(f"{path.name}.sha256")
    try:
        known = sha256 or (pinned.read_text("ascii").strip() if pinned.exists() else None)
    except (OSError, ValueError) as error:
        raise PlanewiseError(
            f"{pinned}: holds no sha256 ({first_line(error)}); delete it if {path} is right"
        ) from error
    by = f"which {says} gives" if sha256 else f"which it had when it was first used ({pinned})"
    if not path.exists():
        say(f"Downloading {url} to {path}")
        pooch.get_logger().setLevel("WARNING")  # the same is told by us
        downloader = pooch.HTTPDownloader(progressbar=_DownloadBar(path.name))
        try:
            pooch.retrieve(url, f"sha256:{known}" if known else None, path.name, path.parent, downloader=downloader)
        except ValueError as error:  # pooch's word for another hash; it keeps nothing
            raise PlanewiseError(f"{url}: was downloaded, but its sha256 is not that {by}: {error}") from error
        except Exception as error:  # requests has a dozen ways to say that there is no network
            raise PlanewiseError(
                f"{url}: cannot be downloaded ({type(error).__name__}). Download it elsewhere and put it at {path}"
                f"{f' (sha256 {known})' if known else ''}, or {otherwise}"
            ) from error
    try:
        found = pooch.file_hash(str(path))
        if known is None:
            pinned.write_text(f"{found}\n", "ascii")
    except OSError as error:
        raise PlanewiseError(
            f"{error.filename}: the weights of {url} cannot be used ({error.strerror}); see to it that {path} is a "
            f"file that can be read and {path.parent} can be written to, or {otherwise}"
        ) from error
    if known is None:
        say(
            f"{url}: {says} gives no sha256 to check it by. Its sha256 is {found}, and has to be that from now on; "
            "compare it with what the publisher says"
        )
    elif found != known:
        raise PlanewiseError(
            f"{path}: its sha256 is {found}, not {known}, {by}: it is damaged, or another file. Delete it, and it is "
            f"downloaded, or put the right one there{'' if sha256 else f'; if this is the right one, delete {pinned}'}"
        )
    return path


class _DownloadBar:
    """Shows a download's progress; the interface is what pooch expects of one."""

    def __init__(self, what: str) -> None:
        self.what, self.total = what, 0  # bytes; pooch sets the total
        self.shown = ExitStack()
        self.advance: Advance | None = None

    def update(self, count: int) -> None:
        if self.advance is None:
            self.advance = self.shown.enter_context(progress(f"downloading {self.what}", self.total, unit="bytes"))
        self.advance(count)

    def reset(self) -> None:
        """Nothing to take back: every update was real."""

    def close(self) -> None:
        self.shown.close()
