"""Network addresses of the profile language: host names, networks, ports, and where a port is published."""

from __future__ import annotations

import re
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    NetmaskValueError,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING

from enforcer.policy.profile import Port
from enforcer.policy.shape import scalar, text
from enforcer.policy.source import quoted

if TYPE_CHECKING:
    from enforcer.policy.source import Node

HOST_LIMIT = 253  # RFC 1035, section 3.1, without the root's dot
MAX_PORT = 65535

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PORT = re.compile(r"([1-9][0-9]{0,4})(?:/(tcp|udp))?")
_PUBLISH = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]+)")


def port(node: Node) -> Port:
    """Read a port: 443 is TCP, 53/udp is UDP."""
    written = scalar(node).text
    found = _PORT.fullmatch(written)
    if found is None:
        raise node.refuse(f"{quoted(written)} is not a port", why="a port is 1 to 65535, with /udp or /tcp after it if need be")
    if int(found[1]) > MAX_PORT:
        raise node.refuse(f"the port {found[1]} is out of range", why=f"a port is 1 to {MAX_PORT}")
    return Port(int(found[1]), "udp" if found[2] == "udp" else "tcp")


def host(node: Node) -> str:
    """Read a host name in lower case, or "*.suffix" for every name below suffix."""
    name = text(node)
    bare = name.removeprefix("*.")
    if name == "*" or (bare and "*" in bare):
        raise node.refuse(
            f"{quoted(name)} is not a host name", why="* stands for whole names at the start only", hint="write *.suffix"
        )
    if is_address(bare):
        raise node.refuse(f"{quoted(name)} is an address", hint=f"write cidr: {ip_network(bare)}")
    if bare != bare.lower() and bare.isascii():
        raise node.refuse(f"the host name {quoted(name)} is not in lower case", hint=f"write {name.lower()}")
    labels = bare.split(".")
    if len(bare) > HOST_LIMIT or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        why = "a name is labels of a-z, 0-9 and inner dashes, up to 63 characters each, with dots between them"
        hint = f"write {name[:-1]}" if bare.endswith(".") else "" if bare.isascii() else "write its xn-- form"
        raise node.refuse(f"{quoted(name)} is not a host name", why=why, hint=hint)
    return name


def cidr(node: Node) -> str:
    """Read a network in its canonical form: no host bits, IPv6 as RFC 5952 writes it."""
    written = text(node)
    network = _network(written)
    if network is None:
        raise node.refuse(f"{quoted(written)} is not a network", why=_why_not_network(written), hint="write it as 10.1.0.0/16")
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None and network.prefixlen >= 96:  # noqa: PLR2004
        inner = f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}"
        raise node.refuse(
            f"{written} is an IPv4 network in IPv6 clothes", why="the kernel sends such packets as IPv4", hint=f"write {inner}"
        )
    if str(network) != written:
        why = "it has bits set behind the prefix" if _has_host_bits(written) else "it is not in the canonical form"
        raise node.refuse(f"{quoted(written)} is not a network", why=why, hint=f"write {network}")
    return written


def publish(node: Node) -> str:
    """Read the host address that a port is published at: "127.0.0.1:18080" or "[::1]:18080"."""
    written = text(node)
    found = _PUBLISH.fullmatch(written)
    address = _address(found[1] or found[2]) if found else None
    if found is None or address is None or (found[1] is None) != (address.version == 4):  # noqa: PLR2004  IPv4
        why = "without an address a port would be open on every interface (CVE-2021-4024)"
        raise node.refuse(f"{quoted(written)} is not ADDRESS:PORT", why=why, hint="write 127.0.0.1:8080")
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:  # Python 3.13 writes it in another way than 3.12
        what = f"{written} is an IPv4 address in IPv6 clothes"
        raise node.refuse(what, why="the kernel listens as IPv4 there", hint=f"write {address.ipv4_mapped}:{found[3]}")
    if found[3].startswith("0") or not 1 <= int(found[3][:6]) <= MAX_PORT:
        raise node.refuse(f"the port {found[3]} is out of range", why=f"a port is 1 to {MAX_PORT}")
    canonical = f"{address}:{found[3]}" if address.version == 4 else f"[{address}]:{found[3]}"  # noqa: PLR2004  IPv4
    if canonical != written:
        raise node.refuse(f"{quoted(written)} is not in the canonical form", hint=f"write {canonical}")
    return written


def is_address(written: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    return _address(written) is not None


def _address(written: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(written) if "%" not in written else None
    except ValueError:
        return None


def _network(written: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(written, strict=False) if "%" not in written and written.isascii() else None
    except (ValueError, AddressValueError, NetmaskValueError):
        return None


def _has_host_bits(written: str) -> bool:
    try:
        ip_network(written)
    except ValueError:
        return True
    return False


def _why_not_network(written: str) -> str:
    return "zones are local to a host" if "%" in written else "a network is an IPv4 or IPv6 address and a prefix length"
