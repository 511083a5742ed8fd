from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest

from enforcer.cli import plan
from enforcer.errors import PlanError, UsageError
from tests.oci_schema import CONFIG
from tests.unit.cli.conftest import write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(name="image")
def small_image(place: Path) -> str:
    root = place / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("x:x:0:0::/:\n")
    write(place / "system/default.yaml", "run: {user: '7:8'}\n", name="mine")
    return f"rootfs:{root}"


def test_text_names_image_profile_clauses_and_steps(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.run([image, "/bin/x", "--flag"]) == 0
    said = capsys.readouterr().out
    assert f"image      {image}\n" in said
    assert "profile    mine\n" in said
    assert "command    /bin/x --flag\n" in said
    assert "user       7:8\n" in said
    assert "  HOLDS     CLAUSE" in said
    assert "PR_SET_NO_NEW_PRIVS" in said
    assert "\x1b" not in said  # no colours: it is read, diffed and kept


def test_json_has_the_steps_as_data(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.run(["--format", "json", image]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"image", "digest", "profile", "clauses", "steps", "config"}
    assert [step["step"] for step in found["steps"]] == list(range(1, len(found["steps"]) + 1))
    assert set(found["steps"][0]) == {
        *("step", "where", "call", "args", "words", "clause", "result", "tolerate", "needs", "note"),
    }
    assert {clause["verdict"] for clause in found["clauses"]} == {"enforced"}
    kinds = {type(arg).__name__ if isinstance(arg, int) else next(iter(arg)) for step in found["steps"] for arg in step["args"]}
    assert kinds == {"int", "bytes", "result", "slot", "text", "filter", "strings", "structure"}


def test_oci_is_the_config_alone(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.run(["--format=oci", image, "/bin/x"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(CONFIG).validate(found)
    assert found["process"]["args"] == ["/bin/x"]


def test_explain_puts_steps_below_their_clauses(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.run(["--explain", image]) == 0
    sections = capsys.readouterr().out.split("\n\n")
    (pids,) = [section for section in sections if section.startswith("namespaces.pid\n")]
    assert "enforced by CLONE_NEWPID" in pids
    assert "clone3({flags=" in pids
    (calls,) = [section for section in sections if section.startswith("syscalls\n")]
    assert "seccomp(SECCOMP_SET_MODE_FILTER" in calls
    assert sections[-1].startswith("what every container gets\n")


def test_the_same_question_has_the_same_answer(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for _ in range(2):
        plan.run([image])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_what_cannot_be_enforced_is_refused_and_can_be_accepted(
    image: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(place / "net.yaml", "network:\n  egress:\n    - {host: a.b, ports: [443]}\n")
    with pytest.raises(PlanError) as caught:
        plan.run(["--policy", "net.yaml", image])
    assert f"{place}/net.yaml:5:7: network.egress[0] is impossible here" in caught.value.excerpt
    assert plan.run(["--policy", "net.yaml", "--accept-weaker", "network.egress[0]", image]) == 0
    assert "impossible  network.egress[0]" in capsys.readouterr().out


def test_narrowings_are_told_apart_from_the_plan(image: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(place / "wide.yaml", "capabilities: [CHOWN]\n")
    write(place / "ceiling.yaml", "capabilities: []\n").chmod(0o644)
    assert plan.run(["--policy", "wide.yaml", "--format", "json", image]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["config"]["process"]["capabilities"]["bounding"] == []
    assert "the ceiling refuses the capability CAP_CHOWN" in said.err


@pytest.mark.parametrize("words", [[], ["--format", "yaml", "host"], ["--nothing", "host"]])
def test_usage_errors(words: list[str]) -> None:
    with pytest.raises(UsageError):
        plan.run(words)
