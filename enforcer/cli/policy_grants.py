"""A policy as its grants, each with the clauses it comes from, and as a document that names them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from enforcer.policy.canonical import to_document
from enforcer.policy.order_settings import namespace_section
from enforcer.policy.profile import BUILT_IN, Clause, Filesystem, Network, PathGrant, Paths, Syscalls
from enforcer.runtime import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enforcer.policy.profile import Policy

_NOTHING = Filesystem("read-only", frozenset(), Paths(frozenset(), frozenset(), frozenset()), frozenset())
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Grant:
    """One value of the policy's document. section: its key ("filesystem.mounts"). listed: it is one item of a list there."""

    section: str
    value: Any
    clauses: tuple[Clause, ...] = ()
    listed: bool = False


def grants(policy: Policy) -> list[Grant]:
    """Every value of the policy's canonical document with its clauses, in the document's order; empty lists are one value."""
    clauses = _clauses(policy)
    return [
        Grant(section, value, tuple(sorted(clauses[_key(section, value if listed else None)] or clauses[section])), listed)
        for section, value, listed in _leaves("", to_document(policy))
        if section not in ("profile", "name")
    ]


def _leaves(section: str, value: Any) -> Iterator[tuple[str, Any, bool]]:  # noqa: ANN401  (a JSON value)
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{section}.{key}" if section else key, inner)
    elif isinstance(value, list) and value:
        yield from ((section, item, True) for item in value)
    else:
        yield section, value, False


def _key(section: str, value: Any = None) -> str:  # noqa: ANN401  (a JSON value)
    return section if value is None else f"{section} {json.dumps(value, sort_keys=True)}"


def _clauses(policy: Policy) -> defaultdict[str, set[Clause]]:
    """Clauses of each value. A list's item is known by what it says, which is why the same item of two clauses has both."""
    found: defaultdict[str, set[Clause]] = defaultdict(set)
    for section, clause in _single(policy):
        found[section].add(clause)
    for one, clause in _parts(policy):
        for section, value, listed in _leaves("", to_document(one)):
            if listed:
                found[_key(section, value)].add(clause)
    _join_ports(policy, found)
    return found


def _single(policy: Policy) -> Iterator[tuple[str, Clause]]:
    """Settings and switches."""
    for name in ("run.user", "run.init", "run.cwd"):
        yield name, policy.run.clause if name == "run.user" else Clause(name)
    yield "syscalls.violation", policy.syscalls.clause
    yield "filesystem.root", policy.filesystem.root_clause
    yield "network.share", policy.network.share_clause
    for name in ("user", "pid", "ipc", "uts", "cgroup", "time"):
        section = namespace_section(name)
        yield section, policy.namespaces.clauses.get(section, Clause(section))
    yield from policy.resources.clauses.items()
    for name, clause in policy.environment.clauses.items():
        yield name, clause
        if name.startswith("environment.pass."):
            yield _key("environment.pass", name.removeprefix("environment.pass.")), clause
    if policy.phases:
        for section, _, _ in _leaves("phases", to_document(policy)["phases"]):
            yield section, policy.phases.clause


def _parts(policy: Policy) -> Iterator[tuple[Policy, Clause]]:
    """The policy with one grant of its lists at a time, and that grant's clause: the document of it has this one item."""
    bare = replace(
        policy,
        syscalls=Syscalls(),
        capabilities=frozenset(),
        filesystem=_NOTHING,
        network=Network(frozenset(), frozenset()),
        environment=replace(policy.environment, passed=frozenset()),
        phases=None,
    )
    for name, grant in policy.syscalls.allowed.items():
        yield replace(bare, syscalls=Syscalls(MappingProxyType({name: grant}))), grant.clause
    for architecture in policy.syscalls.architectures:
        yield replace(bare, syscalls=Syscalls(architectures=frozenset({architecture}))), policy.syscalls.clause
    for capability in policy.capabilities:
        yield replace(bare, capabilities=frozenset({capability})), capability.clause
    for filesystem, clause in _files(policy.filesystem):
        yield replace(bare, filesystem=filesystem), clause
    for egress in policy.network.egress:
        yield replace(bare, network=Network(frozenset({egress}), frozenset())), egress.clause
    for ingress in policy.network.ingress:
        yield replace(bare, network=Network(frozenset(), frozenset({ingress}))), ingress.clause


def _files(filesystem: Filesystem) -> Iterator[tuple[Filesystem, Clause]]:
    for mount in filesystem.mounts:
        yield replace(_NOTHING, mounts=frozenset({mount})), mount.clause
    for device in filesystem.devices:
        yield replace(_NOTHING, devices=frozenset({device})), device.clause
    for right in ("read", "write", "execute"):
        for path in getattr(filesystem.paths, right):
            yield replace(_NOTHING, paths=_only(right, path)), path.clause


def _only(right: str, path: PathGrant) -> Paths:
    return Paths(**{name: frozenset({path}) if name == right else frozenset() for name in ("read", "write", "execute")})


def _join_ports(policy: Policy, found: defaultdict[str, set[Clause]]) -> None:
    """The document has one item for a target, whichever clauses granted its ports; and one for names with one condition."""
    for item in to_document(policy)["network"]["egress"]:
        target = item.get("host", item.get("cidr"))
        found[_key("network.egress", item)] |= {one.clause for one in policy.network.egress if one.target == target}
    for item in to_document(policy)["syscalls"]["allow"]:
        if isinstance(item, dict):
            grants = policy.syscalls.allowed
            found[_key("syscalls.allow", item)] |= {grants[name].clause for name in item["names"]}


def yaml(policy: Policy) -> list[str]:
    """Write the policy as a profile that extends nothing, with the places of its clauses as comments, aligned."""
    rows: list[tuple[str, str]] = [("profile: enforcer/v1", ""), (f"name: {policy.name}", "")]
    open_sections: list[str] = []
    listed = ""
    for grant in _folded(grants(policy)):
        *parents, key = grant.section.split(".") if not grant.section.startswith("environment.set.") else _variable(grant)
        common = next((n for n, (a, b) in enumerate(zip(open_sections, parents, strict=False)) if a != b), None)
        common = min(len(open_sections), len(parents)) if common is None else common
        rows += [("  " * depth + f"{parents[depth]}:", "") for depth in range(common, len(parents))]
        open_sections = parents
        indent = "  " * len(parents)
        if grant.listed:
            rows += [(f"{indent}{key}:", "")] if listed != grant.section else []
            rows.append((f"{indent}  - {flow(grant.value)}", _comment(grant)))
        else:
            rows.append((f"{indent}{key}: {flow(grant.value)}", _comment(grant)))
        listed = grant.section if grant.listed else ""
    width = min(max(len(text) for text, _ in rows), _WIDTH)
    return [f"{text:{width}}  # {comment}" if comment else text for text, comment in rows]


def _variable(grant: Grant) -> list[str]:
    return ["environment", "set", grant.section.removeprefix("environment.set.")]


def _folded(found: list[Grant]) -> Iterator[Grant]:
    """Names of system calls that one clause grants share a line."""
    together: dict[tuple[Clause, ...], list[str]] = {}
    pending = [one for one in found if one.section == "syscalls.allow" and isinstance(one.value, str)]
    for one in pending:
        together.setdefault(one.clauses, []).append(one.value)
    for one in found:
        if one.section != "syscalls.allow" or not isinstance(one.value, str):
            yield one
        elif one is pending[0]:
            for clauses, names in together.items():
                yield from (Grant("syscalls.allow", {"names": part}, clauses, listed=True) for part in _wrapped(names))


def _wrapped(names: list[str]) -> Iterator[list[str]]:
    line: list[str] = []
    for name in names:
        if line and len(", ".join([*line, name])) > _WIDTH - 20:
            yield line
            line = []
        line.append(name)
    yield line


def _comment(grant: Grant) -> str:
    places = [clause.place for clause in grant.clauses if clause.place != BUILT_IN]
    return ", ".join(shipped.short(place) for place in places)


def flow(value: Any) -> str:  # noqa: ANN401  (a JSON value)
    """Write a value in YAML's flow style, strings without quotes where that reads the same."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_operand(key, inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and value and _PLAIN.issuperset(value) and value[0] in _FIRST and value not in _RESERVED:
        return value
    return json.dumps(value, ensure_ascii=False)


def _operand(key: str, value: Any) -> str:  # noqa: ANN401  (a JSON value)
    """Write a value of a mapping; what system call arguments are compared with is a word of bits more often than a count."""
    return hex(value) if key in ("mask", "value") and isinstance(value, int) and value > 1 << 8 else flow(value)


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/")
_RESERVED = frozenset({"true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL"})
