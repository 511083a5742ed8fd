from __future__ import annotations

import pytest

from enforcer.errors import ProfileError
from enforcer.policy.command_line import from_command_line
from enforcer.policy.profile import Egress, Mount, Port


@pytest.mark.parametrize(
    ("argument", "kind", "target", "port"),
    [
        ("pypi.org:443", "host", "pypi.org", Port(443)),
        ("*.pypi.org:443", "host", "*.pypi.org", Port(443)),
        ("resolver.example:53/udp", "host", "resolver.example", Port(53, "udp")),
        ("10.0.0.0/8:443", "cidr", "10.0.0.0/8", Port(443)),
        ("10.0.0.1:443", "cidr", "10.0.0.1/32", Port(443)),
        ("[2001:db8::/32]:443", "cidr", "2001:db8::/32", Port(443)),
        ("[::1]:80", "cidr", "::1/128", Port(80)),
    ],
)
def test_allow_net(argument: str, kind: str, target: str, port: Port) -> None:
    profile = from_command_line([argument])
    assert profile.network is not None
    assert profile.network.egress == {Egress(kind, target, frozenset({port}))}  # type: ignore[arg-type]
    assert {egress.clause.place for egress in profile.network.egress} == {"command line"}


@pytest.mark.parametrize(
    ("argument", "what", "column"),
    [
        ("pypi.org", "names no port", 13),
        (":443", "names no port", 13),
        ("pypi.org:0", "'0' is not a port", 22),
        ("PyPI.org:443", "not in lower case", 13),
        ("10.1.2.3/8:443", "is not a network", 13),
        ("[::1/64]:443", "is not a network", 14),
        ("*:443", "is not a host name", 13),
        ("", "names no port", 13),
        ("a.b:443\x1b[0m", "is not a port", 17),
    ],
)
def test_allow_net_refuses(argument: str, what: str, column: int) -> None:
    with pytest.raises(ProfileError) as caught:
        from_command_line([argument])
    assert what in caught.value.what
    assert caught.value.where == "command line"
    assert caught.value.excerpt.split("\n")[-1] == " " * (column - 1) + "^"
    assert "\x1b" not in caught.value.render()


def test_allow_read_and_write() -> None:
    profile = from_command_line([], ["/etc/ssl", "data/"], ["/srv", "/etc/ssl"], directory="/home/me")
    assert profile.filesystem is not None
    assert profile.filesystem.mounts == {
        Mount("bind", "/etc/ssl", "/etc/ssl", "write"),
        Mount("bind", "/home/me/data", "/home/me/data", "read"),
        Mount("bind", "/srv", "/srv", "write"),
    }


@pytest.mark.parametrize("path", ["", "data", "/a/../b", "/", "/proc/1", "/sys", "/a\nb"])
def test_allow_read_refuses(path: str) -> None:
    with pytest.raises(ProfileError) as caught:
        from_command_line([], [path])
    assert caught.value.where == "command line"


def test_nothing_given_is_nothing_said() -> None:
    profile = from_command_line([], [], [])
    assert (profile.filesystem, profile.network) == (None, None)
    assert profile.name == "command-line"
