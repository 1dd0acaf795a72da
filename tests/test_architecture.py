"""The house's rules about who imports whom, and about what the graph declares."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "unisurg"
MODULES = sorted(path.relative_to(ROOT) for path in PACKAGE.rglob("*.py"))
DAG = {
    name: stage
    for path in (ROOT / "dvc.yaml", ROOT / "tuning/dvc.yaml")
    for name, stage in yaml.safe_load(path.read_text())["stages"].items()
}

# A room may import the rooms below it and itself.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"stages"},
    {"tuning", "promotion"},
    {"report", "predict"},
    {"package"},
    {"evaluation", "pretrain", "synthetic"},
    {"corpus", "benchmarks", "tasks", "models"},
    {"video"},
    {"chain", "registry"},
    {"tracking"},
    {"lineage"},
    {"settings", "progress", "telemetry", "attempts"},
    {"processes", "addresses"},
]
# What watches a stage or tells of it is no part of its result.
BYSTANDERS = {
    *("settings", "progress", "telemetry", "tracking", "lineage", "report"),
    *("attempts", "processes", "addresses"),
}

CURATION = ("scan", "deidentify", "clean", "dedup", "leak", "corpus", "validate")
# Where the work is done decides nothing of the result.
ELSEWHERE = {"runner"}


def room(module: Path) -> str:
    return module.with_suffix("").parts[1]


@functools.cache
def imports(module: Path) -> frozenset[str]:
    """Dotted names a file imports, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def files_of(dotted: str) -> set[Path]:
    path = Path(*dotted.split("."))
    found = {path.with_suffix(".py"), path / "__init__.py"}
    return {file for file in found if (ROOT / file).is_file()}


def data_of(module: Path) -> set[Path]:
    """Files of facts beside a module: of its name, with another suffix."""
    beside = (ROOT / module).parent.glob(f"{module.stem}.*")
    return {path.relative_to(ROOT) for path in beside} - {module}


@functools.cache
def closure(module: Path) -> frozenset[Path]:
    """Every file of the package that importing `module` may run or read, bystanders left out."""
    bystanders = BYSTANDERS - {module.stem}
    seen: set[Path] = set()
    waiting = [module]
    while waiting:
        current = waiting.pop()
        if current in seen or room(current) in bystanders:
            continue
        seen |= {current, *data_of(current)}
        for name in imports(current):
            if name.startswith("unisurg."):
                waiting.extend(files_of(name))
    return frozenset(seen)


def declared(stage: str) -> tuple[Path, list[Path]]:
    """A stage's script, and all files and folders of the package on which it depends."""
    body = DAG[stage].get("do", DAG[stage])
    paths = [Path(dep) for dep in body["deps"] if dep.startswith("unisurg/")]
    [script] = [path for path in paths if path.parts[1] == "stages"]
    return script, paths


@functools.cache
def settings_read(module: Path) -> frozenset[str]:
    """Dotted names of what a file asks of its `settings`, the longest of each."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        chain: list[str] = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if chain and isinstance(node, ast.Name) and node.id == "settings":
            names.add(".".join(chain))
    return frozenset(n for n in names if not any(o.startswith(f"{n}.") for o in names))


@pytest.mark.parametrize("tool", ["prefect", "dvc"])
def test_the_package_never_imports_the_tools_that_call_it(tool):
    users = [m for m in MODULES if any(n.split(".")[0] == tool for n in imports(m))]
    assert users == []


@pytest.mark.parametrize(
    ("tool", "owners"),
    [
        ("mlflow", "unisurg/tracking.py unisurg/registry.py"),
        ("optuna", "unisurg/tuning/study.py"),
        ("great_expectations", "unisurg/corpus/expectations/check.py"),
    ],
)
def test_only_its_owners_import_each_watching_tool(tool, owners):
    users = {str(m) for m in MODULES if any(n.split(".")[0] == tool for n in imports(m))}
    assert users == set(owners.split())


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_one_way(module):
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    if len(module.parts) == 2 and module.name == "__init__.py":
        return
    for name in imports(module):
        parts = name.split(".")
        if parts[0] != "unisurg" or len(parts) < 2 or not files_of(".".join(parts[:2])):
            continue
        other = parts[1]
        assert other in floor, f"{module} imports a room without a floor: {other}"
        assert room(module) == other or floor[other] > floor[room(module)], (
            f"{module} ({room(module)}) imports {name}"
        )


@pytest.mark.parametrize("stage", sorted(DAG))
def test_a_stage_declares_every_module_it_imports(stage):
    script, paths = declared(stage)
    missing = {
        str(file)
        for file in closure(script)
        if file.name != "__init__.py"
        and not any(file == path or path in file.parents for path in paths)
    }
    assert missing == set()


@pytest.mark.parametrize("stage", sorted(DAG))
def test_a_stage_is_made_stale_by_no_module_of_curation_that_it_does_not_import(stage):
    script, paths = declared(stage)
    curation = [path for path in paths if path.is_relative_to("unisurg/corpus")]
    files = {path for path in curation if path.suffix} | {
        module for path in curation for module in MODULES if path in module.parents
    }
    needless = {str(f) for f in files if f.name != "__init__.py"} - set(map(str, closure(script)))
    assert needless == set()


@pytest.mark.parametrize("stage", CURATION)
def test_a_stage_of_curation_declares_every_setting_it_reads_and_no_other_section(stage):
    script, _ = declared(stage)
    modules = [file for file in closure(script) if file.suffix == ".py"]
    read = {name for module in modules for name in settings_read(module)} - ELSEWHERE
    params = set(DAG[stage]["params"])
    assert {n for n in read if not any(f"{n}.".startswith(f"{p}.") for p in params)} == set()
    assert {p for p in params if not any(f"{n}.".startswith(f"{p}.") for n in read)} == set()


def test_importing_the_package_or_asking_for_help_loads_no_heavy_tool():
    script = (
        "import sys, unisurg.cli\n"
        "unisurg.cli.parser().format_help()\n"
        "print(sorted({'torch', 'mlflow', 'prefect', 'great_expectations', 'timm', 'decord'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
