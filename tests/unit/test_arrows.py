"""Imports run one way (the design's arrows): what is lower never knows what is higher."""

import ast
import subprocess
import sys
from pathlib import Path

import planewise
from stopped import ENVIRONMENT

ROOT = Path(planewise.__file__).parent
LEVELS = [  # lowest first; a module imports from its own level and below
    ("errors",),
    ("progress", "device", "options", "processes", "locks"),
    ("volumes",),
    ("data", "evaluation", "correction"),
    ("report", "measurement", "models"),
    ("audit", "serial", "viewing"),
    ("training", "inference"),
    ("apps",),
    ("option_help",),
    ("commands", "completion", "option_errors"),
    ("cli", "__main__", "interface"),
    ("compat",),
]
MODULES = sorted(path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py"))


def imports(module: Path) -> set[str]:
    tree = ast.parse((ROOT / module).with_suffix(".py").read_text())
    result = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            result.add(node.module)
        elif isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
    return result


def level(room: str) -> int:
    return next(i for i, rooms in enumerate(LEVELS) if room in rooms)


def test_imports_run_one_way():
    violations = [
        f"{module} imports {name}"
        for module in MODULES
        if module.name != "__init__"
        for name in imports(module)
        if name.startswith("planewise.") and level(name.split(".")[1]) > level(module.parts[0])
    ]
    assert violations == []


def test_evaluation_report_measure_and_audit_know_no_model():
    unknown = ("torch", "lightning_fabric", "planewise.models", "planewise.training", "planewise.inference")
    violations = [
        f"{module} imports {name}"
        for module in MODULES
        if module.parts[0] in ("evaluation", "report", "measurement", "audit", "correction", "serial")
        for name in imports(module)
        if any(name == other or name.startswith(f"{other}.") for other in unknown)
    ]
    assert violations == []


def test_scoring_and_measuring_import_no_torch():
    """Neither do they by way of a lower room, which the arrows alone would allow."""
    commands = ("mito.evaluate", "mito.measure", "ild.evaluate", "ild.measure", "compare")
    modules = [".".join(("planewise", *module.parts)).removesuffix(".__init__") for module in MODULES
               if module.parts[0] in ("evaluation", "report", "measurement", "correction")]  # fmt: skip
    names = [*modules, *(f"planewise.apps.{command}" for command in commands)]
    imported = f"for name in {names}: importlib.import_module(name)"
    lines = ["import importlib, sys", imported, "assert 'torch' not in sys.modules"]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], env=ENVIRONMENT, check=True)


def test_the_apps_do_not_import_each_other():
    def app(part: str) -> str:
        return part.split("_")[0]

    violations = [
        f"{module} imports {name}"
        for module in MODULES
        if module.parts[0] == "apps" and module.name != "__init__"
        for name in imports(module)
        if name.startswith("planewise.apps.") and app(name.split(".")[2]) != app(module.parts[1])
    ]
    assert violations == []


def test_the_core_does_not_name_what_it_segments():
    violations = []
    for module in MODULES:
        world = ("__init__", "apps", "cli", "commands", "compat", "interface", "measurement", "models", "serial")
        if module.parts[0] in world or module.name in ("option_help", "phantom", "panoptic"):
            continue  # the contents, the applications, what is measured, networks named after their purpose, the world
        code = ast.unparse(ast.parse((ROOT / module).with_suffix(".py").read_text())).lower()
        violations += [f"{module} says {word}" for word in ("lung", "mitochond") if word in code]
    assert violations == []


def test_what_takes_long_to_import_waits_for_whoever_needs_it():
    slow = ("distributed", "lightning_fabric", "matplotlib", "monai", "scipy.optimize", "scipy.stats", "transformers")
    violations = [
        f"{module} imports {name} as it is imported"
        for module in MODULES
        for node in ast.parse((ROOT / module).with_suffix(".py").read_text()).body
        for name in (
            [node.module]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if any(name == other or name.startswith(f"{other}.") for other in slow)
    ]
    assert violations == []


def test_the_rule_sees_an_import():
    assert "planewise.errors" in imports(Path("cli"))
    assert len(MODULES) > 80
