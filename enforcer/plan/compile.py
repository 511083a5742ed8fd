"""A policy, an image and a host become a plan: what is enforced by what, the config.json, and the launch program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enforcer.errors import PlanError
from enforcer.plan import (
    capabilities,
    cgroups,
    config,
    landlock,
    mounts,
    namespaces,
    network,
    process,
    program,
    userns,
)
from enforcer.plan.host import Enforcement

if TYPE_CHECKING:
    from collections.abc import Collection

    from enforcer.plan.host import HostFacts
    from enforcer.plan.step import Step
    from enforcer.plan.subject import Subject
    from enforcer.policy.profile import Policy

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_ID = userns.RANGE - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A launch, decided. enforcements: one for each clause. steps: the launch program. config: an OCI runtime config.json."""

    policy: Policy
    subject: Subject
    enforcements: tuple[Enforcement, ...]
    steps: tuple[Step, ...]
    config: dict[str, Any]
    environment: tuple[tuple[str, str], ...]
    cwd: str


def compile_plan(policy: Policy, subject: Subject, facts: HostFacts, code: bytes, accepted: Collection[str] = ()) -> Plan:
    """Decide a launch. code: the compiled seccomp filter. accepted: clauses named in --accept-weaker.

    Raises PlanError when a clause is weaker or impossible on this host and was not accepted (profile.md, rule 5).
    """
    verdicts = enforce(policy, subject, facts)
    refuse(verdicts, accepted)
    environment = tuple(_environment(policy, subject).items())
    cwd = policy.run.cwd or subject.config.working_dir or "/"
    payload = program.Payload(subject.user, subject.groups, cwd, subject.terminal, subject.device_rules, code)
    steps = program.program(policy, facts, subject.files, payload)
    document = config.document(policy, subject, facts, environment=environment, cwd=cwd)
    return Plan(policy, subject, verdicts, steps, document, environment, cwd)


def enforce(policy: Policy, subject: Subject, facts: HostFacts) -> tuple[Enforcement, ...]:
    """Say for every clause what enforces it here, or what is missing."""
    host_users = policy.namespaces.user == "host"
    return (
        *userns.decide(policy.namespaces, policy.run, facts),
        *_identity(policy, subject, facts),
        *namespaces.decide(policy.namespaces, facts),
        *mounts.decide(policy.filesystem, facts, subject.files.unmapped),
        *_one_target(policy),
        *landlock.decide(policy.filesystem.paths, facts),
        *network.decide(policy.network, facts),
        *cgroups.decide(policy.resources, policy.filesystem.devices, facts),
        *process.decide(policy.resources),
        *capabilities.decide(policy.capabilities, facts, host_users=host_users),
        *_syscalls(policy, facts),
        *_init(policy),
        *_phases(policy),
    )


def _identity(policy: Policy, subject: Subject, facts: HostFacts) -> tuple[Enforcement, ...]:
    clause, (uid, gid) = policy.run.clause, subject.user
    place = clause.place
    if uid == 0 and not policy.run.root:
        why = "the image asks for root, and root must be written: `user: 0:0`"
        return (Enforcement("run.user", place, "impossible", "setresuid", why),)
    if policy.namespaces.user != "host" and max(uid, gid, *subject.groups, 0) > _MAX_ID:
        why = f"the container's user namespace maps ids 0 to {_MAX_ID}"
        return (Enforcement("run.user", place, "impossible", "setresuid", why),)
    groups = "" if userns.way(policy.namespaces, facts) == "single" else "setgroups, "  # denied there, user_namespaces(7)
    return (Enforcement("run.user", place, "enforced", f"{groups}setresgid {gid}, setresuid {uid}"),)


def _one_target(policy: Policy) -> tuple[Enforcement, ...]:
    """Two sources cannot both be at one place; which one is meant must be written."""
    seen: dict[str, str] = {}
    verdicts = []
    for mount in mounts.ordered(policy.filesystem.mounts):
        if mount.at in seen:
            why = f"{seen[mount.at]} grants something else at {mount.at}"
            verdicts.append(Enforcement(mount.clause.path, mount.clause.place, "impossible", "mount", why))
        seen[mount.at] = mount.clause.place
    return tuple(verdicts)


def _syscalls(policy: Policy, facts: HostFacts) -> tuple[Enforcement, ...]:
    place = policy.syscalls.clause.place
    if not facts.seccomp_filter:
        why = "this kernel is built without CONFIG_SECCOMP_FILTER"
        return (Enforcement("syscalls", place, "impossible", "seccomp", why),)
    if policy.syscalls.violation != "complain" and "execve" not in policy.syscalls.allowed:
        why = "execve is not granted, so no payload can be started"
        return (Enforcement("syscalls", place, "impossible", "seccomp", why),)
    count = len(policy.syscalls.allowed)
    return (Enforcement("syscalls", place, "enforced", f"seccomp filter, {count} calls, {policy.syscalls.violation}"),)


def _init(policy: Policy) -> tuple[Enforcement, ...]:
    """A pid 1 of ours runs under the payload's own filter, and needs some calls of it."""
    missing = sorted(process.REAPER_CALLS - set(policy.syscalls.allowed))
    if not policy.run.init or not missing or policy.syscalls.violation == "complain":
        return ()
    why = f"pid 1 needs {', '.join(missing)}, which no clause grants"
    return (Enforcement("run.init", policy.run.clause.place, "impossible", "fork, rt_sigtimedwait, wait4", why),)


def _phases(policy: Policy) -> tuple[Enforcement, ...]:
    if policy.phases is None:
        return ()
    why = "this version cannot take rights away from a running container"
    return (Enforcement("phases", policy.phases.clause.place, "impossible", "nothing", why),)


def refuse(verdicts: tuple[Enforcement, ...], accepted: Collection[str]) -> None:
    """Raise PlanError naming every clause that does not hold here and was not accepted, or an acceptance that names none."""
    unknown = sorted(set(accepted) - {verdict.path for verdict in verdicts})
    if unknown:
        open_ = [verdict.path for verdict in verdicts if verdict.verdict != "enforced"]
        known = ", ".join(open_) or "none: every clause is enforced"
        raise PlanError(
            f"--accept-weaker names {unknown[0]!r}, which is no clause of this policy",
            why="a misspelt acceptance would accept nothing, or the wrong thing",
            hint=f"clauses that are weaker or impossible here: {known}",
        )
    failing = [one for one in verdicts if one.verdict != "enforced" and one.path not in accepted]
    if failing:
        lines = [f"{one.place}: {one.path} is {one.verdict} here: {one.why}" for one in failing]
        flags = " ".join(f"--accept-weaker {one.path}" for one in failing)
        raise PlanError(
            f"{len(failing)} of {len(verdicts)} clauses cannot be enforced as written, so nothing was started",
            excerpt="\n".join(lines),
            why="a run that cannot be confined as asked does not start",
            hint=f"remove or change these clauses, or run without them: {flags}",
        )


def _environment(policy: Policy, subject: Subject) -> dict[str, str]:
    """PATH and HOME as Docker gives them, the image's variables, then the profile's."""
    values = {"PATH": DEFAULT_PATH, "HOME": subject.home}
    values |= {"TERM": "xterm"} if subject.terminal else {}
    for item in subject.config.env:
        name, _, value = item.partition("=")
        values[name] = value
    return values | dict(policy.environment.fixed)
