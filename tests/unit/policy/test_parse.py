from __future__ import annotations

import json

import pytest

from enforcer.policy.parse import parse_profile
from enforcer.policy.profile import (
    ALWAYS,
    ArgumentCondition,
    Capability,
    Clause,
    Egress,
    ImageMatch,
    Ingress,
    Mount,
    PathGrant,
    Phase,
    Port,
    Profile,
    Resources,
    WrittenRun,
)

WHOLE = """\
profile: enforcer/v1
name: web
description: a web application with one upstream
extends: base/python
match:
  - image: registry.example/shop/web:1.*
  - digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
run:
  user: 10001:10001
  init: true
  cwd: /srv
environment:
  pass: [LANG, TZ]
  set: {PORT: "8080"}
syscalls:
  base: default
  allow:
    - io_uring_setup
    - names: [socket]
      args: [{index: 0, op: ==, value: AF_NETLINK}]
  deny: [ptrace]
  violation: errno EPERM
  architectures: [x86]
capabilities: [NET_BIND_SERVICE, CAP_KILL]
filesystem:
  root: ephemeral
  mounts:
    - {bind: ./data, at: /data, access: read}
    - {volume: cache, at: /cache, access: write, exec: true}
    - {tmpfs: true, at: /tmp, size: 64MiB}
    - {secret: token, from: env:API_TOKEN, at: /run/secrets/token, mode: "0440"}
  paths:
    read: [/etc/ssl]
    write: [/cache]
    execute: [/usr/bin/python3, /usr/lib]
  devices: [/dev/fuse]
network:
  egress:
    - {host: pypi.org, ports: [443]}
    - {cidr: 10.1.0.0/16, ports: [5432, 53/udp]}
  ingress:
    - {port: 8080, publish: 127.0.0.1:18080}
  share: none
user_namespace: auto
namespaces: {pid: private, ipc: private, uts: host, cgroup: private, time: private}
resources: {memory: 256MiB, pids: 64, cpus: 1.0, open_files: 1024, processes: 64, scratch: 512MiB, time: 10m}
phases:
  ready: {port: 8080}
  then:
    syscalls: {deny: [execve, execveat, socket]}
    network: {egress: []}
"""


def parse(text: str) -> Profile:
    return parse_profile(("profile: enforcer/v1\n" + text).encode(), "x.yaml")


@pytest.fixture(scope="module")
def whole() -> Profile:
    return parse_profile(WHOLE.encode(), "web.yaml")


def test_the_header(whole: Profile) -> None:
    assert (whole.name, whole.description) == ("web", "a web application with one upstream")
    assert whole.extends == (("base/python", Clause("extends", "web.yaml:4:1")),)
    assert [match.image or match.digest[:11] for match in whole.match] == ["registry.example/shop/web:1.*", "sha256:0123"]


def test_run_and_environment(whole: Profile) -> None:
    assert whole.run == WrittenRun("10001:10001", init=True, cwd="/srv")
    assert whole.environment is not None
    assert whole.environment.passed == {"LANG", "TZ"}
    assert dict(whole.environment.fixed) == {"PORT": "8080"}
    assert whole.environment.clauses["environment.pass.TZ"] == Clause("environment.pass[1]", "web.yaml:13:16")


def test_syscalls(whole: Profile) -> None:
    written = whole.syscalls
    assert written is not None
    assert (written.base, written.violation, written.architectures) == ("default", "errno EPERM", {"x86"})
    assert written.allow == (
        ("io_uring_setup", ALWAYS, Clause("syscalls.allow[0]", "web.yaml:18:7")),
        ("socket", (ArgumentCondition(0, "==", 16),), Clause("syscalls.allow[1]", "web.yaml:19:7")),
    )
    assert written.deny == (("ptrace", Clause("syscalls.deny[0]", "web.yaml:21:10")),)


def test_capabilities_lose_their_prefix(whole: Profile) -> None:
    assert whole.capabilities == {Capability("NET_BIND_SERVICE"), Capability("KILL")}


def test_filesystem(whole: Profile) -> None:
    written = whole.filesystem
    assert written is not None
    assert written.root == "ephemeral"
    assert written.mounts == {
        Mount("bind", "/data", "./data"),
        Mount("volume", "/cache", "cache", "write", execute=True),
        Mount("tmpfs", "/tmp", access="write", size=64 << 20),
        Mount("secret", "/run/secrets/token", "env:API_TOKEN", mode=0o440, name="token"),
    }
    assert written.paths is not None
    assert written.paths.execute == {PathGrant("/usr/bin/python3"), PathGrant("/usr/lib")}
    assert (written.paths.read, written.paths.write) == ({PathGrant("/etc/ssl")}, {PathGrant("/cache")})


def test_network(whole: Profile) -> None:
    assert whole.network is not None
    assert whole.network.egress == {
        Egress("host", "pypi.org", frozenset({Port(443)})),
        Egress("cidr", "10.1.0.0/16", frozenset({Port(5432), Port(53, "udp")})),
    }
    assert whole.network.ingress == {Ingress(Port(8080), "127.0.0.1:18080")}


def test_namespaces_resources_and_phases(whole: Profile) -> None:
    assert whole.namespaces is not None
    assert (whole.namespaces.user, whole.namespaces.uts, whole.namespaces.pid) == ("private", "host", "private")
    assert whole.resources == Resources(256 << 20, 64, 1000, 1024, 64, 512 << 20, 600_000)
    assert whole.resources.clauses["resources.memory"].place == "web.yaml:46:13"
    assert whole.phases == Phase(("port", "8080"), frozenset({"execve", "execveat", "socket"}), frozenset())


def test_a_clause_begins_at_its_key(whole: Profile) -> None:
    assert whole.sections["syscalls"] == Clause("syscalls", "web.yaml:15:1")
    assert whole.sections["filesystem.mounts"] == Clause("filesystem.mounts", "web.yaml:27:3")
    assert whole.phases is not None
    assert whole.phases.clause == Clause("phases", "web.yaml:47:1")


def test_everything_may_be_unsaid() -> None:
    profile = parse("")
    assert profile == Profile("x.yaml")
    assert profile.sections[""].place == "x.yaml:1:1"


def test_json_is_read_as_yaml() -> None:
    text = json.dumps({"profile": "enforcer/v1", "capabilities": ["KILL"], "run": {"user": "0:0"}}, indent=1)
    profile = parse_profile(text.encode(), "x.json")
    assert profile.capabilities == {Capability("KILL")}
    assert profile.run == WrittenRun("0:0")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("22:22", "22:22"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
    ],
)
def test_strings_of_yaml_1_2_that_1_1_read_otherwise(written: str, value: str) -> None:
    assert parse(f"description: {written}").description == value


@pytest.mark.parametrize(
    ("written", "user"),
    [
        ("0:0", "0:0"),
        ("0", "0:0"),
        ("1000", "1000:1000"),
        ("'1000:5'", "1000:5"),
        ("2147483647", "2147483647:2147483647"),
        ("image", "image"),
    ],
)
def test_users(written: str, user: str) -> None:
    assert parse(f"run: {{user: {written}}}").run == WrittenRun(user)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("4096", 4096),
        ("4096B", 4096),
        ("4KiB", 4096),
        ("1MiB", 1 << 20),
        ("3GiB", 3 << 30),
        ("1TiB", 1 << 40),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_sizes(written: str, size: int) -> None:
    assert parse(f"resources: {{memory: {written}}}").resources == Resources(memory=size)


@pytest.mark.parametrize(
    ("written", "time"), [("500ms", 500), ("5s", 5000), ("10m", 600_000), ("2h", 7_200_000), ("1d", 86_400_000)]
)
def test_durations(written: str, time: int) -> None:
    assert parse(f"resources: {{time: {written}}}").resources == Resources(time=time)


@pytest.mark.parametrize(
    ("written", "cpus"), [("0.01", 10), ("0.5", 500), ("1", 1000), ("1.250", 1250), ("1.2000", 1200), ("4096", 4_096_000)]
)
def test_cpus(written: str, cpus: int) -> None:
    assert parse(f"resources: {{cpus: {written}}}").resources == Resources(cpus=cpus)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("10", 10),
        ("0xff", 255),
        ("0o17", 15),
        ("AF_ALG", 38),
        ("CLONE_NEWUSER|CLONE_NEWNS", 0x10020000),
        ("TIOCSTI", 0x5412),
        ("'SOCK_RAW'", 3),
    ],
)
def test_argument_values(written: str, value: int) -> None:
    profile = parse(f"syscalls: {{allow: [{{names: [ioctl], args: [{{index: 1, op: '>=', value: {written}}}]}}]}}")
    assert profile.syscalls is not None
    assert profile.syscalls.allow[0][1] == (ArgumentCondition(1, ">=", value),)


def test_masked_conditions() -> None:
    profile = parse("syscalls: {allow: [{names: [clone], args: [{index: 0, op: '&==', mask: 0x7e020000, value: 0}]}]}")
    assert profile.syscalls is not None
    assert profile.syscalls.allow[0][1] == (ArgumentCondition(0, "&==", 0, 0x7E020000),)


@pytest.mark.parametrize(
    "image",
    [
        "host",
        "nginx",
        "nginx:1.27",
        "localhost:5000/a/b:1.*",
        "registry.example/a",
        "rootfs:/srv/root",
        "oci:/x:latest",
        "a:v?",
    ],
)
def test_images(image: str) -> None:
    assert parse(f"match: [{{image: '{image}'}}]").match == (ImageMatch(image=image),)


@pytest.mark.parametrize("base", ["none", "minimal", "default", "moby"])
def test_syscall_bases(base: str) -> None:
    written = parse(f"syscalls: {{base: {base}}}").syscalls
    assert written is not None
    assert written.base == base


def test_a_seccomp_file_as_base() -> None:
    written = parse("syscalls: {base: {file: seccomp.json}}").syscalls
    assert written is not None
    assert written.base == "file:./seccomp.json"
    assert written.base_clause == Clause("syscalls.base", "x.yaml:2:12")


@pytest.mark.parametrize("violation", ["kill", "complain", "errno ENOSYS", "errno EWOULDBLOCK"])
def test_violations(violation: str) -> None:
    written = parse(f"syscalls: {{violation: {violation}}}").syscalls
    assert written is not None
    assert written.violation == violation


def test_empty_lists_are_said() -> None:
    profile = parse("capabilities: []\nfilesystem: {paths: {}}\nnetwork: {egress: []}")
    assert profile.capabilities == frozenset()
    assert profile.filesystem is not None
    assert profile.filesystem.paths is not None
    assert profile.network is not None
