"""Strategies for policies over small alphabets, so that grants meet, contain each other and fall apart."""

from __future__ import annotations

from types import MappingProxyType

from hypothesis import strategies as st

from enforcer.policy.profile import (
    MAX_U64,
    ArgumentCondition,
    Capability,
    Clause,
    Device,
    Egress,
    Environment,
    Filesystem,
    Ingress,
    Match,
    Mount,
    Namespaces,
    Network,
    PathGrant,
    Paths,
    Phase,
    Policy,
    Port,
    Resources,
    Run,
    SyscallGrant,
    Syscalls,
)

HIGH = 1 << 63
VALUES = (0, 1, 2, 3, 4, 5, 7, 8, 1 << 32, HIGH, HIGH | 1, MAX_U64 - 1, MAX_U64)
MASKS = (0, 1, 2, 3, 5, 6, 7, HIGH, HIGH | 1, MAX_U64 - 1, MAX_U64 >> 1, MAX_U64)
NAMES = ("read", "socket", "execve")
PATHS = ("/", "/data", "/data/a", "/data/a/b", "/database", "/tmp")
PORTS = (Port(53, "udp"), Port(53), Port(443))
READY = ("port", "8080")
OTHER_READY = (("port", "9090"), ("after", "5000"), ("after", "9000"), ("file", "/run/ready"))

clauses = st.builds(Clause, st.sampled_from(("a", "b")), st.sampled_from(("x.yaml:1:1", "y.yaml:2:2")))
matches: st.SearchStrategy[Match] = st.lists(
    st.builds(
        ArgumentCondition,
        st.sampled_from((0, 0, 0, 1, 5)),
        st.sampled_from(("==", "!=", "<", "<=", ">", ">=", "&==", "&==")),
        st.sampled_from(VALUES),
        st.sampled_from(MASKS),
    ),
    max_size=3,
).map(tuple)
unions = st.frozensets(matches, max_size=3)

syscalls = st.builds(
    Syscalls,
    st.dictionaries(st.sampled_from(NAMES), st.builds(SyscallGrant, unions, clauses)).map(MappingProxyType),
    st.frozensets(st.sampled_from(("x86", "x32")), max_size=2),
    st.sampled_from(("errno EPERM", "errno EPERM", "errno ENOSYS", "kill", "complain")),
    clauses,
)


def _mounts() -> st.SearchStrategy[Mount]:
    access, execute, at = st.sampled_from(("read", "write")), st.booleans(), st.sampled_from(PATHS)
    return st.one_of(
        st.builds(Mount, st.just("bind"), at, st.sampled_from(PATHS), access, execute, clause=clauses),
        st.builds(Mount, st.just("volume"), at, st.sampled_from(("cache", "state")), access, execute, clause=clauses),
        st.builds(
            Mount, st.just("tmpfs"), at, st.just(""), st.just("write"), execute, st.sampled_from((4096, 8192)), clause=clauses
        ),
        st.builds(
            Mount,
            st.just("secret"),
            at,
            st.sampled_from(("env:T", "file:/s")),
            mode=st.sampled_from((0o400, 0o440, 0o404)),
            name=st.sampled_from(("t", "u")),
            clause=clauses,
        ),
    )


_path_grants = st.frozensets(st.builds(PathGrant, st.sampled_from(PATHS), clauses), max_size=3)
filesystems = st.builds(
    Filesystem,
    st.sampled_from(("read-only", "ephemeral")),
    st.frozensets(_mounts(), max_size=4),
    st.builds(Paths, _path_grants, _path_grants, _path_grants),
    st.frozensets(st.builds(Device, st.sampled_from(("/dev/fuse", "/dev/kvm")), clauses)),
    clauses,
)

_ports = st.frozensets(st.sampled_from(PORTS), min_size=1)
_hosts = st.sampled_from(("b.org", "a.b.org", "c.a.b.org", "*.b.org", "*.a.b.org", "*.org", "ab.org"))
_networks = st.sampled_from(
    ("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "0.0.0.0/0", "fd00::/8", "fd00::1/128", "::/0")
)
egresses = st.frozensets(
    st.one_of(
        st.builds(Egress, st.just("host"), _hosts, _ports, clauses),
        st.builds(Egress, st.just("cidr"), _networks, _ports, clauses),
    ),
    max_size=4,
)
_publish = st.sampled_from(("", "127.0.0.1:80", "0.0.0.0:80", "0.0.0.0:81", "10.0.0.1:80", "[::]:80", "[::1]:80"))
networks = st.builds(
    Network,
    egresses,
    st.frozensets(st.builds(Ingress, st.sampled_from(PORTS), _publish, clauses), max_size=3),
    st.sampled_from(("none", "none", "none", "host")),
    clauses,
)

_shared = st.sampled_from(("private", "host"))
_amounts = st.sampled_from((None, 1, 2, 3))


def phases(ready: st.SearchStrategy[tuple[str, str]]) -> st.SearchStrategy[Phase | None]:
    return st.none() | st.builds(Phase, ready, st.frozensets(st.sampled_from(NAMES)), st.none() | egresses, clauses)


def policies(ready: st.SearchStrategy[tuple[str, str]] = st.just(READY)) -> st.SearchStrategy[Policy]:  # noqa: B008  immutable
    return st.builds(
        Policy,
        st.sampled_from(("web", "job")),
        st.builds(
            Run, st.sampled_from(("65532:65532", "image", "1:1")), st.booleans(), st.booleans(), st.sampled_from((None, "/a"))
        ),
        st.builds(
            Environment,
            st.frozensets(st.sampled_from(("LANG", "TZ"))),
            st.dictionaries(st.sampled_from(("A", "B")), st.sampled_from("12")).map(MappingProxyType),
        ),
        syscalls,
        st.frozensets(st.builds(Capability, st.sampled_from(("CHOWN", "NET_RAW", "KILL")), clauses)),
        filesystems,
        networks,
        st.builds(Namespaces, _shared, _shared, _shared, _shared, _shared, _shared),
        st.builds(Resources, _amounts, _amounts, _amounts, _amounts, _amounts, _amounts, _amounts),
        phases(ready),
    )
