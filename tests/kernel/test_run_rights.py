"""Rights of the payload: capabilities, securebits, no_new_privs, ids, Landlock, and the filter of system calls."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.kernel.running import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kernel.running import Site

SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
ROOT = "run: {user: '0:0'}\n"
LOW_PORT = "^0200" + "0050" + "7f000001" + "0" * 16  # struct sockaddr_in: 127.0.0.1:80
NUMBERS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "NET_BIND_SERVICE": 10}


def sets(seen: dict[str, str]) -> list[int]:
    return [int(seen[f"status.{name}"], 16) for name in SETS]


@pytest.mark.parametrize("user", ["", ROOT, "run: {user: '1000:33'}\n", "run: {init: true}\n"])
def test_no_capability_in_any_set(site: Site, user: str) -> None:
    """Also for uid 0, which execve would give all of the bounding set (CVE-2022-24769 was about the inheritable set)."""
    seen = site.look(OPEN + user)
    assert sets(seen) == [0] * 5
    assert seen["securebits"] == "239"  # NOROOT, NO_SETUID_FIXUP, KEEP_CAPS locked off, NO_CAP_AMBIENT_RAISE, all locked
    assert seen["status.NoNewPrivs"] == "1"


@pytest.mark.parametrize("user", ["", ROOT])
@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_a_granted_capability_is_in_all_five_sets_and_no_other_is(site: Site, name: str, user: str) -> None:
    assert sets(site.look(f"{OPEN}capabilities: [{name}]\n{user}")) == [1 << NUMBERS[name]] * 5


def test_securebits_and_sets_cannot_be_changed(site: Site) -> None:
    pr_set_securebits, pr_cap_ambient, pr_set_keepcaps = 28, 47, 8
    calls = [("prctl", pr_set_securebits, 0), ("prctl", pr_cap_ambient, 2, 0, 0, 0), ("prctl", pr_set_keepcaps, 1)]
    assert site.calls(OPEN + ROOT + "capabilities: [CHOWN]\n", *calls) == ["-EPERM"] * 3


def test_net_bind_service_opens_low_ports(site: Site) -> None:
    calls = [("socket", 2, 1, 0), ("bind", "$0", LOW_PORT, 16)]
    assert site.calls(OPEN, *calls)[1] == "-EACCES"
    assert site.calls(OPEN + "capabilities: [NET_BIND_SERVICE]\n", *calls)[1] == "0"


def test_chown_changes_owners(site: Site) -> None:
    profile = OPEN + "filesystem: {mounts: [{tmpfs: true, at: /tmp, size: 1MiB}]}\n"
    calls = [("mkdir", "@/tmp/x", 0o755), ("chown", "@/tmp/x", 5, 6)]
    assert site.calls(profile, *calls) == ["0", "-EPERM"]
    assert site.calls(profile + "capabilities: [CHOWN]\n", *calls) == ["0", "0"]


def test_dac_override_opens_what_modes_close(site: Site) -> None:
    closed = site.image / "etc" / "closed"
    closed.write_text("x")
    closed.chmod(0)
    try:
        for user in ("", ROOT):
            assert site.look(OPEN + user, "r:/etc/closed")["r:/etc/closed"] == "-EACCES"
            granted = site.look(f"{OPEN}{user}capabilities: [DAC_OVERRIDE]\n", "r:/etc/closed", "c:/etc")
            assert (granted["r:/etc/closed"], granted["c:/etc"]) == ("1", "-EROFS")
    finally:
        closed.unlink()


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6755])
def test_a_set_user_id_program_gives_nothing(site: Site, tmp_path: Path, mode: int) -> None:
    places = [site.image / "suid", tmp_path / "suid"]
    tmp_path.chmod(0o755)
    for place in places:
        place.mkdir(exist_ok=True)
        shutil.copy("/bin/busybox", place / "id")
        (place / "id").chmod(mode)
    profile = f"{OPEN}run: {{user: '1000:1000'}}\nfilesystem: {{mounts: [{{bind: {tmp_path}, at: /bound, exec: true}}]}}\n"
    for program in ("/suid/id", "/bound/suid/id"):
        assert site.output(profile, program) == "uid=1000(user) gid=1000(user)\n"
    shutil.rmtree(places[0])


def test_ids_cannot_be_changed(site: Site) -> None:
    calls = [("setuid", 0), ("setresuid", 5, 5, 5), ("setgid", 0), ("setgroups", 0, 0)]
    assert site.calls(OPEN, *calls) == ["-EPERM"] * 4
    assert site.calls(OPEN + ROOT, ("setuid", 5), ("setgroups", 0, 0)) == ["-EPERM"] * 2


@pytest.mark.parametrize("call", [("unshare", 0x10000000), ("chroot", "@/"), ("unshare", 0x20000), ("setns", 0, 0)])
def test_no_namespace_or_root_can_be_changed_even_where_the_filter_lets_it(site: Site, call: tuple[object, ...]) -> None:
    """A new user namespace is the exception that the kernel makes for everybody; the default filter refuses that one."""
    assert site.calls("syscalls: {base: default}\n", call) == ["-EPERM"]
    expected = "0" if call == ("unshare", 0x10000000) else "-EINVAL" if call[0] == "setns" else "-EPERM"
    assert site.calls(OPEN + ROOT, call) == [expected]


@pytest.fixture(name="siblings")
def sibling_prefixes(site: Site) -> Iterator[None]:
    """/data beside /database, each with a file, a program, and writable."""
    for name in ("data", "database"):
        place = site.image / name
        place.mkdir()
        (place / "file").write_text("x")
        shutil.copy("/bin/busybox", place / "true")
        os.chown(place, 65532, 65532)
        os.chown(place / "file", 65532, 65532)
    yield
    for name in ("data", "database"):
        shutil.rmtree(site.image / name)


@pytest.mark.usefixtures("siblings")
@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ("read: [/data, /bin], write: [], execute: [/bin]", ["1", "-EACCES", "-EACCES", "-EACCES"]),
        ("read: [/bin], write: [/data], execute: [/bin]", ["-EACCES", "0", "0", "-EACCES"]),
        ("read: [/data, /bin], write: [], execute: [/data, /bin]", ["1", "-EACCES", "-EACCES", "0"]),
        ("read: [/data/file, /bin], write: [/data/file], execute: [/bin]", ["1", "-EACCES", "0", "-EACCES"]),
    ],
)
def test_paths_are_held_by_landlock_and_not_by_prefixes_of_names(site: Site, paths: str, expected: list[str]) -> None:
    """CVE-2026-48785: /data must not grant /database."""
    tries = [f"{kind}:/data{rest}" for kind, rest in (("r", "/file"), ("c", ""), ("w", "/file"), ("x", "/true"))]
    profile = f"{OPEN}filesystem: {{root: ephemeral, paths: {{{paths}}}}}\n"
    seen = site.look(profile, *tries, *(name.replace("/data", "/database") for name in tries))
    assert [seen[name] for name in tries] == expected
    assert [seen[name.replace("/data", "/database")] for name in tries] == ["-EACCES"] * 4


def test_everything_is_reachable_when_nothing_is_said_of_paths(site: Site) -> None:
    seen = site.look(OPEN + "filesystem: {root: ephemeral}\n", "r:/etc/passwd", "x:/bin/true", "l:/etc")
    assert [seen[name] for name in ("r:/etc/passwd", "x:/bin/true", "l:/etc")] == ["1", "0", "0"]


def test_an_abstract_socket_of_the_host_is_out_of_reach_even_in_its_network(site: Site) -> None:
    name = f"enforcer-tests-{os.getpid()}".encode()
    address = "^" + (b"\x01\x00\x00" + name).hex()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(b"\0" + name)
        listener.listen()
        calls = [("socket", 1, 1, 0), ("connect", "$0", address, 3 + len(name))]
        assert site.calls(OPEN + "network: {share: host}\n", *calls)[1] == "-EPERM"
        assert site.calls(OPEN, *calls)[1] == "-ECONNREFUSED"
    own = [
        ("socket", 1, 1, 0),
        ("bind", "$0", "^0100006f776e", 6),
        ("listen", "$0", 1),
        ("socket", 1, 1, 0),
        ("connect", "$3", "^0100006f776e", 6),
    ]
    assert site.calls(OPEN, *own) == ["3", "0", "0", "4", "0"]


def test_a_process_of_the_same_user_outside_is_not_signalled(site: Site) -> None:
    """With the host's users and processes only Landlock's scope is in the way."""
    with subprocess.Popen(["sleep", "30"], user=65532, group=65532, extra_groups=[]) as outside:
        shared = "user_namespace: host\nnamespaces: {pid: host}\n"
        done = site.run(OPEN + shared, "/bin/kill", "-9", str(outside.pid))
        assert outside.poll() is None
        outside.kill()
    assert "Operation not permitted" in done.stderr, done.stderr
    assert site.shell(OPEN, "sleep 9 & kill -9 $!; wait $!; echo $?") == "137\n"


def syscalls(rest: str) -> str:
    return f"syscalls: {{base: default, {rest}}}\n"


def test_a_call_that_is_not_granted_gets_the_violation(site: Site) -> None:
    call = ("personality", 0xFFFFFFFF)
    assert site.calls("syscalls: {base: default}\n", call) == ["-EPERM"]
    assert site.calls(syscalls("violation: errno ENOSYS"), call) == ["-ENOSYS"]
    assert site.calls(syscalls("violation: complain"), call) == ["0"]
    assert site.calls(syscalls("allow: [personality]"), call) == ["0"]
    killed = site.run(syscalls("violation: kill"), "/bin/payload", "calls", "39", ",", "135", "4294967295")
    assert (killed.returncode, killed.stdout) == (128 + 31, "1\n")
    assert site.calls(syscalls("deny: [getpid]"), ("getpid",)) == ["-EPERM"]


def test_arguments_are_judged(site: Site) -> None:
    rule = "allow: [{names: [personality], args: [{index: 0, op: ==, value: 0xffffffff}]}]"
    calls = [("personality", 0xFFFFFFFF), ("personality", 0), ("personality", 0x1FFFFFFFF)]
    assert site.calls(syscalls(rule), *calls) == ["0", "-EPERM", "-EPERM"]
    masked = "allow: [{names: [personality], args: [{index: 0, op: '&==', mask: 0xff, value: 0}]}]"
    assert site.calls(syscalls(masked), ("personality", 0x100), ("personality", 1))[1] == "-EPERM"


def test_the_smallest_base_starts_a_program_and_has_no_sockets(site: Site) -> None:
    assert site.calls("", ("getpid",), ("socket", 2, 1, 0), ("mkdir", "@/x", 0o755)) == ["1", "-EPERM", "-EPERM"]
