"""The wheel: what it carries, and that its commands work where pip puts them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import enforcer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {"yaml": "PyYAML", "prctl": "python-prctl"}  # module: distribution, where they differ


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from a copy of the tree, which setuptools would otherwise fill with its build directory."""
    source = tmp_path_factory.mktemp("source")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    archive = ["tar", "--create", "--null", "--verbatim-files-from", "--files-from=-", "--ignore-failed-read"]
    packed = subprocess.run(archive, cwd=ROOT, input=tracked, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract"], cwd=source, input=packed, check=True)
    out = tmp_path_factory.mktemp("wheel")
    result = _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", out, source)
    assert result.returncode == 0, result.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a virtual environment with nothing but the wheel in it."""
    directory = tmp_path_factory.mktemp("environment")
    assert _run(sys.executable, "-m", "venv", "--without-pip", directory).returncode == 0
    pip = [sys.executable, "-m", "pip", "--python", directory / "bin/python"]
    result = _run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    assert result.returncode == 0, result.stderr
    return directory


def test_the_wheel_carries_every_profile_and_check(wheel: Path) -> None:
    carried = {name.removeprefix("enforcer/_data/") for name in zipfile.ZipFile(wheel).namelist()}
    tracked = subprocess.run(["git", "ls-files", "policies", "audits"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.split()) <= carried


def test_an_installed_command_finds_its_package(environment: Path) -> None:
    result = _run(environment / "bin/enforcer", "--version")
    assert (result.stdout, result.stderr) == (f"enforcer {enforcer.__version__}\n", "")
    assert _run(environment / "bin/enforcer-runtime").returncode == 125


def test_an_installed_package_finds_what_ships_with_it(environment: Path) -> None:
    code = "import os; from enforcer.runtime import shipped; print(shipped.policies()); os.stat(shipped.policies())"
    result = _run(environment / "bin/python", "-I", "-c", code)
    assert result.stdout.startswith(str(environment)), result.stderr


def test_what_is_imported_is_depended_on_and_nothing_else() -> None:
    modules = {name.partition(".")[0] for path in (ROOT / "enforcer").rglob("*.py") for name in _imports(path)}
    own = {"enforcer"} | {name for name in modules if name.startswith("_")}  # _sha2 or _sha256, as the Python version has it
    foreign = modules - sys.stdlib_module_names - own
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = {re.match(r"[\w-]+", requirement).group() for requirement in project["dependencies"]}  # type: ignore[union-attr]
    assert {DISTRIBUTIONS.get(name, name) for name in foreign} == listed


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module=str(source), level=0):
                yield source
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
