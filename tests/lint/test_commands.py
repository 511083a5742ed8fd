"""The shell scripts that start the commands, in a checkout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import enforcer

ROOT = Path(__file__).parents[2]
BIN = ROOT / "bin"
VERSION = f"enforcer {enforcer.__version__}\n"


def _run(command: Path | str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


def test_both_scripts_differ_in_the_entry_only() -> None:
    first, second = (BIN / "enforcer").read_text().splitlines(), (BIN / "enforcer-runtime").read_text().splitlines()
    differing = [lines for lines in zip(first, second, strict=True) if lines[0] != lines[1]]
    assert differing == [("entry=enforcer.cli.main", "entry=enforcer.cli.runtime_command")]


@pytest.mark.parametrize("depth", [1, 2])
def test_a_command_is_found_through_symlinks_from_anywhere(tmp_path: Path, depth: int) -> None:
    target = BIN / "enforcer"
    for number in range(depth):
        link = tmp_path / f"link{number}"
        link.symlink_to(target)
        target = link
    assert _run(target, "--version", cwd="/").stdout == VERSION
    assert _run(f"./{target.name}", "--version", cwd=tmp_path).stdout == VERSION
    assert _run(target.name, "--version", cwd="/", env={"PATH": f"{tmp_path}:/usr/bin:/bin"}).stdout == VERSION


def test_neither_environment_nor_working_directory_is_heeded(tmp_path: Path) -> None:
    for name in ("enforcer", "os", "sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text("import sys; sys.exit('hijacked')")
    hostile = {name: str(tmp_path) for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPLATLIBDIR")}
    result = _run(BIN / "enforcer", "--version", cwd=tmp_path, env=os.environ | hostile | {"PYTHONSTARTUP": "os.py"})
    assert (result.stdout, result.stderr) == (VERSION, "")


def test_the_runtime_refuses_with_a_reason() -> None:
    for arguments in (["--version"], ["features"], ["create", "--bundle", ".", "x"]):
        result = _run(BIN / "enforcer-runtime", *arguments)
        assert result.returncode == 125
        assert "enforcer-runtime is not available in this version" in result.stderr
        assert result.stdout == ""
