from __future__ import annotations

from dataclasses import replace

import pytest

from enforcer.plan import network
from enforcer.plan.step import Ref
from tests.plans import HOST, NAMESPACES, SINGLE, plan, policy, verdicts


def test_loopback_is_the_only_interface_and_comes_up() -> None:
    found = network.steps("launcher", frozenset())
    assert [step.call for step in found] == ["unshare", "socket", "ioctl", "close"]
    assert found[0].args == (0x40000000,)
    request = found[2].args[2]
    assert isinstance(request, bytes)
    assert request[:16] == b"lo".ljust(16, b"\0")
    assert int.from_bytes(request[16:18], "little") == 0x41  # IFF_UP | IFF_RUNNING
    assert len(request) == 40  # struct ifreq


def test_init_is_born_into_its_network_where_the_launcher_cannot_make_it() -> None:
    assert "unshare" not in [step.call for step in network.steps("init", frozenset())]


@pytest.mark.parametrize(
    ("names", "rootful", "owner"),
    [
        (set(), True, "launcher"),
        (set(), False, "init"),
        ({"NET_ADMIN"}, True, "init"),
        ({"NET_RAW"}, True, "init"),
        ({"NET_BIND_SERVICE"}, True, "launcher"),
    ],
)
def test_the_payload_owns_its_network_only_when_a_capability_asks_for_it(names: set[str], rootful: bool, owner: str) -> None:  # noqa: FBT001
    assert network.owner(policy("").network, frozenset(names), rootful=rootful) == owner


def test_low_ports_are_opened_where_the_capability_does_not_count() -> None:
    found = network.steps("launcher", frozenset({"NET_BIND_SERVICE"}))
    assert found[-3].args[1] == b"/proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert found[-2].args == (Ref("ports"), b"0", 1)
    assert found[-2].clause == "capabilities"
    assert len(network.steps("init", frozenset({"NET_BIND_SERVICE"}))) == 3


def test_the_hosts_network_has_no_steps() -> None:
    found = plan("network: {share: host}")
    assert "network.share" not in {step.clause for step in found.steps}
    assert network.owner(policy("network: {share: host}").network, frozenset(), rootful=True) is None


def test_what_cannot_be_granted_yet_is_impossible_with_its_place() -> None:
    text = "network:\n  egress: [{host: pypi.org, ports: [443]}]\n  ingress: [{port: 80}, {port: 81, publish: '127.0.0.1:81'}]"
    found = verdicts(text)
    egress = found["network.egress[0]"]
    assert (egress.verdict, egress.place) == ("impossible", "test.yaml:4:12")
    assert found["network.ingress[0]"].verdict == "enforced"
    assert found["network.ingress[1]"].verdict == "impossible"
    assert found["network.share"].verdict == "enforced"


def test_no_network_namespace_is_impossible_unless_the_hosts_is_written() -> None:
    host = replace(HOST, namespaces=NAMESPACES - {"net"})
    assert verdicts("", host)["network.share"].verdict == "impossible"
    assert verdicts("network: {share: host}", host)["network.share"].verdict == "enforced"


def test_an_ordinary_users_network_is_made_with_the_process() -> None:
    calls = [step.call for step in plan("", SINGLE).steps if step.clause == "network.share"]
    assert calls == ["socket", "ioctl", "close"]
