"""The whole plan of base/minimal, on hosts that are values: a change of the launch shows as a difference to be read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enforcer.cli.plan_text import explained, text
from tests.plans import HOST, SINGLE, SUBORDINATE, V1, plan

if TYPE_CHECKING:
    from enforcer.plan.compile import Plan

HERE = Path(__file__).parent
MINIMAL = "extends: base/minimal"
BOUNDED = MINIMAL + "\nrun: {init: true}\nresources: {memory: 64MiB, pids: 9, cpus: 0.5}"
HOSTS = {
    "rootful-v2": (MINIMAL, HOST),
    "rootful-v1-bounded": (BOUNDED, V1),
    "rootless-single": (MINIMAL, SINGLE),
    "rootless-subordinate": (MINIMAL, SUBORDINATE),
}


def check(name: str, found: str) -> None:
    golden = HERE / name
    if os.environ.get("ENFORCER_WRITE_GOLDEN") == "1":
        golden.write_text(found)
    assert found == golden.read_text(), "make golden writes the new plan; read what changed"


@pytest.fixture(name="planned", params=HOSTS)
def plan_of_a_host(request: pytest.FixtureRequest) -> tuple[str, Plan]:
    profile, facts = HOSTS[request.param]
    return request.param, plan(profile, facts)


def test_the_steps_are_these(planned: tuple[str, Plan]) -> None:
    name, found = planned
    check(f"plan-minimal-{name}.txt", text(found) + "\n")


def test_the_config_is_this(planned: tuple[str, Plan]) -> None:
    name, found = planned
    check(f"plan-minimal-{name}.json", json.dumps(found.config, indent=1) + "\n")


def test_every_step_is_explained_once_at_least(planned: tuple[str, Plan]) -> None:
    """A step is shown below its clause, or among what every container gets."""
    _, found = planned
    shown = explained(found)
    for number, step in enumerate(found.steps, 1):
        folded = any(
            first <= number <= last
            for first, last in (map(int, word.split("–")) for word in shown.split() if "–" in word and word[0].isdigit())
        )
        assert folded or f" {number}  " in shown, step
