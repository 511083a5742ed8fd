from __future__ import annotations

from dataclasses import replace

import pytest

from enforcer.plan import userns
from enforcer.plan.step import Slot
from enforcer.policy.profile import Namespaces, Run
from tests.plans import HOST, NAMESPACES, SINGLE, SUBORDINATE, verdicts

OWN, SHARED = Namespaces(), Namespaces(user="host")


def written(kind: str, facts: object = HOST) -> list[tuple[object, ...]]:
    return [step.args for step in userns.steps(kind, (7, 8), facts) if step.call == "write"]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("namespaces", "facts", "kind"),
    [
        (OWN, HOST, "range"),
        (SHARED, HOST, "host"),
        (OWN, SINGLE, "single"),
        (OWN, SUBORDINATE, "subordinate"),
        (OWN, replace(SUBORDINATE, newgidmap=""), "single"),
        (OWN, replace(SUBORDINATE, subordinate_gids=(0, 0)), "single"),
    ],
)
def test_ids_are_mapped_as_the_caller_can(namespaces: Namespaces, facts: object, kind: str) -> None:
    assert userns.way(namespaces, facts) == kind  # type: ignore[arg-type]


def test_a_range_is_bound_at_launch() -> None:
    assert written("range") == [(step, Slot("id-map"), Slot("id-map-length")) for step, *_ in written("range")]
    assert len(written("range")) == 2


def test_a_single_id_is_the_callers_and_groups_are_denied_first() -> None:
    """user_namespaces(7): gid_map of an unprivileged caller can be written after "deny" only."""
    contents = [args[1] for args in written("single", SINGLE)]
    assert contents == [b"deny", b"7 1000 1\n", b"8 1000 1\n"]


def test_subordinate_ids_follow_the_callers_own() -> None:
    found = [step for step in userns.steps("subordinate", (7, 8), SUBORDINATE) if step.call.startswith("new")]
    assert [(step.call, step.args[1]) for step in found] == [
        ("newuidmap", b"/usr/bin/newuidmap 0 1000 1 1 100000 65535"),
        ("newgidmap", b"/usr/bin/newgidmap 0 1000 1 1 200000 65535"),
    ]


def test_fewer_subordinate_ids_make_a_smaller_map() -> None:
    facts = replace(SUBORDINATE, subordinate_uids=(100000, 10))
    assert userns.steps("subordinate", (7, 8), facts)[0].args[1] == b"/usr/bin/newuidmap 0 1000 1 1 100000 10"


def test_without_a_user_namespace_nothing_is_written() -> None:
    assert userns.steps("host", (0, 0), HOST) == ()


def test_the_namespace_is_kept_for_the_owners_of_mounts() -> None:
    assert userns.steps("range", (7, 8), HOST)[-1].result == "user-namespace"


@pytest.mark.parametrize(
    ("text", "facts", "verdict"),
    [
        ("", HOST, "enforced"),
        ("user_namespace: host", HOST, "enforced"),
        ("user_namespace: host", SINGLE, "impossible"),
        ("", replace(HOST, namespaces=NAMESPACES - {"user"}), "impossible"),
        ("", replace(HOST, container_ids=(0, 0)), "impossible"),
        ("", SINGLE, "enforced"),
    ],
)
def test_the_clause_holds_or_says_why_not(text: str, facts: object, verdict: str) -> None:
    found = verdicts(text, facts)["user_namespace"]  # type: ignore[arg-type]
    assert found.verdict == verdict
    assert bool(found.why) == (verdict != "enforced")


def test_groups_that_stay_make_the_user_weaker() -> None:
    found = userns.decide(OWN, Run(), replace(SINGLE, other_groups=True))
    assert [(one.path, one.verdict) for one in found] == [("user_namespace", "enforced"), ("run.user", "weaker")]
    assert len(userns.decide(OWN, Run(), SINGLE)) == 1
    assert len(userns.decide(OWN, Run(), replace(SUBORDINATE, other_groups=True))) == 1
