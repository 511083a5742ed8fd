"""The user namespace: an own range of host ids for each container, or the one id an ordinary user has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.plan.host import Enforcement
from enforcer.plan.step import Ref, Slot, Step, Text

if TYPE_CHECKING:
    from enforcer.plan.host import HostFacts
    from enforcer.plan.step import Arg
    from enforcer.policy.profile import Namespaces, Run

CLAUSE = "user_namespace"
RANGE = 65536
AT_FDCWD = -100
O_WRONLY = 1
O_CLOEXEC = 0o2000000


def way(namespaces: Namespaces, facts: HostFacts) -> str:
    """Say how ids are mapped: "host" (not), "range" (rootful), "subordinate" (newuidmap), "single" (the caller's own id)."""
    if namespaces.user == "host":
        return "host"
    if facts.rootful:
        return "range"
    helpers = facts.newuidmap and facts.newgidmap
    return "subordinate" if helpers and facts.subordinate_uids[1] and facts.subordinate_gids[1] else "single"


def decide(namespaces: Namespaces, run: Run, facts: HostFacts) -> tuple[Enforcement, ...]:
    """Say how the clause `user_namespace` and the ids of `run.user` hold."""
    clause = namespaces.clauses.get(CLAUSE)
    place = clause.place if clause else "built in"
    kind = way(namespaces, facts)
    if kind == "host" and not facts.rootful:
        why = "without a user namespace only root can make the other namespaces"
        return (Enforcement(CLAUSE, place, "impossible", "no user namespace", why),)
    if kind == "host":
        return (Enforcement(CLAUSE, place, "enforced", "no user namespace, as written"),)
    if "user" not in facts.namespaces:
        why = "this host does not let the caller make user namespaces (see `enforcer doctor`)"
        return (Enforcement(CLAUSE, place, "impossible", "CLONE_NEWUSER", why),)
    if kind == "range" and facts.container_ids[1] < RANGE:
        why = "no range of 65536 unused ids is left on this host: the launcher itself runs under a small id map"
        return (Enforcement(CLAUSE, place, "impossible", "CLONE_NEWUSER, own id range", why),)
    by = {"range": "own range of 65536 ids", "subordinate": "newuidmap", "single": "the caller's one id"}[kind]
    return (Enforcement(CLAUSE, place, "enforced", f"CLONE_NEWUSER, {by}"), *_groups(run, kind, facts))


def _groups(run: Run, kind: str, facts: HostFacts) -> tuple[Enforcement, ...]:
    """A single-id map needs setgroups denied, and then the caller's own groups cannot be dropped (user_namespaces(7))."""
    if kind != "single" or not facts.other_groups:
        return ()
    why = (
        "without newgidmap the caller's other groups stay with the payload, for files that are granted and group-readable; "
        "install the package uidmap and see /etc/subgid"
    )
    return (Enforcement("run.user", run.clause.place, "weaker", "setresgid", why),)


def steps(kind: str, user: tuple[int, int], facts: HostFacts) -> tuple[Step, ...]:
    """Write the maps of the process `init` and keep its namespace as "user-namespace" for idmapped mounts."""
    if kind == "host":
        return ()
    if kind == "range":
        content, length = Slot("id-map"), Slot("id-map-length")
        maps = (*_write("uid_map", content, length), *_write("gid_map", content, length))
    elif kind == "subordinate":
        maps = (
            Step("launcher", "newuidmap", (Ref("init"), _helper(facts.newuidmap, facts.uid, facts.subordinate_uids)), CLAUSE),
            Step("launcher", "newgidmap", (Ref("init"), _helper(facts.newgidmap, facts.gid, facts.subordinate_gids)), CLAUSE),
        )
    else:
        uid, gid = f"{user[0]} {facts.uid} 1\n".encode(), f"{user[1]} {facts.gid} 1\n".encode()
        maps = (*_write("setgroups", b"deny", 4), *_write("uid_map", uid, len(uid)), *_write("gid_map", gid, len(gid)))
    return (*maps, Step("launcher", "openat", (AT_FDCWD, _proc("ns/user"), O_CLOEXEC, 0), CLAUSE, result="user-namespace"))


def _helper(program: str, own: int, subordinate: tuple[int, int]) -> bytes:
    """Arguments as newuidmap(1) takes them after the pid: the caller is root inside, subordinate ids follow."""
    first, count = subordinate
    return f"{program} 0 {own} 1 1 {first} {min(count, RANGE - 1)}".encode()


def _proc(name: str) -> Text:
    return Text((b"/proc/", Ref("init"), f"/{name}".encode()))


def _write(name: str, content: Arg, length: Arg) -> tuple[Step, ...]:
    return (
        Step("launcher", "openat", (AT_FDCWD, _proc(name), O_WRONLY | O_CLOEXEC, 0), CLAUSE, result="map"),
        Step("launcher", "write", (Ref("map"), content, length), CLAUSE, note=f"/proc/PID/{name}"),
        Step("launcher", "close", (Ref("map"),), CLAUSE),
    )
