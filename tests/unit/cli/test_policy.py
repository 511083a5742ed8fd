from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from enforcer.cli import policy
from enforcer.errors import UsageError
from enforcer.policy.schema import json_schema

if TYPE_CHECKING:
    from pathlib import Path


def test_the_schema_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert policy.run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


@pytest.mark.parametrize("name", policy.COMMANDS)
def test_every_subcommand_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert policy.run([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: enforcer policy {name}")


def test_without_a_subcommand_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert policy.run([]) == 125
    assert policy.run(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name}" in said for name in policy.COMMANDS)


@pytest.mark.parametrize(
    "words", [["shew"], ["schema", "x"], ["list", "x"], ["new"], ["new", "a", "b"], ["show"], ["show", "a", "b"]]
)
def test_other_words_are_usage_errors(place: Path, words: list[str]) -> None:
    assert place
    with pytest.raises(UsageError):
        policy.run(words)
