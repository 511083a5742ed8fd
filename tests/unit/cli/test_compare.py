from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from enforcer.cli import compare
from enforcer.errors import EnforcerError, UsageError
from tests.unit.cli.conftest import write

if TYPE_CHECKING:
    from pathlib import Path

WIDE = "capabilities: [CHOWN]\nnetwork:\n  egress:\n    - {host: a.b, ports: [443]}\n"


def compared(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = compare.run([*words, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


def test_nothing_more_is_zero_and_more_is_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "narrow.yaml")
    write(place / "wide.yaml", WIDE)
    assert compare.run(["narrow.yaml", "narrow.yaml"]) == 0
    assert "exactly what narrow.yaml grants" in capsys.readouterr().out
    assert compare.run(["wide.yaml", "narrow.yaml"]) == 0
    assert "nothing more than wide.yaml, and less" in capsys.readouterr().out
    assert compare.run(["narrow.yaml", "wide.yaml"]) == 1


def test_every_wider_section_has_an_example_and_both_places(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narrow = write(place / "narrow.yaml", "capabilities: []\n")
    wide = write(place / "wide.yaml", WIDE)
    code, found = compared(capsys, "narrow.yaml", "wide.yaml")
    assert (code, found["wider"], found["ceiling"]) == (1, True, None)
    capability, egress = found["sections"]
    assert capability["section"] == "capabilities"
    assert capability["granted"] == {"clause": "capabilities[0]", "place": f"{wide}:3:16"}
    assert capability["refused"] == {"clause": "capabilities", "place": f"{narrow}:3:1"}
    assert egress["what"] == "TCP to a.b port 443"
    assert 443 in egress["example"].values()
    assert egress["granted"]["place"] == f"{wide}:6:7"
    assert compare.run(["narrow.yaml", "wide.yaml"]) == 1
    text = capsys.readouterr().out
    assert f"refused by narrow.yaml: capabilities at {narrow}:3:1" in text
    assert "network.egress\n" in text
    assert "refused by narrow.yaml: no clause grants it" in text


def test_a_bound_that_is_left_out_is_more(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "bounded.yaml", "resources: {memory: 1MiB}\n")
    write(place / "free.yaml")
    assert compare.run(["bounded.yaml", "free.yaml"]) == 1
    assert "resources.memory, which it leaves unsaid" in capsys.readouterr().out
    assert compare.run(["free.yaml", "bounded.yaml"]) == 0


def test_names_and_bases_are_resolved(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "mine.yaml", "extends: base/default\n")
    assert compare.run(["base/minimal", "base/default"]) == 1
    assert "refused by base/minimal: syscalls at base/minimal.yaml:7:1" in capsys.readouterr().out
    code, found = compared(capsys, "base/default", "mine.yaml")
    assert code == 0
    assert found["a"]["digest"].startswith("sha256:")


def test_a_ceiling_bounds_both_and_only_when_it_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "narrow.yaml")
    write(place / "wide.yaml", "capabilities: [CHOWN]\n")
    write(place / "ceiling.yaml", "syscalls: {base: default}\n")  # also the site's own: not heeded unless named
    assert compare.run(["narrow.yaml", "wide.yaml"]) == 1
    assert "(without a ceiling)" in capsys.readouterr().out
    assert compare.run(["narrow.yaml", "wide.yaml", "--ceiling", "ceiling.yaml"]) == 0
    assert "(both under the ceiling " in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["a.yaml"], ["a", "b", "c"], ["--format", "xml", "a", "b"]])
def test_another_number_of_profiles_is_a_usage_error(place: Path, words: list[str]) -> None:
    assert place
    with pytest.raises(UsageError):
        compare.run(words)


def test_what_cannot_be_read_is_no_comparison(place: Path) -> None:
    write(place / "a.yaml")
    write(place / "broken.yaml", "sycalls: {}\n")
    for other in ("broken.yaml", "none.yaml", "base/none"):
        with pytest.raises(EnforcerError):
            compare.run(["a.yaml", other])
