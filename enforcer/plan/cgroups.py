"""Control groups: bounds on memory, processes and processor time, and which devices may be opened.

`before` makes the container's groups and limits them while they are empty; init is born in them (v2) or enters them as the
first thing it does (v1, `enter`): nothing of the container ever runs outside its bounds. Groups are named `enforcer-` and the
container's id, below the directories that `HostFacts.cgroups` names. See cgroups(7), admin-guide/cgroup-v1/*.rst,
admin-guide/cgroup-v2.rst, bpf(2).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enforcer.plan import cgroup_devices
from enforcer.plan.cgroup_devices import DEFAULT_DEVICES, DeviceRule
from enforcer.plan.host import Enforcement
from enforcer.plan.step import Packed, Ref, Slot, Step, Text
from enforcer.policy.profile import Clause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enforcer.plan.host import HostFacts
    from enforcer.policy.profile import Device, Resources

PREFIX = "enforcer-"
DEVICES_CLAUSE = "filesystem.devices"

AT_FDCWD = -100
O_WRONLY, O_DIRECTORY, O_CLOEXEC = 0o1, 0o200000, 0o2000000
# The kernel takes quotas from 1 ms on, periods up to 1 s.
CPU_PERIOD, CPU_LONG_PERIOD = 100_000, 1_000_000

DELEGATE = "start it in a delegated scope: systemd-run --user --scope -p Delegate=yes enforcer run …"
ENABLE = "boot with cgroup_enable=memory, or mount the hierarchy: mount -t cgroup2 none /sys/fs/cgroup"


def decide(resources: Resources, devices: frozenset[Device], facts: HostFacts) -> tuple[Enforcement, ...]:
    """How each bound and each granted device holds on this host."""
    bounds = (("memory", resources.memory, _memory), ("pids", resources.pids, _pids), ("cpus", resources.cpus, _cpus))
    verdicts = []
    for name, bound, judge in bounds:
        if bound is not None:
            clause = resources.clauses.get(f"resources.{name}", Clause(f"resources.{name}"))
            verdicts.append(judge(clause, facts))
    return (*verdicts, *(_device(device, facts) for device in sorted(devices, key=lambda device: device.path)))


def _memory(clause: Clause, facts: HostFacts) -> Enforcement:
    by = "memory.max and memory.swap.max" if _is_v2(facts) else "memory.limit_in_bytes and memory.memsw.limit_in_bytes"
    return _controller(clause, facts, "memory", by)


def _cpus(clause: Clause, facts: HostFacts) -> Enforcement:
    return _controller(clause, facts, "cpu", "cpu.max" if _is_v2(facts) else "cpu.cfs_quota_us")


def _controller(clause: Clause, facts: HostFacts, controller: str, by: str) -> Enforcement:
    if controller in facts.cgroups:
        return Enforcement(clause.path, clause.place, "enforced", f"{by} (cgroup {_version(facts)})")
    why = f"this caller cannot make a control group with the {controller} controller; {ENABLE if facts.rootful else DELEGATE}"
    return Enforcement(clause.path, clause.place, "impossible", "nothing", why)


def _pids(clause: Clause, facts: HostFacts) -> Enforcement:
    """Without the pids controller RLIMIT_NPROC bounds as well, if the user's processes are counted for each user namespace.

    They are since Linux 5.14 (ucounts), and never for the host's uid 0 (kernel/fork.c: INIT_USER is exempt).
    """
    if "pids" in facts.cgroups:
        return Enforcement(clause.path, clause.place, "enforced", f"pids.max (cgroup {_version(facts)})")
    if "user" in facts.namespaces and _release(facts.kernel) >= (5, 14) and (facts.uid != 0 or facts.container_ids[1]):
        by = "RLIMIT_NPROC, counted in the container's own user namespace"
        return Enforcement(clause.path, clause.place, "enforced", by, f"no pids controller; for one, {DELEGATE}")
    why = "there is no pids controller, and RLIMIT_NPROC would count together with, or not count, processes of the host"
    return Enforcement(clause.path, clause.place, "impossible", "nothing", f"{why}; {ENABLE if facts.rootful else DELEGATE}")


def _device(device: Device, facts: HostFacts) -> Enforcement:
    by = "MS_NODEV on every mount but the granted nodes, no mknod(2) in a user namespace"
    if "devices" in facts.cgroups:
        by += "; BPF_CGROUP_DEVICE" if _is_v2(facts) else "; devices.allow (cgroup v1)"
    return Enforcement(device.clause.path, device.clause.place, "enforced", by)


def before(resources: Resources, device_rules: tuple[DeviceRule, ...], facts: HostFacts) -> tuple[Step, ...]:
    """Steps of the launcher, ahead of clone3: make the groups, with their limits, empty.

    On v2 the result "cgroup" is a descriptor of the group's directory, until `attach`. A name that is taken fails: the group of
    another container is never joined.
    """
    rules = (*DEFAULT_DEVICES, *device_rules)
    return _before_v2(resources, rules, facts) if _is_v2(facts) else _before_v1(resources, rules, facts)


def born_inside(resources: Resources, facts: HostFacts) -> bool:
    """Tell whether clone3 puts init into its group at once (CLONE_INTO_CGROUP, result "cgroup"), as it can on v2."""
    return _is_v2(facts) and bool(_needed(resources, facts))


def enter(resources: Resources, facts: HostFacts) -> tuple[Step, ...]:
    """Steps of init, its first ones: on v1 it enters each group by itself, through a descriptor that the launcher opened.

    Writing 0 to `tasks` moves the writing thread, and is the one way that does not wait for the whole machine's
    cgroup_threadgroup_rwsem: another process's id in `cgroup.procs` costs up to 14 ms (kernel/cgroup/cgroup.c,
    cgroup_procs_write_start). A cgroup namespace must be unshared after this: its root is where the process is at that moment.
    """
    if _is_v2(facts):
        return ()
    groups = enumerate(_groups_v1(resources, facts).items())
    note = "init enters its control group"
    return tuple(Step("init", "write", (Ref(f"tasks {n}"), b"0", 1), clause, expect=1, note=note) for n, (_, clause) in groups)


def let_go(resources: Resources, facts: HostFacts) -> tuple[Step, ...]:
    """Steps of the launcher, after clone3: it keeps no descriptor of the groups."""
    names = {"cgroup": "resources"} if born_inside(resources, facts) else {}
    if not _is_v2(facts):
        names = {f"tasks {n}": clause for n, clause in enumerate(_groups_v1(resources, facts).values())}
    return tuple(Step("launcher", "close", (Ref(name),), clause) for name, clause in names.items())


def directories(resources: Resources, facts: HostFacts) -> tuple[str, ...]:
    """The parents below which a launch makes a group: what must be removed when the container ends."""
    if _is_v2(facts):
        return (facts.cgroup_v2,) if _needed(resources, facts) else ()
    return tuple(_groups_v1(resources, facts))


def _needed(resources: Resources, facts: HostFacts) -> dict[str, str]:
    """Controllers that this container uses, of those that there are: name → the clause they enforce."""
    wanted = {
        "pids": ("resources.pids", resources.pids is not None),
        "memory": ("resources.memory", resources.memory is not None),
        "cpu": ("resources.cpus", resources.cpus is not None),
        "devices": (DEVICES_CLAUSE, True),
    }
    return {name: clause for name, (clause, wants) in wanted.items() if wants and name in facts.cgroups}


def _groups_v1(resources: Resources, facts: HostFacts) -> dict[str, str]:
    """Parent directory → clause; controllers mounted together (cpu,cpuacct) share one group."""
    groups: dict[str, str] = {}
    for name, clause in _needed(resources, facts).items():
        groups.setdefault(facts.cgroups[name], clause)
    return groups


def _before_v1(resources: Resources, rules: tuple[DeviceRule, ...], facts: HostFacts) -> tuple[Step, ...]:
    made = tuple(_make(parent, clause) for parent, clause in _groups_v1(resources, facts).items())
    limits: tuple[Step, ...] = ()
    for name, clause in _needed(resources, facts).items():
        at = facts.cgroups[name]
        if name == "pids":
            limits += _put(at, "pids.max", str(resources.pids), clause)
        elif name == "memory":
            limits += _memory_v1(at, str(resources.memory), clause)
        elif name == "cpu":
            period, quota = _quota(resources.cpus or 0)
            limits += _put(at, "cpu.cfs_period_us", str(period), clause) + _put(at, "cpu.cfs_quota_us", str(quota), clause)
        else:
            limits += _put(at, "devices.deny", "a", clause)
            allowed = [_rule_v1(rule).encode() for rule in rules]
            limits += _write(_path(at, "devices.allow"), allowed, clause, "the devices that can be opened")
    flags = O_WRONLY | O_CLOEXEC
    doors = tuple(
        Step("launcher", "openat", (AT_FDCWD, _path(parent, "tasks"), flags, 0), clause, result=f"tasks {n}")
        for n, (parent, clause) in enumerate(_groups_v1(resources, facts).items())
    )
    return made + limits + doors


def _memory_v1(at: str, limit: str, clause: str) -> tuple[Step, ...]:
    """memory.memsw.* is absent without swap accounting: then no page of the group is swapped (memory.swappiness 0).

    kmem.tcp counts socket buffers, which v1 keeps apart; memsw may not be below the memory limit, so it comes after it.
    """
    return (
        *_put(at, "memory.limit_in_bytes", limit, clause),
        *_put(at, "memory.swappiness", "0", clause, optional=True),
        *_put(at, "memory.memsw.limit_in_bytes", limit, clause, optional=True),
        *_put(at, "memory.kmem.tcp.limit_in_bytes", limit, clause, optional=True),
    )


def _before_v2(resources: Resources, rules: tuple[DeviceRule, ...], facts: HostFacts) -> tuple[Step, ...]:
    needed = _needed(resources, facts)
    if not needed:
        return ()
    at = facts.cgroup_v2
    controllers = [name for name in ("memory", "pids", "cpu") if name in needed]
    result: tuple[Step, ...] = ()
    if controllers:
        words = " ".join(f"+{name}" for name in controllers).encode()
        path = Text((f"{at}/cgroup.subtree_control".encode(),))
        result += _write(path, [words], "resources", "pass the controllers on to the container's group")
    result += (_make(at, "resources"),)
    if "memory" in needed:
        result += _put(at, "memory.max", str(resources.memory), needed["memory"])
        result += _put(at, "memory.swap.max", "0", needed["memory"], optional=True)
    if "pids" in needed:
        result += _put(at, "pids.max", str(resources.pids), needed["pids"])
    if "cpu" in needed:
        period, quota = _quota(resources.cpus or 0)
        result += _put(at, "cpu.max", f"{quota} {period}", needed["cpu"])
    flags = O_DIRECTORY | O_CLOEXEC
    result += (Step("launcher", "openat", (AT_FDCWD, _path(at), flags, 0), "resources", result="cgroup"),)
    return result + (_device_steps(rules, needed["devices"]) if "devices" in needed else ())


def _device_steps(rules: tuple[DeviceRule, ...], clause: str) -> tuple[Step, ...]:
    code = cgroup_devices.program(rules)
    load, attach_to = cgroup_devices.load_attr(len(code) // 8), cgroup_devices.attach_attr()
    loading = Packed(load, ((8, 8, code), (16, 8, cgroup_devices.LICENSE)))
    attaching = Packed(attach_to, ((0, 4, Ref("cgroup")), (4, 4, Ref("device program"))))
    return (
        Step("launcher", "bpf", (cgroup_devices.BPF_PROG_LOAD, loading, len(load)), clause, result="device program"),
        Step("launcher", "bpf", (cgroup_devices.BPF_PROG_ATTACH, attaching, len(attach_to)), clause),
        Step("launcher", "close", (Ref("device program"),), clause),
    )


def _quota(millicores: int) -> tuple[int, int]:
    """(period, quota) in microseconds."""
    period = CPU_PERIOD if millicores * CPU_PERIOD >= CPU_LONG_PERIOD else CPU_LONG_PERIOD
    return period, millicores * period // 1000


def _rule_v1(rule: DeviceRule) -> str:
    return f"{rule.kind} {rule.major}:{'*' if rule.minor is None else rule.minor} {rule.access}"


def _path(parent: str, file: str = "") -> Text:
    """The container's group below `parent`, or a file in it."""
    tail = (b"/" + file.encode(),) if file else ()
    return Text((f"{parent}/{PREFIX}".encode(), Slot("id"), *tail))


def _make(parent: str, clause: str) -> Step:
    return Step("launcher", "mkdirat", (AT_FDCWD, _path(parent), 0o755), clause, note="the container's own control group")


def _put(parent: str, file: str, value: str, clause: str, *, optional: bool = False) -> tuple[Step, ...]:
    return _write(_path(parent, file), [value.encode()], clause, f"{file} = {value}", optional=optional)


def _write(path: Text, contents: Sequence[bytes], clause: str, note: str, *, optional: bool = False) -> tuple[Step, ...]:
    """Open, write each content whole, close. Optional: a file that is absent is passed over."""
    name = "cgroup file"
    needs, absent = ((name,), ("ENOENT",)) if optional else ((), ())
    return (
        Step("launcher", "openat", (AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0), clause, result=name, tolerate=absent, note=note),
        *(Step("launcher", "write", (Ref(name), it, len(it)), clause, needs=needs, expect=len(it)) for it in contents),
        Step("launcher", "close", (Ref(name),), clause, needs=needs),
    )


def _is_v2(facts: HostFacts) -> bool:
    return facts.cgroup_layout == "v2"


def _version(facts: HostFacts) -> str:
    return "v2" if _is_v2(facts) else "v1"


def _release(kernel: str) -> tuple[int, int]:
    """6.18.44-fc → (6, 18)."""
    found = re.match(r"(\d+)\.(\d+)", kernel)
    return (int(found[1]), int(found[2])) if found else (0, 0)
