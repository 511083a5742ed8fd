from __future__ import annotations

import re

from enforcer.cli.plan_text import explained, text
from tests.plans import HOST, SINGLE, plan


def numbers(shown: str) -> list[int]:
    """The steps that a text shows, runs of them included."""
    found: list[int] = []
    for first, last in re.findall(r"^ +(\d+)(?:–(\d+))?  ", shown, re.MULTILINE):
        found += range(int(first), int(last or first) + 1)
    return found


def test_every_step_is_shown_once_in_order() -> None:
    for facts in (HOST, SINGLE):
        found = plan("", facts)
        assert numbers(text(found)) == list(range(1, len(found.steps) + 1))


def test_long_runs_share_a_line() -> None:
    shown = text(plan())
    assert "prctl(PR_CAPBSET_DROP, CAP_CHOWN)  to  prctl(PR_CAPBSET_DROP, CAP_CHECKPOINT_RESTORE)" in shown
    assert len(shown.splitlines()) < len(plan().steps) + 40


def test_columns_are_aligned() -> None:
    lines = [line for line in text(plan()).splitlines() if line.startswith("  enforced")]
    assert len({line.index(" built in ") for line in lines}) == 1


def test_a_clause_that_does_not_hold_says_why() -> None:
    found = plan("network: {egress: [{host: a.b, ports: [1]}]}", accepted=["network.egress[0]"])
    (line,) = [line for line in text(found).splitlines() if line.startswith("  impossible")]
    assert "only loopback can be granted" in line
    assert "only loopback can be granted" in explained(found)


def test_every_step_is_explained() -> None:
    found = plan()
    assert set(numbers(explained(found))) == set(range(1, len(found.steps) + 1))
