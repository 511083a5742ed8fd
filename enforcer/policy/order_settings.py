"""The order of the sections that are switches, names and numbers: run, environment, capabilities, namespaces, resources.

User, init, cwd and fixed variables are settings: they say how the grants are used and have no place in the order. The result
takes the first policy's where it says something of its own, else the second's.
"""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from enforcer.policy.counterexample import Counterexample, wider
from enforcer.policy.profile import Capability, Clause, Environment, Namespaces, Resources, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Capabilities = frozenset[Capability]
CLAUSES = "clauses"
NAMESPACES = tuple(f.name for f in fields(Namespaces) if f.name != CLAUSES)
RESOURCES = tuple(f.name for f in fields(Resources) if f.name != CLAUSES)


def namespace_section(name: str) -> str:
    """The place of a namespace in the profile language: the user namespace has a key of its own."""
    return "user_namespace" if name == "user" else f"namespaces.{name}"


def combine_run(first: Run, second: Run, *, root: bool) -> Run:
    """The first's settings, the second's where the first says nothing, and the given right to be root."""
    said = Run()
    return Run(
        first.user if first.user != said.user else second.user,
        root,
        first.init or second.init,
        first.cwd if first.cwd is not None else second.cwd,
        second.clause if first.user == said.user != second.user else first.clause,
    )


def combine_environment(first: Environment, second: Environment, passed: frozenset[str]) -> Environment:
    """The given names are passed; fixed variables are both's, the first's value where they differ."""
    fixed = MappingProxyType({**second.fixed, **first.fixed})
    return Environment(passed, fixed, MappingProxyType({**second.clauses, **first.clauses}))


def meet_capabilities(first: Capabilities, second: Capabilities) -> Capabilities:
    """What both hold, under the first's clauses."""
    return frozenset(capability for capability in first if capability in second)


def join_namespaces(first: Namespaces, second: Namespaces) -> Namespaces:
    """Shared with the host where either shares."""
    return _namespaces(first, second, "host")


def meet_namespaces(first: Namespaces, second: Namespaces) -> Namespaces:
    """Private where either is private."""
    return _namespaces(first, second, "private")


def _namespaces(first: Namespaces, second: Namespaces, wins: str) -> Namespaces:
    chosen: dict[str, Any] = {}
    clauses = dict(first.clauses)
    for name in NAMESPACES:
        ours, theirs = getattr(first, name), getattr(second, name)
        chosen[name] = theirs if theirs == wins else ours
        _take_clause(clauses, second.clauses, namespace_section(name), second_won=ours != theirs == wins)
    return Namespaces(**chosen, clauses=MappingProxyType(clauses))


def join_resources(first: Resources, second: Resources) -> Resources:
    """The larger of each bound."""
    return _resources(first, second, larger=True)


def meet_resources(first: Resources, second: Resources) -> Resources:
    """The smaller of each bound."""
    return _resources(first, second, larger=False)


def _resources(first: Resources, second: Resources, *, larger: bool) -> Resources:
    chosen: dict[str, int | None] = {}
    clauses = dict(first.clauses)
    for name in RESOURCES:
        ours, theirs = getattr(first, name), getattr(second, name)
        second_won = ours != theirs and within(ours, theirs) == larger
        chosen[name] = theirs if second_won else ours
        _take_clause(clauses, second.clauses, f"resources.{name}", second_won=second_won)
    return Resources(**chosen, clauses=MappingProxyType(clauses))


def _take_clause(clauses: dict[str, Clause], others: Mapping[str, Clause], section: str, *, second_won: bool) -> None:
    if section in others and (second_won or section not in clauses):
        clauses[section] = others[section]


def within(amount: int | None, bound: int | None) -> bool:
    """Whether one upper bound is no larger than another; None is unlimited."""
    return bound is None or (amount is not None and amount <= bound)


def run_beyond(bound: Run, other: Run) -> Iterator[Counterexample]:
    """The right to be root, when only `other` has it."""
    if other.root and not bound.root:
        yield wider("run.user", other.clause, "running as uid 0 of its user namespace", user="0")


def environment_beyond(bound: Environment, other: Environment) -> Iterator[Counterexample]:
    """A variable of the caller that only `other` lets through."""
    for name in sorted(other.passed - bound.passed):
        clause = _clause(other.clauses, f"environment.pass.{name}")
        yield wider("environment.pass", clause, f"the caller's variable {name}", name=name)
        break


def capabilities_beyond(bound: Capabilities, other: Capabilities) -> Iterator[Counterexample]:
    """A capability that only `other` holds."""
    for capability in sorted(other - bound, key=lambda c: c.name):
        yield wider("capabilities", capability.clause, f"the capability CAP_{capability.name}", name=capability.name)
        break


def namespaces_beyond(bound: Namespaces, other: Namespaces) -> Iterator[Counterexample]:
    """Each namespace of the host that only `other` shares."""
    for name in NAMESPACES:
        if getattr(other, name) == "host" != getattr(bound, name):
            section = namespace_section(name)
            yield wider(section, _clause(other.clauses, section), f"the host's own {name} namespace", namespace=name)


def resources_beyond(bound: Resources, other: Resources) -> Iterator[Counterexample]:
    """Each resource of which `other` leaves more: the smallest amount that is too much."""
    for name in RESOURCES:
        amount, limit = getattr(other, name), getattr(bound, name)
        if not within(amount, limit):
            section = f"resources.{name}"
            what = f"{name.replace('_', ' ')} {'without limit' if amount is None else amount}, more than {limit}"
            yield wider(section, _clause(other.clauses, section), what, resource=name, amount=limit + 1)


def _clause(clauses: Mapping[str, Clause], section: str) -> Clause:
    """The clause of a section, else of the nearest one above it, else the section itself, built in."""
    path = section
    while path not in clauses and "." in path:
        path = path.rpartition(".")[0]
    return clauses.get(path, Clause(section))
