"""A policy as a document of the profile language, complete and sorted, and its digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enforcer.policy.profile import ALWAYS, MAX_U64

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enforcer.policy.profile import (
        ArgumentCondition,
        Egress,
        Filesystem,
        Match,
        Mount,
        Namespaces,
        Network,
        PathGrant,
        Phase,
        Policy,
        Port,
        Resources,
        Run,
        Syscalls,
    )

Document = dict[str, Any]


def to_document(policy: Policy) -> Document:
    """Write a policy as a profile that extends nothing and leaves nothing unsaid: it resolves to the same policy.

    Two policies that are equal give equal documents; clauses and descriptions are not part of it.
    """
    document = {
        "profile": "enforcer/v1",
        "name": policy.name,
        "run": _run(policy.run),
        "environment": {"pass": sorted(policy.environment.passed), "set": dict(sorted(policy.environment.fixed.items()))},
        "syscalls": _syscalls(policy.syscalls),
        "capabilities": sorted(capability.name for capability in policy.capabilities),
        "filesystem": _filesystem(policy.filesystem),
        "network": _network(policy.network),
        "user_namespace": "host" if policy.namespaces.user == "host" else "auto",
        "namespaces": _namespaces(policy.namespaces),
        "resources": _resources(policy.resources),
    }
    return document | ({"phases": _phase(policy.phases)} if policy.phases else {})


def canonical(policy: Policy) -> bytes:
    """The document as JSON in one form: sorted keys, no spaces, UTF-8."""
    return json.dumps(to_document(policy), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(policy: Policy) -> str:
    """Name a policy by its content: "sha256:…" of the canonical JSON."""
    return "sha256:" + hashlib.sha256(canonical(policy)).hexdigest()


def _run(run: Run) -> Document:
    return {"user": run.user, "init": run.init} | ({"cwd": run.cwd} if run.cwd is not None else {})


def _syscalls(syscalls: Syscalls) -> Document:
    return {
        "base": "none",
        "architectures": sorted(syscalls.architectures),
        "allow": list(_allowed(syscalls)),
        "violation": syscalls.violation,
    }


def _allowed(syscalls: Syscalls) -> Iterable[str | Document]:
    """Names that are always allowed, then the conditional ones: those with the same conditions together."""
    together: dict[Match, list[str]] = {}
    for name, grant in sorted(syscalls.allowed.items()):
        for match in {ALWAYS} if ALWAYS in grant.matches else {_ordered(match) for match in grant.matches}:
            together.setdefault(match, []).append(name)
    yield from together.pop(ALWAYS, [])
    for match in sorted(together, key=lambda match: (together[match], [_condition_key(condition) for condition in match])):
        yield {"names": together[match], "args": [_condition(condition) for condition in match]}


def _ordered(match: Match) -> Match:
    """The same conjunction, however its conditions were written: a mask that means nothing tells none apart."""
    said = {condition if condition.op == "&==" else replace(condition, mask=MAX_U64) for condition in match}
    return tuple(sorted(said, key=_condition_key))


def _condition_key(condition: ArgumentCondition) -> tuple[int, str, int, int]:
    return condition.index, condition.op, condition.value, condition.mask


def _condition(condition: ArgumentCondition) -> Document:
    written: Document = {"index": condition.index, "op": condition.op, "value": condition.value}
    return written | ({"mask": condition.mask} if condition.op == "&==" else {})


def _filesystem(filesystem: Filesystem) -> Document:
    return {
        "root": filesystem.root,
        "mounts": [
            _mount(mount) for mount in sorted(filesystem.mounts, key=lambda mount: (mount.at, mount.kind, mount.source))
        ],
        "paths": {
            "read": _paths(filesystem.paths.read),
            "write": _paths(filesystem.paths.write),
            "execute": _paths(filesystem.paths.execute),
        },
        "devices": sorted(device.path for device in filesystem.devices),
    }


def _paths(grants: Iterable[PathGrant]) -> list[str]:
    return sorted(grant.path for grant in grants)


def _mount(mount: Mount) -> Document:
    if mount.kind == "secret":
        return {"secret": mount.name, "from": mount.source, "at": mount.at, "mode": f"{mount.mode:04o}"}
    written: Document = {mount.kind: True if mount.kind == "tmpfs" else mount.source, "at": mount.at}
    written |= {"access": mount.access, "exec": mount.execute}
    return written | ({"size": mount.size} if mount.kind == "tmpfs" else {})


def _network(network: Network) -> Document:
    ingress = sorted(network.ingress, key=lambda entry: (entry.port.number, entry.port.protocol, entry.publish))
    return {
        "egress": _egress(network.egress),
        "ingress": [{"port": _port(entry.port)} | ({"publish": entry.publish} if entry.publish else {}) for entry in ingress],
        "share": network.share,
    }


def _egress(egress: Iterable[Egress]) -> list[Document]:
    """One entry for each target with all its ports, whichever clauses granted them."""
    ports: dict[tuple[str, str], set[Port]] = {}
    for entry in egress:
        ports.setdefault((entry.kind, entry.target), set()).update(entry.ports)
    return [
        {kind: target, "ports": [_port(port) for port in sorted(found, key=lambda port: (port.number, port.protocol))]}
        for (kind, target), found in sorted(ports.items())
    ]


def _port(port: Port) -> int | str:
    return port.number if port.protocol == "tcp" else f"{port.number}/udp"


def _namespaces(namespaces: Namespaces) -> Document:
    return {name: getattr(namespaces, name) for name in ("cgroup", "ipc", "pid", "time", "uts")}


def _resources(resources: Resources) -> Document:
    """Only what is bounded: an unlimited resource has no word in the language."""
    bounds: Document = {name: getattr(resources, name) for name in ("memory", "pids", "open_files", "processes", "scratch")}
    if resources.cpus is not None:
        bounds["cpus"] = resources.cpus / 1000
    if resources.time is not None:
        bounds["time"] = f"{resources.time}ms"
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _phase(phase: Phase) -> Document:
    kind, value = phase.ready
    then: Document = {"syscalls": {"deny": sorted(phase.deny_syscalls)}}
    if phase.egress is not None:
        then["network"] = {"egress": _egress(phase.egress)}
    return {"ready": {kind: f"{value}ms" if kind == "after" else int(value) if kind == "port" else value}, "then": then}
