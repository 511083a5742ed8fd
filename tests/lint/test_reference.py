"""docs/reference is generated: `make docs` writes it, and this fails when it is stale."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enforcer.policy import schema

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = Path(__file__).parents[2] / "docs/reference"


def _profile_schema() -> str:
    return json.dumps(schema.json_schema(), indent=2) + "\n"


GENERATED: dict[str, Callable[[], str]] = {"profile.schema.json": _profile_schema}


@pytest.mark.parametrize("name", GENERATED)
def test_the_reference_is_fresh(name: str) -> None:
    file, text = REFERENCE / name, GENERATED[name]()
    if os.environ.get("ENFORCER_WRITE_DOCS") == "1":
        REFERENCE.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text, "run: make docs"


def test_nothing_else_stands_in_the_reference() -> None:
    assert {path.name for path in REFERENCE.iterdir()} == set(GENERATED)
