"""docs/reference is generated: `make docs` writes it, and this fails when it is stale."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enforcer.cli import main
from enforcer.policy import schema

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(__file__).parents[2] / "bin"
REFERENCE = Path(__file__).parents[2] / "docs/reference"


def _profile_schema() -> str:
    return json.dumps(schema.json_schema(), indent=2) + "\n"


def _commands() -> str:
    """Every command's --help as the program prints it."""
    parts = ["# Commands\n"]
    for name in ("", *main.COMMANDS):
        words = [name] if name else []
        result = subprocess.run([BIN / "enforcer", *words, "--help"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        parts.append(f"\n## {' '.join(['enforcer', *words])}\n\n```text\n{result.stdout.rstrip()}\n```\n")
    return "".join(parts)


GENERATED: dict[str, Callable[[], str]] = {"commands.md": _commands, "profile.schema.json": _profile_schema}


@pytest.mark.parametrize("name", GENERATED)
def test_the_reference_is_fresh(name: str) -> None:
    file, text = REFERENCE / name, GENERATED[name]()
    if os.environ.get("ENFORCER_WRITE_DOCS") == "1":
        REFERENCE.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text, "run: make docs"


def test_nothing_else_stands_in_the_reference() -> None:
    assert {path.name for path in REFERENCE.iterdir()} == set(GENERATED)
