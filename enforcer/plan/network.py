"""The network: a namespace with a loopback interface and no way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.plan.host import Enforcement
from enforcer.plan.step import Ref, Step

if TYPE_CHECKING:
    from enforcer.plan.host import HostFacts
    from enforcer.plan.step import Where
    from enforcer.policy.profile import Network

CLONE_NEWNET = 0x40000000
AF_INET = 2
SOCK_DGRAM_CLOEXEC = 2 | 0o2000000
SIOCSIFFLAGS = 0x8914
IFF_UP_RUNNING = 0x1 | 0x40
AT_FDCWD = -100
O_WRONLY_CLOEXEC = 0o2000001
SHARE = "network.share"
# With these the payload is meant to work on the namespace itself, so that one belongs to the payload's own user namespace.
_OWNERS = frozenset({"NET_ADMIN", "NET_RAW", "NET_BROADCAST"})


def decide(network: Network, facts: HostFacts) -> tuple[Enforcement, ...]:
    """Say how the network clauses hold. Egress and published ports cannot be granted yet: those clauses are impossible."""
    place = network.share_clause.place
    if network.share == "host":
        return (Enforcement(SHARE, place, "enforced", "the host's own network namespace, as written"),)
    if "net" not in facts.namespaces:
        why = "this host does not let the caller make a network namespace"
        return (Enforcement(SHARE, place, "impossible", "CLONE_NEWNET", why),)
    verdicts = [Enforcement(SHARE, place, "enforced", "CLONE_NEWNET, loopback only")]
    why = "this version has no way out of the container's network namespace: only loopback can be granted"
    for grant in sorted(network.egress, key=lambda one: one.clause):
        path = grant.clause.path or f"network.egress[{grant.target}]"
        verdicts.append(Enforcement(path, grant.clause.place, "impossible", "network namespace", why))
    for listener in sorted(network.ingress, key=lambda one: one.clause):
        path = listener.clause.path or f"network.ingress[{listener.port.number}]"
        if listener.publish:
            verdicts.append(Enforcement(path, listener.clause.place, "impossible", "network namespace", why))
        else:
            verdicts.append(Enforcement(path, listener.clause.place, "enforced", "loopback inside the container"))
    return tuple(verdicts)


def owner(network: Network, capabilities: frozenset[str], *, rootful: bool) -> Where | None:
    """Say which process makes the namespace, and so which user namespace owns it; None when it is the host's.

    The launcher makes it where it can: then no capability of the payload counts in it.
    """
    if network.share == "host":
        return None
    return "init" if not rootful or capabilities & _OWNERS else "launcher"


def steps(where: Where, capabilities: frozenset[str]) -> tuple[Step, ...]:
    """Bring the loopback interface up, the only one there is."""
    request = b"lo".ljust(16, b"\0") + IFF_UP_RUNNING.to_bytes(2, "little") + bytes(22)
    make = (Step("launcher", "unshare", (CLONE_NEWNET,), SHARE),) if where == "launcher" else ()
    return (
        *make,
        Step(where, "socket", (AF_INET, SOCK_DGRAM_CLOEXEC, 0), SHARE, result="loopback"),
        Step(where, "ioctl", (Ref("loopback"), SIOCSIFFLAGS, request), SHARE, note="loopback up"),
        Step(where, "close", (Ref("loopback"),), SHARE),
        *(_low_ports() if where == "launcher" and "NET_BIND_SERVICE" in capabilities else ()),
    )


def _low_ports() -> tuple[Step, ...]:
    """CAP_NET_BIND_SERVICE of the payload does not count in a namespace it does not own: open the low ports instead."""
    path, clause = b"/proc/sys/net/ipv4/ip_unprivileged_port_start", "capabilities"
    return (
        Step("launcher", "openat", (AT_FDCWD, path, O_WRONLY_CLOEXEC, 0), clause, result="ports"),
        Step("launcher", "write", (Ref("ports"), b"0", 1), clause, expect=1),
        Step("launcher", "close", (Ref("ports"),), clause),
    )
