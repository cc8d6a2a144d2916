"""Which cases belong to one patient: decided by a rule for their names, by a pattern, or by a file.

The rule. A name is split into words at characters that are neither letters nor digits. Words for an examination or a
part of one, with their numbers, do not name the patient (scan1, visit_2, baseline, upper, thin, 20230517); the
remaining words do. Cases with the same remaining words are one patient. ``sub-01`` and ``patient_7`` name the patient
whatever follows. The remaining words are ambiguous, and refused, if

- none remain (scan1, scan2), or all cases share one word without a number (CT_scan1, CT_scan2);
- after the words that all cases share, some cases share the next one and some do not (P00_a, P00_b, P01_a);
- all cases share a word with a digit, and only a number or a letter follows (P00_1, P00_2).
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planewise.data.spreadsheet import spreadsheet_rows, table_text
from planewise.errors import PlanewiseError
from planewise.progress import counted, first_few, say, warn
from planewise.volumes.json_files import read_json

COUNTED = (  # words for an examination that a number follows: scan1, scan_1
    "scan", "visit", "session", "sess", "ses", "series", "ser", "study", "examination", "exam", "acquisition", "acq",
    "run", "repeat", "replicate", "rep", "timepoint", "time", "tp", "part", "piece", "crop", "slab", "block", "roi",
    "v", "phase", "reconstruction", "recon", "kernel", "day", "week", "month", "year", "followup", "fup", "fu",
)  # fmt: skip
PLAIN = (  # words for an examination without a number
    "baseline", "bl", "pre", "post", "prior", "before", "after", "initial", "final", "first", "second", "third",
    "follow", "up", "inspiration", "inspiratory", "insp", "expiration", "expiratory", "exp", "upper", "lower",
    "middle", "mid", "left", "right", "top", "bottom", "half", "apex", "apical", "basal", "front", "back", "anterior",
    "posterior", "superior", "inferior", "cranial", "caudal", "prone", "supine", "axial", "coronal", "sagittal",
    "thin", "thick", "soft", "sharp", "smooth", "native", "contrast",
)  # fmt: skip
PATIENT = re.compile(r"(?:subject|subj|sub|patient|pat)(\d*)")
DATE = re.compile(r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?!\d)")
THICKNESS = r"\d+(?:mm|um|nm)"
EXAMINATION = re.compile(rf"(?:(?:{'|'.join(COUNTED + PLAIN)})\d{{0,4}}|{THICKNESS})+")
COUNTED_ALONE = re.compile("|".join(COUNTED))
NUMBER_OR_LETTER = re.compile(r"\d{1,3}|[^\W\d_]|[a-bd-oq-z]\d{1,2}")  # 1, a, s1; but p1 and c1 name a patient, a case
SEAM = re.compile(r"(?<=\d)(?=[^\W\d_])|(?<=[a-z])(?=[A-Z])")  # within LUNG1upper, P00a, annaUpper
SETTLE = (
    "Give --patient_pattern, a regular expression whose first group names the patient ('(.*)': each case is a separate "
    "patient; '^([^_]*)': all up to the first _), or --patients FILE, a CSV of case,patient"
)
NAMED = 6  # cases in a message


def patients_of(cases: Iterable[str], pattern: str | None = None, file: Path | None = None) -> dict[str, str]:
    """Return the patient of each case: by ``pattern``, by ``file``, else by the rule above.

    ``pattern``: a regular expression; its first group (or, without groups, the whole match) is the patient; a name that
    it does not match is a separate patient. ``file``: a CSV with the columns case and patient, or a JSON object of
    patients by case. Raises PlanewiseError, naming the cases, if names are ambiguous or the file lacks them.
    """
    names = list(dict.fromkeys(cases))
    if pattern is not None and file is not None:
        raise PlanewiseError("--patient_pattern and --patients: both assign patients to cases; give only one")
    if file is not None:
        return _by_file(names, file)
    return _by_rule(names) if pattern is None else _by_pattern(names, pattern)


def patients_or_cases(cases: Iterable[str], pattern: str | None = None, file: Path | None = None) -> dict[str, str]:
    """Return ``patients_of``, and print the number of patients if some have several cases.

    If names are ambiguous, each case is a separate patient, with a warning. Raises PlanewiseError for a pattern or a
    file that cannot be used.
    """
    names = list(dict.fromkeys(cases))
    try:
        patients = patients_of(names, pattern, file)
    except PlanewiseError as error:
        if pattern is not None or file is not None:
            raise
        if len(names) > 1:
            warn(f"{error}. Until then each case counts as a separate patient.")
        return {name: name for name in names}
    if (count := len(set(patients.values()))) < len(names):
        say(f"The {len(names)} cases are of {counted(count, 'patient')}, whose scores are averaged first.")
    return patients


def _by_pattern(names: list[str], pattern: str) -> dict[str, str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise PlanewiseError(f"--patient_pattern {pattern}: is not a regular expression ({error})") from error
    unmatched = [name for name in names if not compiled.search(name)]
    if unmatched:
        say(f"--patient_pattern {pattern} does not match {first_few(unmatched, NAMED)}: each is a separate patient")
    patients = {}
    for name in names:
        match = compiled.search(name)
        patient = match.group(1 if compiled.groups else 0) if match else name
        if not patient:
            raise PlanewiseError(f"--patient_pattern {pattern}: matches no text in {name}; a patient needs a name")
        patients[name] = patient
    return patients


def _by_file(names: list[str], path: Path) -> dict[str, str]:
    try:
        if path.suffix.lower() == ".json":
            rows = _json_rows(read_json(path))
        else:
            rows = _csv_rows(table_text(path, "it must be a CSV of case and patient, or JSON"))
    except PlanewiseError as error:
        raise PlanewiseError(f"--patients {error}") from error
    except (ValueError, csv.Error) as error:
        raise PlanewiseError(f"--patients {path}: is no CSV of case and patient, nor JSON ({error})") from error
    patients: dict[str, str] = {}
    for case, patient in rows:
        if patients.setdefault(case, patient) != patient:
            raise PlanewiseError(f"--patients {path}: assigns {case} to both {patients[case]} and {patient}")
    missing = [name for name in names if not patients.get(name)]
    if missing:
        raise PlanewiseError(f"--patients {path}: has no patient for {first_few(missing, NAMED)}")
    return {name: patients[name] for name in names}


def _json_rows(content: Any) -> list[tuple[str, str]]:
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise ValueError('a JSON file must be {"case": "patient", ...}')
    return list(content.items())


def _csv_rows(text: str) -> list[tuple[str, str]]:
    reader = spreadsheet_rows(text)
    if not {"case", "patient"} <= set(reader.fieldnames or ()):
        raise ValueError(f"its first line is {','.join(reader.fieldnames or ()) or 'empty'}")
    return [((row["case"] or "").strip(), (row["patient"] or "").strip()) for row in reader]


@dataclass(frozen=True)
class _Name:
    """The remaining words of a case's name; ``certain``: the name marks them as a patient."""

    words: tuple[str, ...]
    certain: bool

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(word.lower() for word in self.words)


def _by_rule(names: list[str]) -> dict[str, str]:
    left = {name: _left(name) for name in names}
    doubt = _doubt({name: part for name, part in left.items() if not part.certain})
    if doubt:
        reason, cases = doubt
        raise PlanewiseError(
            f"The names do not settle which cases are one patient: {first_few(cases, NAMED)}: {reason}. {SETTLE}"
        )
    shown: dict[tuple[str, ...], str] = {}
    for part in left.values():
        shown.setdefault(part.key, "_".join(part.words))
    return {name: shown[part.key] for name, part in left.items()}


def _left(name: str) -> _Name:
    """Return the words of ``name`` that do not describe an examination."""
    words = []
    for word in re.split(r"[\W_]+", DATE.sub("_", name)):
        words += _at_its_seam(word) if word else []
    left: list[str] = []
    position = 0
    while position < len(words):
        word, following = words[position].lower(), words[position + 1 : position + 2]
        numbered = bool(following) and re.fullmatch(r"\d{1,4}", following[0]) is not None
        patient = PATIENT.fullmatch(word)
        if patient and (patient[1] or numbered):
            return _Name((*left, *words[position : position + (1 if patient[1] else 2)]), certain=True)
        if EXAMINATION.fullmatch(word):
            lettered = bool(following) and len(following[0]) == 1
            position += 2 if COUNTED_ALONE.fullmatch(word) and (numbered or lettered) else 1
            continue
        left.append(words[position])
        position += 1
    return _Name(tuple(left), certain=False)


def _at_its_seam(word: str) -> list[str]:
    """Split ``word`` if it ends, without a separator, in a word for an examination or in a single letter."""
    for seam in SEAM.finditer(word):
        head, tail = word[: seam.start()], word[seam.start() :]
        ends = len(tail) == 1 or EXAMINATION.fullmatch(tail.lower())
        if ends and not EXAMINATION.fullmatch(word.lower()):
            return [head, tail]
    return [word]


def _doubt(left: dict[str, _Name]) -> tuple[str, list[str]] | None:
    """Return why the remaining words do not name patients, and for which cases; None if they do."""
    keys = {name: part.key for name, part in left.items()}
    distinct = {part.key: part.words for part in left.values()}
    if () in distinct:
        return "their names contain only words for examinations", [name for name, key in keys.items() if not key]
    if len(distinct) < 2:
        word = "_".join(*distinct.values()) if distinct else ""
        if len(keys) > 1 and not re.search(r"\d", word):
            return f"{word} may be a patient, or a name shared by all", list(keys)
        return None
    shared = 0
    while len({key[: shared + 1] for key in distinct}) == 1:
        shared += 1
    beginning = next(iter(distinct.values()))[:shared]
    common = "_".join(beginning)
    if any(len(key) == shared for key in distinct):
        return f"{common} is a whole name, and also the beginning of others", list(keys)
    following = Counter(key[shared] for key in distinct)
    crowded = {key[shared]: words[shared] for key, words in distinct.items() if following[key[shared]] > 1}
    if crowded:
        reason = f"{next(iter(crowded.values()))} may be a patient, or a name shared by several"
        return reason, [name for name, key in keys.items() if key[shared] in crowded]
    if beginning and re.search(r"\d", beginning[-1]):
        bare = [name for name, key in keys.items() if all(map(NUMBER_OR_LETTER.fullmatch, key[shared:]))]
        if bare:
            return f"{common} may be a patient, or a name shared by all", bare
    return None
