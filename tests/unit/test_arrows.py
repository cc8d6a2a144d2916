"""Imports run one way (the design's arrows): what is lower never knows what is higher."""

import ast
from pathlib import Path

import pytest

import planewise

ROOT = Path(planewise.__file__).parent
LEVELS = [  # lowest first; a module imports from its own level and below
    ("errors",),
    ("progress", "device", "options"),
    ("volumes",),
    ("data", "evaluation"),
    ("report", "models"),
    ("training", "inference"),
    ("apps",),
    ("cli", "__main__"),
]
MODULES = sorted(path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py"))


def imports(module: Path) -> set[str]:
    tree = ast.parse((ROOT / module).with_suffix(".py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def level(room: str) -> int:
    return next(i for i, rooms in enumerate(LEVELS) if room in rooms)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_run_one_way(module):
    if module.name == "__init__" or module == Path("apps/original_commands"):  # which only calls the command line
        return
    own = level(module.parts[0])
    for name in imports(module):
        if name.startswith("planewise."):
            assert level(name.split(".")[1]) <= own, f"{module} imports {name}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] in ("evaluation", "report")], ids=str)
def test_evaluation_and_report_know_no_model(module):
    for name in imports(module):
        assert name.split(".")[0] not in ("torch", "lightning_fabric"), f"{module} imports {name}"
        assert not name.startswith(("planewise.models", "planewise.training", "planewise.inference"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_apps_do_not_import_each_other(module):
    if module.parts[0] == "apps" and module.name not in ("__init__", "original_commands"):
        own = module.parts[1].split("_")[0]
        for name in imports(module):
            if name.startswith("planewise.apps."):
                assert name.split(".")[2].split("_")[0] == own


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_core_does_not_name_what_it_segments(module):
    if module.parts[0] in ("__init__", "apps", "cli", "models") or module.name in ("phantom", "panoptic"):
        return  # the contents, the applications, networks named after their purpose, what stands in for the world
    code = ast.unparse(ast.parse((ROOT / module).with_suffix(".py").read_text())).lower()
    assert "lung" not in code
    assert "mitochond" not in code
