"""Every section of two policies compared, from both sides: one step wider is found, the same and one step narrower are not."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from enforcer.policy.compare import covers, join, meet
from enforcer.policy.profile import (
    ALWAYS,
    Capability,
    Clause,
    Device,
    Environment,
    Filesystem,
    Namespaces,
    Network,
    PathGrant,
    Paths,
    Policy,
    Resources,
    Run,
    SyscallGrant,
    Syscalls,
)

if TYPE_CHECKING:
    from enforcer.policy.counterexample import Counterexample

EVERYWHERE = frozenset({PathGrant("/")})
EMPTY = Policy(
    name="empty",
    run=Run(),
    environment=Environment(),
    syscalls=Syscalls(),
    capabilities=frozenset(),
    filesystem=Filesystem("read-only", frozenset(), Paths(EVERYWHERE, EVERYWHERE, EVERYWHERE), frozenset()),
    network=Network(frozenset(), frozenset()),
    namespaces=Namespaces(),
    resources=Resources(1, 1, 1, 1, 1, 1, 1),
)
LINE = Clause("some.line", "web.yaml:3:1")


def with_part(section: str, **parts: Any) -> Policy:
    return replace(EMPTY, **{section: replace(getattr(EMPTY, section), **parts)})


def only(wide: Policy, narrow: Policy = EMPTY) -> Counterexample:
    """The one way in which a policy is wider; the other way round there is none."""
    assert covers(wide, narrow) == ()
    (found,) = covers(narrow, wide)
    return found


WIDER = [
    (with_part("run", root=True, clause=LINE), "run.user", "running as uid 0 of its user namespace"),
    (with_part("environment", passed=frozenset({"LANG"})), "environment.pass", "the caller's variable LANG"),
    (
        replace(EMPTY, capabilities=frozenset({Capability("NET_RAW", LINE)})),
        "capabilities",
        "the capability CAP_NET_RAW",
    ),
    (with_part("filesystem", root="ephemeral"), "filesystem.root", "writing to the root file system"),
    (
        with_part("filesystem", devices=frozenset({Device("/dev/fuse", LINE)})),
        "filesystem.devices",
        "the device /dev/fuse",
    ),
    (with_part("network", share="host"), "network.share", "the host's own network, all of it"),
    (with_part("namespaces", user="host"), "user_namespace", "the host's own user namespace"),
    (with_part("namespaces", pid="host"), "namespaces.pid", "the host's own pid namespace"),
    (with_part("resources", pids=64), "resources.pids", "pids 64, more than 1"),
    (with_part("resources", open_files=None), "resources.open_files", "open files without limit, more than 1"),
    (with_part("syscalls", violation="complain"), "syscalls.violation", "every system call, since violations are only logged"),
    (with_part("syscalls", architectures=frozenset({"x86"})), "syscalls.architectures", "system calls of the x86 ABI"),
    (
        with_part("syscalls", allowed=MappingProxyType({"ptrace": SyscallGrant(frozenset({ALWAYS}), LINE)})),
        "syscalls",
        "the system call ptrace with any arguments",
    ),
]


@pytest.mark.parametrize(("wide", "section", "what"), WIDER, ids=[section for _, section, _ in WIDER])
def test_a_wider_section_is_named_and_joins_and_meets_as_it_should(wide: Policy, section: str, what: str) -> None:
    found = only(wide)
    assert (found.section, found.what) == (section, what)
    for joined, met in ((join(EMPTY, wide), meet(EMPTY, wide)), (join(wide, EMPTY), meet(wide, EMPTY))):
        assert covers(wide, joined) == covers(joined, wide) == ()
        assert covers(EMPTY, met) == covers(met, EMPTY) == ()


def test_the_line_that_grants_is_in_the_counterexample() -> None:
    assert only(with_part("run", root=True, clause=LINE)).clause is LINE
    assert only(replace(EMPTY, capabilities=frozenset({Capability("KILL", LINE)}))).clause is LINE
    namespaces = Namespaces(ipc="host", clauses=MappingProxyType({"namespaces.ipc": LINE}))
    assert only(replace(EMPTY, namespaces=namespaces)).clause is LINE
    passed = Environment(frozenset({"TZ"}), clauses=MappingProxyType({"environment.pass.TZ": LINE}))
    assert only(replace(EMPTY, environment=passed)).clause is LINE
    above = Resources(2, 1, 1, 1, 1, 1, 1, MappingProxyType({"resources": LINE}))
    assert only(replace(EMPTY, resources=above)).clause is LINE
    assert only(with_part("resources", memory=2)).clause == Clause("resources.memory")


def test_the_amount_of_a_counterexample_is_the_first_too_much() -> None:
    assert only(with_part("resources", cpus=500)).example == {"resource": "cpus", "amount": 2}


def test_several_sections_give_one_counterexample_each() -> None:
    wide = join(with_part("resources", memory=9, time=None), with_part("namespaces", uts="host"))
    assert [found.section for found in covers(EMPTY, wide)] == ["namespaces.uts", "resources.memory", "resources.time"]


def test_settings_have_no_place_in_the_order() -> None:
    other = replace(
        EMPTY,
        name="other",
        run=Run(user="1:1", init=True, cwd="/x"),
        environment=Environment(fixed=MappingProxyType({"A": "1"})),
        syscalls=Syscalls(violation="kill"),
    )
    assert covers(EMPTY, other) == covers(other, EMPTY) == ()


@pytest.mark.parametrize("operation", [join, meet])
def test_settings_are_the_firsts_where_it_says_something(operation: Any) -> None:
    said = replace(
        EMPTY,
        name="said",
        run=Run(user="1:1", cwd="/x", clause=LINE),
        environment=Environment(fixed=MappingProxyType({"A": "1"})),
    )
    other = replace(EMPTY, run=Run(user="2:2", cwd="/y"), environment=Environment(fixed=MappingProxyType({"A": "2", "B": "2"})))
    first = operation(said, other)
    assert (first.name, first.run.user, first.run.cwd, first.run.clause) == ("said", "1:1", "/x", LINE)
    assert first.environment.fixed == {"A": "1", "B": "2"}
    assert operation(EMPTY, said).run.user == "1:1"


def test_unsaid_settings_keep_the_firsts_line() -> None:
    here, there = replace(EMPTY, run=Run(clause=LINE)), replace(EMPTY, run=Run(init=True, clause=Clause("run", "l.yaml:1:1")))
    assert join(here, there).run.clause is meet(here, there).run.clause is LINE
    assert join(here, there).run.init
    assert join(there, here).run.init
    assert not join(here, here).run.init


def test_a_shared_namespace_takes_the_clause_that_shares_it_and_a_private_one_the_clause_that_does_not() -> None:
    there = Clause("namespaces.pid", "l.yaml:1:1")
    host = replace(EMPTY, namespaces=Namespaces(pid="host", clauses=MappingProxyType({"namespaces.pid": LINE})))
    private = replace(EMPTY, namespaces=Namespaces(clauses=MappingProxyType({"namespaces.pid": there})))
    assert join(private, host).namespaces.clauses == join(host, private).namespaces.clauses == {"namespaces.pid": LINE}
    assert meet(private, host).namespaces.clauses == meet(host, private).namespaces.clauses == {"namespaces.pid": there}
    assert join(private, private).namespaces.clauses == {"namespaces.pid": there}
    assert join(
        host, replace(host, namespaces=Namespaces(pid="host", clauses=MappingProxyType({"namespaces.pid": there})))
    ).namespaces.clauses == {"namespaces.pid": LINE}


def test_bounds_take_the_clause_of_the_policy_that_sets_them() -> None:
    small = replace(EMPTY, resources=Resources(5, clauses=MappingProxyType({"resources.memory": LINE})))
    large = replace(EMPTY, resources=Resources(9, clauses=MappingProxyType({"resources.memory": Clause("l", "l.yaml:1:1")})))
    assert meet(large, small).resources.clauses["resources.memory"] is LINE
    assert meet(large, small).resources.memory == 5
    assert join(small, large).resources.clauses["resources.memory"].place == "l.yaml:1:1"
    assert join(small, large).resources.memory == 9
    said = replace(EMPTY, resources=replace(EMPTY.resources, clauses=MappingProxyType({"resources.pids": LINE})))
    assert meet(EMPTY, said).resources.clauses == {"resources.pids": LINE}
    # Unsaid is unlimited, whoever does not say it.
    assert join(small, EMPTY).resources.pids is join(EMPTY, small).resources.pids is None
    assert meet(small, EMPTY).resources.pids == meet(EMPTY, small).resources.pids == 1
