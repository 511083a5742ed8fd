"""What import-linter cannot see: hidden imports, files opened in the core, contracts and tests that lag behind the tree."""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "enforcer"
CORE = ("audit", "oci", "plan", "policy", "signing")
MECHANISMS = ("seccomp", "capabilities", "mounts", "network", "userns", "landlock", "cgroups")
HIDDEN = {"__import__", "compile", "eval", "exec", "open"}


def _modules(*rooms: str) -> list[Path]:
    return [PACKAGE / "errors.py", *(path for room in rooms for path in sorted((PACKAGE / room).rglob("*.py")))]


def _hidden_calls(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) if name in HIDDEN:
                yield name
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.partition(".")[0] in {"importlib", "runpy", "io"})
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in {"importlib", "runpy", "io"}:
                yield module


@pytest.mark.parametrize("path", _modules(*CORE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_core_neither_hides_an_import_nor_opens_a_file(path: Path) -> None:
    assert list(_hidden_calls(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    ["__import__('os')", "import importlib.util", "from importlib import import_module", "exec('import os')", "open('/x')"],
)
def test_hidden_calls_are_seen(source: str) -> None:
    assert list(_hidden_calls(source))


STARTS = re.compile(r"os\.(?:exec\w+|spawn\w+|posix_spawnp?|system|popen)\b")
STARTERS = {"linux/spawn.py", "linux/probe_ids.py"}  # the latter becomes newuidmap in a child that it made to try it


def test_programs_are_started_in_one_place() -> None:
    starters = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if STARTS.search(path.read_text())}
    assert starters == STARTERS


def _contract(name: str) -> list[str]:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = [entry for entry in configuration if entry["name"] == name]
    return contract.get("modules") or contract["source_modules"]


@pytest.mark.parametrize("room", ["plan", "linux"])
def test_every_mechanism_is_under_its_contract(room: str) -> None:
    exist = {f"enforcer.{room}.{name}" for name in MECHANISMS if (PACKAGE / room / f"{name}.py").exists()}
    assert set(_contract(f"One kernel mechanism does not know another ({room})")) == exist


def test_every_room_of_the_core_is_under_its_contract() -> None:
    exist = {f"enforcer.{room}" for room in CORE if (PACKAGE / room).is_dir()} | {"enforcer.errors"}
    assert set(_contract("The core does no I/O and reads no clock")) == exist


UNIT = ROOT / "tests" / "unit"
UNIT_TESTS = sorted(UNIT.rglob("test_*.py"))


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: str(path.relative_to(UNIT)))
def test_a_unit_test_mirrors_a_module(path: Path) -> None:
    """tests/unit/policy/test_parse.py, or test_parse_errors.py, is about enforcer/policy/parse.py."""
    room = PACKAGE / path.relative_to(UNIT).parent
    about = path.stem.removeprefix("test_")
    modules = [module.stem for module in room.glob("*.py")]
    assert any(about == module or about.startswith(f"{module}_") for module in modules)


def _acts(path: Path) -> bool:
    """Whether a module offers a function; one that holds only values has nothing to test."""
    offered = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    return any(not node.name.startswith("_") for node in offered)


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module=str(source), names=names):
                yield source
                yield from (f"{source}.{alias.name}" for alias in names)
            case ast.Import(names=names):
                yield from (alias.name for alias in names)


@functools.cache
def _tested() -> frozenset[str]:
    """Names of the modules that unit and property tests and their builders import, and of those these use in their room."""
    files = [*UNIT_TESTS, *sorted((ROOT / "tests/property").glob("*.py")), *sorted((ROOT / "tests").glob("*.py"))]
    pending = {name for path in files for name in _imports(path)}
    modules = {_name(path): path for path in _modules(*CORE)}
    found: set[str] = set()
    while pending:
        module = pending.pop()
        if module in modules and module not in found:
            found.add(module)
            room = module.rpartition(".")[0] + "."
            pending |= {name for name in _imports(modules[module]) if name.startswith(room)}
    return frozenset(found)


@pytest.mark.parametrize("module", _modules(*CORE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_of_the_core_has_unit_tests(module: Path) -> None:
    """A test imports it, or imports a module of the same room that works by it."""
    assert _name(module) in _tested() or not _acts(module)
