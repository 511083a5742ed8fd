"""The sections whose grants contain one another: system calls, mounts, paths, egress, ingress, phases."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from enforcer.policy.compare import covers, join, meet
from enforcer.policy.profile import (
    ALWAYS,
    ArgumentCondition,
    Clause,
    Device,
    Egress,
    Ingress,
    Match,
    Mount,
    PathGrant,
    Paths,
    Phase,
    Policy,
    Port,
    SyscallGrant,
)
from tests.unit.policy.test_compare import EMPTY, EVERYWHERE, LINE, with_part

AF_INET, AF_NETLINK = 2, 16
DATA = Mount("bind", "/data", "/srv/data", "write", execute=True)


def calling(**allowed: frozenset[Match]) -> Policy:
    grants = {name: SyscallGrant(matches, LINE) for name, matches in allowed.items()}
    return with_part("syscalls", allowed=MappingProxyType(grants))


def family(number: int) -> Match:
    return (ArgumentCondition(0, "==", number),)


def mounting(*mounts: Mount) -> Policy:
    return with_part("filesystem", mounts=frozenset(mounts))


def reading(*paths: str) -> Policy:
    return with_part("filesystem", paths=Paths(frozenset(map(PathGrant, paths)), EVERYWHERE, EVERYWHERE))


def sending(*targets: str, ports: tuple[Port, ...] = (Port(443),)) -> Policy:
    grants = (Egress("cidr" if "/" in target else "host", target, frozenset(ports), LINE) for target in targets)
    return with_part("network", egress=frozenset(grants))


def listening(publish: str = "", number: int = 8080) -> Policy:
    return with_part("network", ingress=frozenset({Ingress(Port(number), publish, LINE)}))


def within(a: Policy, b: Policy) -> bool:
    return not covers(b, a)


def test_a_call_with_concrete_arguments_shows_the_wider_filter() -> None:
    inet, both = calling(socket=frozenset({family(AF_INET)})), calling(socket=frozenset({family(AF_INET), family(AF_NETLINK)}))
    (found,) = covers(inet, both)
    assert found.what == "the system call socket(AF_NETLINK, …)"
    assert found.example == {"name": "socket", "args": (16, 0, 0, 0, 0, 0)}
    assert found.clause is LINE
    assert within(inet, both)


def test_arguments_are_shown_up_to_the_last_that_matters() -> None:
    flags = (ArgumentCondition(2, "&==", 1 << 31, 1 << 31),)
    (found,) = covers(EMPTY, calling(openat=frozenset({flags})))
    assert found.what == "the system call openat(0, 0, 0x80000000, …)"
    (found,) = covers(EMPTY, calling(socketpair=frozenset({family(999)})))
    assert found.what == "the system call socketpair(999, …)"


def test_conditional_rules_together_cover_an_unconditional_one() -> None:
    below = (ArgumentCondition(0, "<", AF_NETLINK),)
    above = (ArgumentCondition(0, ">", AF_NETLINK),)
    always = calling(socket=frozenset({ALWAYS}))
    assert within(always, calling(socket=frozenset({below, above, family(AF_NETLINK)})))
    (found,) = covers(calling(socket=frozenset({below, above})), always)
    assert found.example["args"] == (16, 0, 0, 0, 0, 0)


def test_a_call_that_no_arguments_satisfy_is_not_granted() -> None:
    never = calling(socket=frozenset({(*family(AF_INET), *family(AF_NETLINK))}), read=frozenset())
    assert within(never, EMPTY)
    assert dict(join(never, EMPTY).syscalls.allowed) == {}
    assert dict(meet(calling(socket=frozenset({family(1)})), calling(socket=frozenset({family(2)}))).syscalls.allowed) == {}


def test_complain_is_everything() -> None:
    complain = with_part("syscalls", violation="complain")
    reads = calling(read=frozenset({ALWAYS}))
    assert within(reads, complain)
    assert meet(complain, reads).syscalls == reads.syscalls
    assert join(complain, reads).syscalls.violation == "complain"
    assert not within(complain, reads)


def test_the_line_of_a_grant_is_the_one_that_adds_to_it() -> None:
    there = Clause("syscalls.allow[1]", "l.yaml:1:1")
    some = calling(socket=frozenset({family(AF_INET)}))
    always = with_part("syscalls", allowed=MappingProxyType({"socket": SyscallGrant(frozenset({ALWAYS}), there)}))
    assert join(some, always).syscalls.allowed["socket"].clause is there
    assert join(always, some).syscalls.allowed["socket"].clause is there
    assert meet(some, always).syscalls.allowed["socket"].clause is LINE


def test_the_line_of_a_violation_is_the_one_that_says_it() -> None:
    unsaid, errno = with_part("syscalls", clause=LINE), with_part("syscalls", violation="errno ENOSYS")
    assert meet(unsaid, replace(EMPTY)).syscalls.clause is join(unsaid, EMPTY).syscalls.clause is LINE
    assert meet(EMPTY, unsaid).syscalls.clause is EMPTY.syscalls.clause
    assert (meet(unsaid, errno).syscalls.violation, join(unsaid, errno).syscalls.violation) == ("errno ENOSYS", "errno ENOSYS")
    assert meet(unsaid, errno).syscalls.clause is errno.syscalls.clause


def test_kill_wins_where_both_bound_and_neither_is_wider() -> None:
    kill, errno = with_part("syscalls", violation="kill"), with_part("syscalls", violation="errno ENOSYS")
    assert meet(errno, kill).syscalls.violation == meet(kill, errno).syscalls.violation == "kill"
    assert join(errno, kill).syscalls.violation == "errno ENOSYS"
    assert within(kill, errno)
    assert within(errno, kill)


@pytest.mark.parametrize(
    "less",
    [
        replace(DATA, access="read"),
        replace(DATA, execute=False),
        replace(DATA, source="/srv/data/in"),
        replace(DATA, source="/srv/data/in", at="/data/in"),
        replace(DATA, mode=0),
    ],
)
def test_a_mount_of_less_is_covered(less: Mount) -> None:
    assert within(mounting(less), mounting(DATA))
    assert not within(mounting(DATA), mounting(less))
    assert meet(mounting(DATA), mounting(less)).filesystem.mounts == {less}
    assert join(mounting(DATA), mounting(less)).filesystem.mounts == {DATA}


@pytest.mark.parametrize(
    "other",
    [
        replace(DATA, source="/srv/database"),
        replace(DATA, at="/database"),
        replace(DATA, source="/srv"),
        Mount("volume", "/data", "data", "write"),
    ],
)
def test_a_mount_of_something_else_is_not_covered(other: Mount) -> None:
    (found,) = covers(mounting(DATA), mounting(other))
    assert (found.section, found.example["source"], found.example["at"]) == ("filesystem.mounts", other.source, other.at)
    assert within(mounting(other), join(mounting(DATA), mounting(other)))


def test_two_sources_at_one_target_are_two_grants() -> None:
    one, two = mounting(DATA), mounting(replace(DATA, source="/opt/data"))
    assert len(join(one, two).filesystem.mounts) == 2
    assert meet(one, two).filesystem.mounts == frozenset()


def test_a_meet_of_mounts_keeps_what_both_allow() -> None:
    readable, runnable = replace(DATA, execute=False), replace(DATA, access="read", source="/srv/data/in")
    assert meet(mounting(readable), mounting(runnable)).filesystem.mounts == {replace(runnable, execute=False)}
    small, large = Mount("tmpfs", "/tmp", access="write", size=4096), Mount("tmpfs", "/tmp", access="write", size=8192)
    assert meet(mounting(small), mounting(large)).filesystem.mounts == {small}
    assert join(mounting(small), mounting(large)).filesystem.mounts == {large}


@pytest.mark.parametrize(
    ("mount", "what"),
    [
        (DATA, "the bind /srv/data at /data (write, execute)"),
        (Mount("volume", "/c", "cache"), "the volume cache at /c (read)"),
        (Mount("tmpfs", "/tmp", access="write", size=4096), "the tmpfs of 4096 bytes at /tmp (write)"),
        (Mount("secret", "/s", "env:T"), "the secret env:T at /s (read, mode 0400)"),
    ],
)
def test_a_mount_is_told_in_words(mount: Mount, what: str) -> None:
    (found,) = covers(EMPTY, mounting(mount))
    assert found.what == what


def test_devices_are_sets() -> None:
    fuse, kvm = (with_part("filesystem", devices=frozenset({Device(path)})) for path in ("/dev/fuse", "/dev/kvm"))
    assert join(fuse, kvm).filesystem.devices == {Device("/dev/fuse"), Device("/dev/kvm")}
    assert meet(join(fuse, kvm), kvm).filesystem.devices == {Device("/dev/kvm")}


def test_a_secret_that_more_may_read_is_wider() -> None:
    secret = Mount("secret", "/run/secrets/t", "env:T", name="t")
    (found,) = covers(mounting(secret), mounting(replace(secret, mode=0o440)))
    assert "mode 0440" in found.what
    assert covers(mounting(secret), mounting(replace(secret, source="env:OTHER")))


def test_paths_are_compared_by_components() -> None:
    assert within(reading("/data/a"), reading("/data"))
    (found,) = covers(reading("/data"), reading("/data", "/database"))
    assert (found.section, found.what) == ("filesystem.paths.read", "read access to /database inside the container")
    assert within(reading("/data"), reading("/"))
    assert meet(reading("/data", "/etc"), reading("/data/a", "/usr")).filesystem.paths.read == {PathGrant("/data/a")}
    assert join(reading("/data"), reading("/data/a")).filesystem.paths.read == {PathGrant("/data")}


def test_writing_is_not_reading() -> None:
    nothing: frozenset[PathGrant] = frozenset()
    write = with_part("filesystem", paths=Paths(nothing, EVERYWHERE, nothing))
    read = with_part("filesystem", paths=Paths(EVERYWHERE, nothing, nothing))
    assert [found.section for found in covers(write, read)] == ["filesystem.paths.read"]
    assert [found.section for found in covers(read, write)] == ["filesystem.paths.write"]


def test_a_suffix_covers_names_below_it_and_not_itself() -> None:
    assert within(sending("pypi.org", "a.b.pypi.org"), sending("pypi.org", "*.pypi.org"))
    assert within(sending("*.b.org"), sending("*.org"))
    for name in ("pypi.org", "notpypi.org"):
        (found,) = covers(sending("*.pypi.org"), sending(name))
        assert found.example == {"kind": "host", "host": name, "port": 443, "protocol": "tcp"}
    (found,) = covers(sending("any.org"), sending("*.org"))
    assert found.what == "TCP to any1.org port 443"


def test_networks_cover_what_is_in_them_also_together() -> None:
    assert within(sending("10.1.0.0/16"), sending("10.0.0.0/8"))
    assert within(sending("10.0.0.0/8"), sending("10.0.0.0/9", "10.128.0.0/9"))
    (found,) = covers(sending("10.0.0.0/9", "10.128.0.0/10"), sending("10.0.0.0/8"))
    assert found.example["host"] == "10.192.0.0"
    assert not within(sending("::/0"), sending("0.0.0.0/0"))
    assert not within(sending("pypi.org"), sending("0.0.0.0/0", "::/0"))


def test_ports_are_of_one_protocol() -> None:
    (found,) = covers(sending("b.org", ports=(Port(53),)), sending("b.org", ports=(Port(53), Port(53, "udp"))))
    assert found.what == "UDP to b.org port 53"
    names = join(sending("b.org", ports=(Port(1), Port(2))), sending("*.org", ports=(Port(2),)))
    assert names.network.egress == {
        Egress("host", "b.org", frozenset({Port(1)})),
        Egress("host", "*.org", frozenset({Port(2)})),
    }
    both = meet(sending("b.org", ports=(Port(1), Port(2))), sending("*.org", ports=(Port(2), Port(3))))
    assert both.network.egress == {Egress("host", "b.org", frozenset({Port(2)}))}


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [("", "127.0.0.1:80"), ("127.0.0.1:80", "0.0.0.0:80"), ("[::1]:80", "[::]:80"), ("", "")],
)
def test_publishing_at_all_addresses_covers_one(narrow: str, wide: str) -> None:
    assert within(listening(narrow), listening(wide))
    assert meet(listening(wide), listening(narrow)).network.ingress == listening(narrow).network.ingress


@pytest.mark.parametrize(
    ("other", "bound"),
    [
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("127.0.0.1:81", "0.0.0.0:80"),
        ("[::1]:80", "0.0.0.0:80"),
        ("127.0.0.1:80", "[::]:80"),
        ("10.0.0.1:80", "127.0.0.1:80"),
        ("127.0.0.1:80", ""),
    ],
)
def test_publishing_elsewhere_is_not_covered(other: str, bound: str) -> None:
    (found,) = covers(listening(bound), listening(other))
    assert found.what == f"listening on TCP port 8080, published at {other}"


def test_two_addresses_meet_in_a_port_that_is_not_published() -> None:
    assert meet(listening("127.0.0.1:80"), listening("10.0.0.1:80")).network.ingress == {Ingress(Port(8080))}
    assert not meet(listening(number=1), listening(number=2)).network.ingress


def test_sharing_the_hosts_network_is_everything() -> None:
    host = with_part("network", share="host")
    assert within(sending("b.org"), host)
    assert meet(host, sending("b.org")).network == meet(sending("b.org"), host).network == sending("b.org").network


READY: tuple[str, str] = ("port", "8080")


def phased(policy: Policy, *denied: str, ready: tuple[str, str] = READY, egress: frozenset[Egress] | None = None) -> Policy:
    return replace(policy, phases=Phase(ready, frozenset(denied), egress, Clause("phases", "web.yaml:9:1")))  # type: ignore[arg-type]


RUNS = calling(read=frozenset({ALWAYS}), execve=frozenset({ALWAYS}))
READS = calling(read=frozenset({ALWAYS}))


def test_rights_that_never_end_are_wider() -> None:
    ending = phased(RUNS, "execve")
    (found,) = covers(ending, RUNS)
    assert (found.section, found.example["name"]) == ("phases", "execve")
    assert found.what == "the system call execve with any arguments, not ended by port 8080"
    assert within(ending, RUNS)
    assert within(READS, ending)
    assert within(ending, phased(RUNS, "nothing-it-has"))


def test_egress_that_never_ends_is_wider() -> None:
    ending = phased(sending("b.org", "c.org"), egress=sending("b.org").network.egress)
    (found,) = covers(ending, phased(sending("b.org", "c.org"), egress=sending("c.org").network.egress))
    assert found.what == "TCP to c.org port 443, after port 8080"
    # A phase only ends rights.
    assert within(phased(sending("b.org"), egress=sending("z.org").network.egress), sending("b.org"))


def test_a_phase_of_egress_is_kept_by_union_and_intersection() -> None:
    both, one = sending("b.org", "c.org"), sending("b.org")
    ending = phased(both, egress=one.network.egress)
    for kept in (meet(both, ending), meet(ending, both), join(one, ending), join(ending, one)):
        assert kept.phases is not None
        assert kept.phases.egress == one.network.egress
        assert within(kept, ending)
        assert within(ending, kept)
    assert join(both, ending).phases is None


def test_a_phase_survives_a_union_with_what_it_does_not_end() -> None:
    joined = join(READS, phased(RUNS, "execve", "read"))
    assert joined.phases is not None
    assert joined.phases.deny_syscalls == {"execve"}
    assert joined.phases.clause.place == "web.yaml:9:1"
    assert join(RUNS, phased(RUNS, "execve")).phases is None


def test_a_ceilings_phase_ends_a_policys_rights() -> None:
    met = meet(RUNS, phased(RUNS, "execve"))
    assert met.phases is not None
    assert met.phases.deny_syscalls == {"execve"}


def test_a_later_event_is_wider() -> None:
    soon, late = phased(RUNS, "execve", ready=("after", "5000")), phased(RUNS, "execve", ready=("after", "9000"))
    assert within(soon, late)
    assert not within(late, soon)
    for joined, met in ((join(soon, late), meet(soon, late)), (join(late, soon), meet(late, soon))):
        assert joined.phases is not None
        assert met.phases is not None
        assert (joined.phases.ready, met.phases.ready) == (("after", "9000"), ("after", "5000"))


def test_different_events_keep_rights_in_the_union_and_end_them_at_once_in_the_intersection() -> None:
    port, file = phased(RUNS, "execve"), phased(RUNS, "execve", ready=("file", "/run/ready"))
    assert not within(port, file)
    assert join(port, file).phases is None
    assert meet(port, file).phases is None
    assert set(meet(port, file).syscalls.allowed) == {"read"}
