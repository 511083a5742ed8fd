"""The section `linux` of config.json: namespaces, ids, devices, control groups and the system call filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enforcer.plan import seccomp, userns
from enforcer.plan.cgroup_devices import DEFAULT_DEVICES

if TYPE_CHECKING:
    from enforcer.plan.cgroup_devices import DeviceRule
    from enforcer.plan.host import HostFacts
    from enforcer.plan.subject import Subject
    from enforcer.policy.profile import Policy, Resources

_NAMESPACES = ("user", "pid", "ipc", "uts", "cgroup", "time")
_PERIOD = 100_000  # microseconds


def section(policy: Policy, subject: Subject, facts: HostFacts) -> dict[str, Any]:
    """Return the section. Nothing is masked: of /proc only the processes are mounted, and /sys is not there."""
    private = [name for name in _NAMESPACES if getattr(policy.namespaces, name) == "private"]
    network = ["network"] if policy.network.share == "none" else []
    return {
        "namespaces": [{"type": kind} for kind in ("mount", *private, *network)],
        **_ids(policy, subject, facts),
        "devices": _devices(policy, subject),
        "resources": _resources(policy.resources, subject.device_rules, facts),
        "seccomp": seccomp.document(seccomp.decide(policy.syscalls, facts.machine)),
        "rootfsPropagation": "private",
        "maskedPaths": [],
        "readonlyPaths": [],
    }


def _ids(policy: Policy, subject: Subject, facts: HostFacts) -> dict[str, Any]:
    """The id maps, as `userns.steps` writes them."""
    way = userns.way(policy.namespaces, facts)
    if way == "host":
        return {}
    if way == "range":
        maps = [[(0, facts.container_ids[0], userns.RANGE)]] * 2
    elif way == "subordinate":
        pairs = ((facts.uid, facts.subordinate_uids), (facts.gid, facts.subordinate_gids))
        maps = [[(0, own, 1), (1, first, min(count, userns.RANGE - 1))] for own, (first, count) in pairs]
    else:
        maps = [[(subject.user[0], facts.uid, 1)], [(subject.user[1], facts.gid, 1)]]
    written = [[{"containerID": inside, "hostID": host, "size": size} for inside, host, size in lines] for lines in maps]
    return {"uidMappings": written[0], "gidMappings": written[1]}


def _devices(policy: Policy, subject: Subject) -> list[dict[str, Any]]:
    """The granted nodes beyond those that every runtime makes. Rules are in the order of the paths."""
    granted = sorted(device.path for device in policy.filesystem.devices)
    return [
        {"path": path, "type": rule.kind, "major": rule.major, "minor": rule.minor}
        for path, rule in zip(granted, subject.device_rules, strict=True)
    ]


def _resources(wanted: Resources, granted: tuple[DeviceRule, ...], facts: HostFacts) -> dict[str, Any]:
    section: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}, *map(_rule, (*DEFAULT_DEVICES, *granted))]}
    if wanted.memory is not None:
        section["memory"] = {"limit": wanted.memory, "swap": wanted.memory}
        if facts.cgroup_layout != "v2":
            section["memory"] |= {"kernelTCP": wanted.memory, "swappiness": 0}
    if wanted.pids is not None:
        section["pids"] = {"limit": wanted.pids}
    if wanted.cpus is not None:
        section["cpu"] = {"period": _PERIOD, "quota": wanted.cpus * _PERIOD // 1000}
    return section


def _rule(rule: DeviceRule) -> dict[str, Any]:
    minor = {} if rule.minor is None else {"minor": rule.minor}
    return {"allow": True, "type": rule.kind, "major": rule.major, **minor, "access": rule.access}
