"""Which model was meant by a name that none has, or by a path where no file is."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

MOST = 3  # files that are proposed


def near_names(name: str, known: Iterable[str]) -> list[str]:
    """Return the names that begin with ``name``, then those that it is in; where there is none, the most similar one.

    Case does not matter, nor which of blank, hyphen and underscore stands between words.
    """
    typed, plain = name.lower().replace(" ", "_").replace("-", "_"), {each.lower(): each for each in known}
    within = [each for each in plain if typed and typed in each]
    return [plain[each] for each in sorted(within, key=lambda each: not each.startswith(typed))] or [
        plain[each] for each in get_close_matches(typed, list(plain), 1)
    ]


def either(names: list[str]) -> str:
    """Return names as text: ``A, B or C``."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def did_you_mean(given: Path, names: Iterable[str], endings: tuple[str, ...], allowed: str) -> str:
    """Return what a user meant by ``given``, where there is no file: ``did you mean MitoNet_v1? Or give a path``.

    ``names``: those of models, which a bare name may mean; ``endings``: of files of models, which are looked for in the
    folder that was given; ``allowed``: what can be given.
    """
    if not given.parent.is_dir():
        return f"there is no folder {given.parent}; give {allowed}"
    files = sorted(path for path in given.parent.iterdir() if path.suffix.lower() in endings)
    by_name = {path.name: path for path in files}
    of_stem = [path.name for path in files if path.stem.lower() == given.stem.lower()]
    near = [str(by_name[name]) for name in of_stem or get_close_matches(given.name, by_name, MOST)]
    if given.parent == Path():
        stem = given.stem if given.suffix.lower() in endings else str(given)
        near = [*near_names(stem, names), *near]
    return f"did you mean {either(near)}? Or give {allowed}" if near else f"give {allowed}"
