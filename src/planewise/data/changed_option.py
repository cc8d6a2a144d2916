"""How an option of two runs differs, in the words of all messages about it."""

import re
from typing import Any

from planewise.options import Options, as_typed
from planewise.progress import first_few

SHA256 = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")  # of which a message shows the first digits


def changed_option(name: str, before: Any, now: Any, kind: type[Options] | None = None) -> str:
    """Return how an option changed whose values, of JSON's types, differ: ``planes: xy -> xy xz``.

    Of tables each entry is compared: ``slices pad: 1 -> 2``, and the first few that differ are named; where lists in it
    differ, or one lacks an entry that is ``none`` in the other, it is ``another split``.
    ``kind``: the command's options, which are named as they are typed: ``--axes xy -> xy xz``.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        entries = [(entry, before.get(entry), now.get(entry)) for entry in sorted(before.keys() | now.keys())]
        differing = [(entry, old, new) for entry, old, new in entries if old != new]
        if not any(isinstance(value, list) for _, *values in differing for value in values):
            worded = [changed_option(f"{name} {entry}", old, new) for entry, old, new in differing]
            return first_few(worded, between="; ") or f"another {name}"
    if isinstance(before, dict) or isinstance(now, dict):
        return f"another {name}"
    if kind is None or name not in kind.model_fields:
        return SHA256.sub(r"\1", f"{name}: {as_written(before)} -> {as_written(now)}")
    flag, values = as_typed(kind, name, (before, now))
    return f"{flag} {' -> '.join(values)}"


def as_written(value: Any) -> str:
    """Return an option's value as people write it: ``none``, ``yes``, ``xy xz yz``."""
    if isinstance(value, list):
        return " ".join(map(as_written, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
