"""What a policy reaches, asked one access at a time: slow, plain, and sharing no code with the order that it checks."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enforcer.policy.profile import ArgumentCondition, Egress, Match, Phase, Policy

Ready = tuple[str, str]


def condition_holds(condition: ArgumentCondition, argument: int) -> bool:
    value = condition.value
    return {
        "==": argument == value,
        "!=": argument != value,
        "<": argument < value,
        "<=": argument <= value,
        ">": argument > value,
        ">=": argument >= value,
        "&==": (argument & condition.mask) == value,
    }[condition.op]


def any_match(matches: Iterable[Match], arguments: tuple[int, ...]) -> bool:
    return any(all(condition_holds(c, arguments[c.index]) for c in match) for match in matches)


def has_ended(phase: Phase | None, event: Ready | None) -> bool:
    """Whether the phase is over at the moment when exactly this event, and each shorter wait, has come."""
    if phase is None or event is None:
        return False
    waits = phase.ready[0] == event[0] == "after" and int(phase.ready[1]) <= int(event[1])
    return waits or phase.ready == event


def call(policy: Policy, event: Ready | None, name: str, args: tuple[int, ...]) -> bool:
    if policy.syscalls.violation == "complain":
        return True
    if has_ended(policy.phases, event) and policy.phases and name in policy.phases.deny_syscalls:
        return False
    return name in policy.syscalls.allowed and any_match(policy.syscalls.allowed[name].matches, args)


def _target(egress: Egress, kind: str, host: str) -> bool:
    if egress.kind != kind:
        return False
    if kind == "cidr":
        return ip_address(host) in ip_network(egress.target)
    labels, wanted = host.split("."), egress.target.split(".")
    if wanted[0] == "*":
        return len(labels) > len(wanted) - 1 and labels[-len(wanted) + 1 :] == wanted[1:]
    return labels == wanted


def connection(policy: Policy, event: Ready | None, target: tuple[str, str], port: tuple[int, str]) -> bool:
    if policy.network.share == "host":
        return True
    sets = [policy.network.egress]
    if has_ended(policy.phases, event) and policy.phases and policy.phases.egress is not None:
        sets.append(policy.phases.egress)
    return all(any(_target(e, *target) and port in [(p.number, p.protocol) for p in e.ports] for e in s) for s in sets)


def _listening(policy: Policy, port: int, protocol: str, publish: str) -> bool:
    def published(bound: str) -> bool:
        if publish in ("", bound):
            return True
        address, number = publish.rsplit(":", 1)
        return bound == ("[::]:" if "[" in address else "0.0.0.0:") + number

    grants = policy.network.ingress
    return any((g.port.number, g.port.protocol) == (port, protocol) and published(g.publish) for g in grants)


def _under(path: str, top: str) -> bool:
    return PurePosixPath(path).is_relative_to(top)


def _mount(policy: Policy, wanted: Mapping[str, Any]) -> bool:
    return any(
        m.kind == wanted["kind"]
        and (_under(wanted["source"], m.source) if m.kind == "bind" else m.source == wanted["source"])
        and _under(wanted["at"], m.at)
        and (wanted["access"], m.access) != ("write", "read")
        and (m.execute or not wanted["execute"])
        and wanted["size"] <= m.size
        and wanted["mode"] | m.mode == m.mode
        for m in policy.filesystem.mounts
    )


def allows(policy: Policy, section: str, example: Mapping[str, Any], event: Ready | None = None) -> bool:  # noqa: PLR0911, C901, PLR0912  one visible list
    """Whether the policy reaches what the example of this section says, at the moment of the event."""
    match section.split("."):
        case ["syscalls"]:
            return call(policy, event, example["name"], example["args"])
        case ["syscalls", "violation"]:
            return policy.syscalls.violation == "complain"
        case ["syscalls", "architectures"]:
            return policy.syscalls.violation == "complain" or example["architecture"] in policy.syscalls.architectures
        case ["run", "user"]:
            return policy.run.root
        case ["environment", "pass"]:
            return example["name"] in policy.environment.passed
        case ["capabilities"]:
            return example["name"] in {c.name for c in policy.capabilities}
        case ["filesystem", "root"]:
            return policy.filesystem.root == "ephemeral"
        case ["filesystem", "mounts"]:
            return _mount(policy, example)
        case ["filesystem", "paths", right]:
            return any(_under(example["path"], grant.path) for grant in getattr(policy.filesystem.paths, right))
        case ["filesystem", "devices"]:
            return example["path"] in {d.path for d in policy.filesystem.devices}
        case ["network", "share"]:
            return policy.network.share == "host"
        case ["network", "egress"]:
            target, port = (example["kind"], example["host"]), (example["port"], example["protocol"])
            return connection(policy, event, target, port)
        case ["network", "ingress"]:
            return policy.network.share == "host" or _listening(policy, **example)
        case ["namespaces" | "user_namespace", *_]:
            return bool(getattr(policy.namespaces, example["namespace"]) == "host")
        case ["resources", name]:
            limit = getattr(policy.resources, name)
            return limit is None or example["amount"] <= limit
        case ["phases"]:
            return allows(policy, "syscalls" if "args" in example else "network.egress", example, event)
    raise AssertionError(section)
