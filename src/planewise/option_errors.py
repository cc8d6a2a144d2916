"""What is wrong with a command line, in words: the option, the given value, the allowed values.

This is checked before tyro reads the line, because tyro's messages speak of types.
"""

import difflib
from typing import Annotated, Any, Literal, get_args, get_origin

from planewise.errors import PlanewiseError
from planewise.option_help import Option, options_of, without_none
from planewise.options import Options, shortened

NUMBERS: dict[Any, str] = {int: "a whole number", float: "a number"}


def refuse_unusable(program: str, kind: type[Options], arguments: list[str]) -> None:
    """Raise PlanewiseError for an unknown option, for too few or too many values, and for unusable values."""
    if "--" in arguments:  # then the following words are read differently
        return
    options = options_of(kind)
    named = {option.flag: option for option in options if not option.positional}
    positional = [option for option in options if option.positional]
    unfilled = list(positional)
    given = set()
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if not _is_flag(word):
            if not unfilled:
                takes = " ".join(option.flag for option in positional) or "options alone"
                raise PlanewiseError(f"{shortened(word)}: is one value too many; {program} takes {takes}")
            if _count(unfilled.pop(0).type) is None:
                del rest[: _values_in(rest)]
            continue
        name, attached, value = word.partition("=")
        option = named.get("--" + name[2:].replace("-", "_"))
        if option is None:
            near = difflib.get_close_matches(name, named, 1)
            meant = f"; did you mean {named[near[0]].typed}?" if near else f"; {program} --help lists all"
            raise PlanewiseError(f"{name}: there is no such option{meant}")
        given.add(option.name)
        if attached:
            rest.insert(0, value)
        following = 1 + _values_in(rest[1:]) if attached else _values_in(rest)
        most = _count(option.type)
        if most is None:  # takes all, except those that the positional arguments need
            needed = sum(each.required and _count(each.type) == 1 for each in unfilled)
            most = following if needed == 0 else max(bool(attached), min(following, len(rest) - needed))
        values = rest[: min(most, following)]
        del rest[: len(values)]
        if option.type is bool and attached:
            raise PlanewiseError(f"{option.flag}: takes no value, not {shortened(value)}")
        _refuse_values(option, values)
    not_given = [option for option in options if not option.positional and option.name not in given]
    if missing := [option for option in (*unfilled, *not_given) if option.required]:
        what = "".join(f"\n  {option.typed}: {option.text}" for option in missing)
        raise PlanewiseError(f"needs{what}\n{program} --help shows all options, and examples")


def _is_flag(word: str) -> bool:
    """Whether a word is an option, rather than a value such as -600 or -inf."""
    return word.startswith("-") and word.lstrip("-")[:1].isalpha() and word.lower() not in ("-inf", "-infinity", "-nan")


def _values_in(words: list[str]) -> int:
    """Return how many values come before the next option."""
    return next((number for number, word in enumerate(words) if _is_flag(word)), len(words))


def _count(annotation: Any) -> int | None:
    """Return how many values an option takes; None: any number."""
    annotation = without_none(annotation)
    if annotation is bool:
        return 0
    if get_origin(annotation) is tuple:
        parts = get_args(annotation)
        return None if parts[-1] is Ellipsis else len(parts)
    return 1


def _refuse_values(option: Option, values: list[str]) -> None:
    if values == ["None"] and option.default == "" and not option.required:
        return
    count = _count(option.type)
    shown = shortened(" ".join([option.flag, *values]))
    if apart := _with_blanks(option.type, values, count):
        raise PlanewiseError(f"{shown}: separate values with spaces, not commas: {option.flag} {' '.join(apart)}")
    if count is not None and len(values) < count:
        wanted = "a value" if count == 1 else f"{count} values"
        raise PlanewiseError(f"{shown}: takes {wanted}, {option.values}" + (f", not {len(values)}" if values else ""))
    for value in values:
        if wrong := _wrong(option.type, value):
            raise PlanewiseError(f"{shown}: must be {wrong}" + (f"; '{value}' is not" if len(values) > 1 else ""))


def _with_blanks(annotation: Any, values: list[str], count: int | None) -> list[str]:
    """Return ``values`` split at commas, if an option takes several and commas are all that is wrong with them."""
    apart = [part.strip() for value in values for part in value.split(",") if part.strip()]
    unusable = any(_wrong(annotation, value) for value in values) or (count is not None and len(values) < count)
    usable = not any(_wrong(annotation, part) for part in apart) and count in (None, len(apart))
    return apart if count not in (0, 1) and apart != values and unusable and usable else []


def _wrong(annotation: Any, value: str) -> str:
    """Return what a value must be, or "" if it is valid."""
    annotation = without_none(annotation)
    while get_origin(annotation) in (tuple, Annotated):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        allowed = [str(one) for one in get_args(annotation)]
        return "" if value in allowed else f"one of {', '.join(allowed)}"
    try:
        if annotation in NUMBERS:
            annotation(value)
    except ValueError:
        return NUMBERS[annotation]
    return ""
