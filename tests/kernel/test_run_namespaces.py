"""Namespaces: each container has its own of every kind, and gets the host's only where its profile says so."""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.kernel.running import NAMESPACES, OPEN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kernel.running import Site

INTERNET = "^0200" + "0050" + "08080808" + "0" * 16  # struct sockaddr_in: 8.8.8.8:80
LOOPBACK = "^0200" + "1f90" + "7f000001" + "0" * 16  # 127.0.0.1:8080


def test_every_namespace_is_the_containers_own(site: Site) -> None:
    seen = site.look(OPEN)
    assert {kind: seen[f"namespace.{kind}"] for kind in NAMESPACES} == dict.fromkeys(NAMESPACES, "own")


@pytest.mark.parametrize("kind", ["ipc", "uts", "cgroup", "time"])
def test_a_namespace_is_the_hosts_where_it_is_written(site: Site, kind: str) -> None:
    seen = site.look(f"{OPEN}namespaces: {{{kind}: host}}\n")
    assert [name for name in NAMESPACES if seen[f"namespace.{name}"] != "own"] == [kind]


def test_the_network_is_the_hosts_where_it_is_written(site: Site) -> None:
    assert site.look(f"{OPEN}network: {{share: host}}\n")["namespace.net"] == "host's"


def test_the_users_are_the_hosts_where_it_is_written(site: Site) -> None:
    seen = site.look(f"{OPEN}user_namespace: host\n")
    assert [name for name in NAMESPACES if seen[f"namespace.{name}"] != "own"] == ["user"]
    assert seen["status.CapPrm"] == "0000000000000000"


def test_containers_at_the_same_time_have_ranges_of_ids_that_do_not_overlap(site: Site) -> None:
    words = site.words(OPEN, ["/bin/sh", "-c", "cat /proc/self/uid_map; cat"], options=["-i"])
    running = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=site.environment())
        for _ in range(3)
    ]
    maps = [process.stdout.readline().split() for process in running if process.stdout]
    for process in running:
        process.communicate()
        assert process.returncode == 0
    ranges = sorted((int(first), int(count)) for _, first, count in maps)
    assert {inside for inside, _, _ in maps} == {"0"}
    assert all(first >= 65536 and count == 65536 for first, count in ranges)
    assert all(low[0] + low[1] <= high[0] for low, high in pairwise(ranges))


def test_files_keep_their_owners(site: Site, tmp_path: Path) -> None:
    """A file of the image, one of a bind, and one that the payload makes on the host."""
    shutil.copy("/bin/busybox", site.image / "bin" / "ours")
    os.chown(site.image / "bin" / "ours", 1000, 1000)
    (tmp_path / "theirs").write_text("x")
    os.chown(tmp_path / "theirs", 1000, 33)
    tmp_path.chmod(0o777)
    profile = f"filesystem: {{mounts: [{{bind: {tmp_path}, at: /data, access: write}}]}}\n"
    seen = site.look(OPEN + profile, "s:/bin/ours", "s:/bin/busybox", "s:/data/theirs")
    assert seen["s:/bin/ours"] == "100755 1000 1000"
    assert seen["s:/bin/busybox"] == "100755 0 0"
    assert seen["s:/data/theirs"] == "100644 1000 33"
    site.output(OPEN + profile, "/bin/touch", "/data/mine")
    status = (tmp_path / "mine").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (65532, 65532, 0o644)
    (site.image / "bin" / "ours").unlink()


def test_processes_of_the_host_are_not_there(site: Site) -> None:
    assert site.shell(OPEN, "echo /proc/[0-9]*").split() == ["/proc/1"]
    assert site.calls(OPEN, ("getpid",), ("kill", os.getpid() + 100000, 0)) == ["1", "-ESRCH"]


def test_mounts_of_the_host_are_not_there(site: Site) -> None:
    mounted = site.shell(OPEN, "cat /proc/self/mounts").splitlines()
    places = {line.split()[1] for line in mounted}
    assert {place for place in places if not place.startswith(("/dev/", "/proc"))} == {"/", "/dev"}
    assert [line.split()[2] for line in mounted if line.split()[1] == "/"] == ["overlay"]
    assert "/var" not in "".join(mounted)
    inode = site.shell(OPEN, "stat -c %d:%i / /.. /../.. /bin/..").split()
    assert len(set(inode)) == 1
    assert set(site.shell(OPEN, "ls -a /..").split()) == {".", "..", "bin", "dev", "etc", "home", "proc"}


def test_only_loopback_is_there_and_works(site: Site) -> None:
    seen = site.look(OPEN)
    assert [name for name in seen if name.startswith("interface.")] == ["interface.lo"]
    assert seen["loopback"] == "0"
    calls = [("socket", 2, 1, 0), ("connect", "$0", INTERNET, 16), ("socket", 2, 2, 0), ("connect", "$2", INTERNET, 16)]
    assert site.calls(OPEN, *calls)[1::2] == ["-ENETUNREACH", "-ENETUNREACH"]
    assert site.calls(OPEN, ("socket", 2, 1, 0), ("bind", "$0", LOOPBACK, 16), ("listen", "$0", 1))[1:] == ["0", "0"]


def test_messages_of_the_host_are_not_there(site: Site) -> None:
    """A System V segment of ours cannot be found by its key from inside, unless ipc is the host's."""
    key = 0x0E4F << 16 | os.getpid() & 0xFFFF
    made = subprocess.run(["/usr/bin/ipcmk", "--version"], capture_output=True, check=False)
    assert made.returncode == 0
    shmget, host = ("shmget", key, 4096, 0), "namespaces: {ipc: host}\n"
    from enforcer.linux import syscalls  # noqa: PLC0415

    segment = syscalls.raw(29 if os.uname().machine == "x86_64" else 194, key, 4096, 0o1666)
    assert segment >= 0
    try:
        assert site.calls(OPEN, shmget) == ["-ENOENT"]
        assert site.calls(OPEN + host, shmget) == [str(segment)]
    finally:
        subprocess.run(["/usr/bin/ipcrm", "-m", str(segment)], check=True)


def test_the_host_has_another_name(site: Site) -> None:
    assert site.output(OPEN, "/bin/hostname", options=["--name", "inside"]) == "inside\n"
    assert site.calls(OPEN, ("sethostname", "@changed", 7)) == ["-EPERM"]
    assert os.uname().nodename not in {"inside", "changed"}


def test_a_container_is_the_root_of_its_control_groups(site: Site) -> None:
    profile = "resources: {memory: 64MiB, pids: 20, cpus: 1}\n"
    groups = {line.split(":", 2)[2] for line in site.shell(OPEN + profile, "cat /proc/self/cgroup").splitlines()}
    assert groups == {"/"}
    shown = site.shell(OPEN + profile + "namespaces: {cgroup: host}\n", "cat /proc/self/cgroup")
    assert "enforcer-" in shown
    assert site.run(OPEN, "/bin/ls", "/sys/fs/cgroup").returncode != 0
