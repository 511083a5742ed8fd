"""The sections `network` and `phases`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.policy.addresses import cidr, host, port, publish
from enforcer.policy.parse_syscalls import denied
from enforcer.policy.places import absolute
from enforcer.policy.profile import Egress, Ingress, Network, Phase
from enforcer.policy.quantities import duration
from enforcer.policy.shape import distinct, fields, word

if TYPE_CHECKING:
    from typing import Literal

    from enforcer.policy.source import Node

KEYS = ("egress", "ingress", "share")


def network(node: Node) -> Network:
    """Read the section."""
    found = fields(node, KEYS)
    return Network(
        egress=_all_egress(found["egress"]) if "egress" in found else frozenset(),
        ingress=_all_ingress(found["ingress"]) if "ingress" in found else frozenset(),
        share=word(found["share"], ("none", "host")) if "share" in found else "none",
        share_clause=found["share"].clause if "share" in found else node.clause,
    )


def phases(node: Node) -> Phase:
    """Read the section: what ends when the application is ready."""
    found = fields(node, ("ready", "then"), required=("ready", "then"))
    then = fields(found["then"], ("syscalls", "network"))
    if not then:
        raise found["then"].refuse("nothing ends", hint="write syscalls: {deny: […]} or network: {egress: []}")
    deny = fields(then["syscalls"], ("deny",), required=("deny",))["deny"] if "syscalls" in then else None
    egress = fields(then["network"], ("egress",), required=("egress",))["egress"] if "network" in then else None
    return Phase(
        ready=_ready(found["ready"]),
        deny_syscalls=frozenset(name for name, _ in denied(deny)) if deny else frozenset(),
        egress=_all_egress(egress) if egress else None,
        clause=node.clause,
    )


def _ready(node: Node) -> tuple[Literal["port", "file", "after"], str]:
    found = fields(node, ("port", "file", "after"))
    if len(found) != 1:
        raise node.refuse("ready is one of port, file and after")
    if "port" in found:
        return "port", _tcp_port(found["port"])
    if "file" in found:
        return "file", absolute(found["file"])
    return "after", str(duration(found["after"]))


def _tcp_port(node: Node) -> str:
    ready = port(node)
    if ready.protocol != "tcp":
        raise node.refuse("readiness is a TCP port", why="a UDP socket does not say that it listens")
    return str(ready.number)


def _all_egress(node: Node) -> frozenset[Egress]:
    return frozenset(distinct(node, _egress, lambda egress: (egress.kind, egress.target)))


def _egress(node: Node) -> Egress:
    found = fields(node, ("host", "cidr", "ports"), required=("ports",))
    if ("host" in found) == ("cidr" in found):
        raise node.refuse("egress goes to either host or cidr", hint="write {host: example.org, ports: [443]}")
    ports = frozenset(distinct(found["ports"], port))
    if not ports:
        raise found["ports"].refuse("no port is named", why="an empty list is not every port", hint="write ports: [443]")
    if "host" in found:
        return Egress("host", host(found["host"]), ports, node.clause)
    return Egress("cidr", cidr(found["cidr"]), ports, node.clause)


def _all_ingress(node: Node) -> frozenset[Ingress]:
    ingress = distinct(node, _ingress, lambda entry: (entry.port, entry.publish))
    published: dict[tuple[str, str], Ingress] = {}
    for entry in ingress:
        first = published.setdefault((entry.publish, entry.port.protocol), entry)
        if entry.publish and first is not entry:
            raise node.refuse(f"{entry.publish} is published twice", why=f"at {first.clause.place} and at {entry.clause.place}")
    return frozenset(ingress)


def _ingress(node: Node) -> Ingress:
    found = fields(node, ("port", "publish"), required=("port",))
    return Ingress(port(found["port"]), publish(found["publish"]) if "publish" in found else "", node.clause)
