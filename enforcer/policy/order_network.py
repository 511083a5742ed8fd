"""The order of the `network` section: egress, ingress and `share: host`, which is the top.

Egress is a set of (target, port). A name covers itself, "*.suffix" the names below suffix and not suffix itself, and networks
cover the addresses in them, two adjacent halves their whole. A name and a network are never comparable: what a name resolves
to is not ours to know.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from enforcer.policy.counterexample import Counterexample, wider
from enforcer.policy.order_filesystem import maximal
from enforcer.policy.profile import Egress, Ingress, Network, Port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EgressGrants = frozenset[Egress]
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
ANY_IPV4, ANY_IPV6 = "0.0.0.0", "[::]"  # noqa: S104  compared with, never bound to


def join(first: Network, second: Network) -> Network:
    """The least section that allows what either allows."""
    host = second if first.share == "none" else first
    return Network(
        join_egress(first.egress, second.egress),
        maximal((*_sorted(first.ingress), *_sorted(second.ingress)), ingress_covered),
        host.share,
        host.share_clause,
    )


def meet(first: Network, second: Network) -> Network:
    """The greatest section that allows only what both allow."""
    if second.share == "host" != first.share:
        return first
    if first.share == "host" != second.share:
        return second
    pairs = (_common_ingress(a, b) for a in _sorted(first.ingress) for b in _sorted(second.ingress))
    ingress = maximal((grant for grant in pairs if grant), ingress_covered)
    return Network(meet_egress(first.egress, second.egress), ingress, first.share, first.share_clause)


def join_egress(first: EgressGrants, second: EgressGrants) -> EgressGrants:
    """What either allows."""
    return _grouped((*_single(first), *_single(second)))


def meet_egress(first: EgressGrants, second: EgressGrants) -> EgressGrants:
    """What both allow, under the first's clauses."""
    pairs = (_common_egress(a, b) for a in _single(first) for b in _single(second))
    return _grouped(grant for grant in pairs if grant)


def _single(egress: Iterable[Egress]) -> list[Egress]:
    """One grant for each target and port, in a stable order."""
    singles = (Egress(e.kind, e.target, frozenset({port}), e.clause) for e in egress for port in e.ports)
    return sorted(singles, key=lambda e: (e.kind, e.target, _port_key(*e.ports), e.clause))


def _port_key(port: Port) -> tuple[int, str]:
    return port.number, port.protocol


def _grouped(singles: Iterable[Egress]) -> EgressGrants:
    """Grants of one port each, the covered ones dropped, those of one clause and target together."""
    groups: dict[tuple[object, ...], Egress] = {}
    for single in maximal(singles, _egress_covered):
        key = (single.kind, single.target, single.clause)
        ports = groups[key].ports if key in groups else frozenset()
        groups[key] = Egress(single.kind, single.target, ports | single.ports, single.clause)
    return frozenset(groups.values())


def target_covered(kind: str, target: str, bound: str) -> bool:
    """Whether one target of a kind is within another of the same kind."""
    if kind == "cidr":
        return _inside(_network(target), _network(bound))
    return target == bound or (bound.startswith("*.") and target.endswith(bound[1:]))


@lru_cache(maxsize=4096)
def _network(target: str) -> IPNetwork:
    """Read a network; every pair of grants is compared, so each is read many times."""
    return ipaddress.ip_network(target)


def _inside(network: IPNetwork, bound: IPNetwork) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(bound, ipaddress.IPv4Network) and network.subnet_of(bound)
    return isinstance(bound, ipaddress.IPv6Network) and network.subnet_of(bound)


def _egress_covered(single: Egress, bound: Egress) -> bool:
    same_kind = single.kind == bound.kind
    return same_kind and single.ports <= bound.ports and target_covered(single.kind, single.target, bound.target)


def _common_egress(first: Egress, second: Egress) -> Egress | None:
    if first.kind != second.kind or first.ports != second.ports:
        return None
    if target_covered(first.kind, first.target, second.target):
        return first
    if target_covered(first.kind, second.target, first.target):
        return Egress(first.kind, second.target, first.ports, first.clause)
    return None


def egress_beyond(bound: EgressGrants, other: EgressGrants) -> Egress | None:
    """A grant in `other` of one name or network and one port, none of which `bound` allows; None when it allows all."""
    for single in _single(other):
        targets = [e.target for e in bound if e.kind == single.kind and single.ports <= e.ports]
        if single.kind == "host":
            outside = _name_outside(single.target, targets)
        else:
            network = _network_outside(_network(single.target), [_network(t) for t in targets])
            outside = None if network is None else str(network)
        if outside is not None:
            return Egress(single.kind, outside, single.ports, single.clause)
    return None


def _name_outside(target: str, bounds: list[str]) -> str | None:
    """A name that the target matches and no bound does. Names below a suffix are endless: only a suffix covers a suffix."""
    if any(target_covered("host", target, bound) for bound in bounds):
        return None
    if not target.startswith("*."):
        return target
    names = (f"any{number or ''}{target[1:]}" for number in range(len(bounds) + 1))
    return next(name for name in names if name not in bounds)


def _network_outside(network: IPNetwork, bounds: list[IPNetwork]) -> IPNetwork | None:
    """The first part of a network that no bound holds; None when together they hold it all."""
    if any(_inside(network, bound) for bound in bounds):
        return None
    within = [bound for bound in bounds if _inside(bound, network)]
    if not within:
        return network
    halves = (_network_outside(half, within) for half in network.subnets())
    return next((outside for outside in halves if outside is not None), None)


def _sorted(ingress: Iterable[Ingress]) -> list[Ingress]:
    return sorted(ingress, key=lambda i: (*_port_key(i.port), i.publish, i.clause))


def ingress_covered(grant: Ingress, bound: Ingress) -> bool:
    """Whether listening, and the address that is published, are within another grant."""
    return grant.port == bound.port and publish_covered(grant.publish, bound.publish)


def publish_covered(publish: str, bound: str) -> bool:
    """Whether one published address is within another: not published at all, the same, or one address of all on that port."""
    if publish in ("", bound):
        return True
    address, _, port = publish.rpartition(":")
    bound_address, _, bound_port = bound.rpartition(":")
    return port == bound_port and bound_address == (ANY_IPV6 if address.startswith("[") else ANY_IPV4)


def _common_ingress(first: Ingress, second: Ingress) -> Ingress | None:
    if first.port != second.port:
        return None
    if publish_covered(first.publish, second.publish):
        return first
    return Ingress(first.port, second.publish if publish_covered(second.publish, first.publish) else "", first.clause)


def beyond(bound: Network, other: Network) -> Iterator[Counterexample]:
    """What `other` allows and `bound` does not, one example for each part of the section."""
    if bound.share == "host":
        return
    if other.share == "host":
        yield wider("network.share", other.share_clause, "the host's own network, all of it", share="host")
        return
    egress = egress_beyond(bound.egress, other.egress)
    if egress is not None:
        yield egress_example("network.egress", egress)
    for grant in _sorted(other.ingress):
        if not any(ingress_covered(grant, granted) for granted in bound.ingress):
            yield _ingress_example(grant)
            break


def egress_example(section: str, single: Egress) -> Counterexample:
    """A connection that a grant of one port allows: to its name, or to the first address of its network."""
    (port,) = single.ports
    host = single.target if single.kind == "host" else str(_network(single.target).network_address)
    what = f"{port.protocol.upper()} to {host} port {port.number}"
    return wider(section, single.clause, what, kind=single.kind, host=host, port=port.number, protocol=port.protocol)


def _ingress_example(grant: Ingress) -> Counterexample:
    what = f"listening on {grant.port.protocol.upper()} port {grant.port.number}"
    if grant.publish:
        what += f", published at {grant.publish}"
    port, protocol = grant.port.number, grant.port.protocol
    return wider("network.ingress", grant.clause, what, port=port, protocol=protocol, publish=grant.publish)
