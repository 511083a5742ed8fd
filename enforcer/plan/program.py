"""A plan becomes a launch program: the order of its steps is the security design, kept visible in one function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enforcer.plan import (
    capabilities,
    cgroups,
    devices,
    landlock,
    mounts,
    namespaces,
    network,
    process,
    seccomp,
    userns,
)

if TYPE_CHECKING:
    from enforcer.plan.cgroup_devices import DeviceRule
    from enforcer.plan.host import HostFacts
    from enforcer.plan.mounts import Sources
    from enforcer.plan.step import Step, Where
    from enforcer.policy.profile import Policy


@dataclass(frozen=True, slots=True)
class Payload:
    """What the container becomes.

    user, groups, cwd: what it runs as (ids inside the user namespace), and where. terminal: it gets one of its own.
    device_rules: numbers of the granted device nodes. filter_code: the seccomp filter, compiled.
    """

    user: tuple[int, int]
    groups: tuple[int, ...]
    cwd: str
    terminal: bool
    device_rules: tuple[DeviceRule, ...]
    filter_code: bytes


def program(policy: Policy, facts: HostFacts, files: Sources, payload: Payload) -> tuple[Step, ...]:
    """List the system calls of a launch, in order.

    1.  network namespace, cgroups and sources, made by the launcher while the host can still be named
    2.  clone3: every other namespace at once, in the cgroup (v2) or entering it first thing (v1)
    3.  id maps and owners of the mounts; only then init goes on
    4.  nothing of the caller is kept: session, keyring; mounts no longer propagate
    5.  root and mounts, /proc with processes only, an own /dev; pivot_root, and the old root is gone
    6.  every descriptor that was not granted is closed
    7.  limits
    8.  bounding set, securebits, ids, groups, and the capability sets
    9.  no_new_privs
    10. Landlock
    11. seccomp, last
    12. execve
    """
    names = frozenset(capability.name for capability in policy.capabilities)
    way = userns.way(policy.namespaces, facts)
    single = way == "single"
    netns = network.owner(policy.network, names, rootful=facts.rootful)
    opener: Where = "launcher" if facts.rootful else "init"
    tree = policy.filesystem
    inside = cgroups.born_inside(policy.resources, facts)
    opened = (*mounts.sources(opener, tree, files), *devices.sources(opener, tree.devices))
    return (
        *(network.steps("launcher", names) if netns == "launcher" else ()),
        *cgroups.before(policy.resources, payload.device_rules, facts),
        *(opened if opener == "launcher" else ()),
        namespaces.clone(policy.namespaces, network=netns == "init", into_cgroup=inside),
        *cgroups.let_go(policy.resources, facts),
        *userns.steps(way, payload.user, facts),
        *(mounts.map_owners(tree, files) if way == "range" else ()),
        *process.release_init(),
        *cgroups.enter(policy.resources, facts),
        *process.wait_for_launcher(),
        *process.detach(),
        *namespaces.own_cgroup(policy.namespaces),
        *process.root_ids(single=single),
        *(network.steps("init", names) if netns == "init" else ()),
        mounts.private(),
        *(opened if opener == "init" else ()),
        *mounts.root(tree, files, policy.resources.scratch, facts),
        *mounts.proc(),
        *devices.assemble(tree.devices),
        *mounts.mount_all(tree, files),
        *mounts.working_directory(payload.cwd, tree, files),
        devices.seal(),
        *mounts.seal(tree),
        *namespaces.hostname(policy.namespaces),
        *mounts.pivot(),
        *(process.terminal(payload.user) if payload.terminal else ()),
        *process.descriptors(payload.user, terminal=payload.terminal, give=way == "subordinate" and not payload.terminal),
        *process.limits(policy.resources, pids_by_rlimit="pids" not in facts.cgroups),
        *landlock.build(tree, devices.names(tree.devices), facts.landlock_abi),
        *capabilities.steps(policy.capabilities, payload.user, payload.groups, facts.last_capability, single=single),
        *process.enter(payload.cwd),
        *(() if policy.run.init else process.signals()),
        landlock.no_new_privs(),
        *landlock.restrict(facts.landlock_abi),
        process.ready(),
        *seccomp.steps(payload.filter_code),
        *process.become(reaper=policy.run.init),
    )
