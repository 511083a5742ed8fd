"""docs/reference is generated: `make docs` writes it, and this fails when it is stale."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enforcer.policy import schema
from tests.lint import reference

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = Path(__file__).parents[2] / "docs/reference"
GENERATED: dict[str, Callable[[], str]] = {
    "commands.md": reference.commands,
    "profile.md": reference.profile_language,
    "profile.schema.json": reference.profile_schema,
}


@pytest.mark.parametrize("name", GENERATED)
def test_the_reference_is_fresh(name: str) -> None:
    file, text = REFERENCE / name, GENERATED[name]()
    if os.environ.get("ENFORCER_WRITE_DOCS") == "1":
        REFERENCE.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text, "run: make docs"


def test_nothing_else_stands_in_the_reference() -> None:
    assert {path.name for path in REFERENCE.iterdir()} == set(GENERATED)


def test_every_key_of_the_language_is_described() -> None:
    text = reference.profile_language()
    for name, section in schema.json_schema()["properties"].items():
        keys = [name] if "properties" not in section else [f"{name}.{key}" for key in section["properties"]]
        for key in keys:
            (row,) = [line for line in text.splitlines() if line.startswith(f"| `{key}` ")]
            assert not row.endswith("|  |"), row
