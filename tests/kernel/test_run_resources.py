"""Bounds: memory, processes, processor time, files, space and time; under each there is room, beyond each there is none."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.kernel.running import OPEN, calls_of, groups_left

if TYPE_CHECKING:
    from tests.kernel.running import Site

SIGKILLED = 137


def test_memory_is_bounded(site: Site) -> None:
    profile = OPEN + "resources: {memory: 48MiB}\n"
    assert site.run(profile, "/bin/payload", "hog", "16").returncode == 0
    assert site.run(profile, "/bin/payload", "hog", "96").returncode == SIGKILLED
    assert site.run(OPEN, "/bin/payload", "hog", "96").returncode == 0


def test_too_little_memory_to_start_is_said(site: Site) -> None:
    """An init that the kernel kills before execve is no payload that exits with 137."""
    ran = site.run(OPEN + "resources: {memory: 64KiB}\n", "/bin/true")
    assert ran.returncode == 125
    assert "resources.memory is too little" in ran.stderr


def test_a_tmpfs_counts_as_memory(site: Site) -> None:
    profile = OPEN + "resources: {memory: 32MiB}\nfilesystem: {mounts: [{tmpfs: true, at: /tmp, size: 512MiB}]}\n"
    done = site.run(profile, "/bin/sh", "-c", "dd if=/dev/zero of=/tmp/x bs=1M count=128; echo went on; cat /tmp/x >/dev/null")
    assert "128+0 records out" not in done.stderr


def test_cve_2024_3056_shared_memory_counts_as_memory(site: Site) -> None:
    profile = OPEN.replace("shmget", "shmget, shmctl") + "resources: {memory: 32MiB}\n"
    size = 96 << 20
    fill = [("shmget", 0, size, 0o1600), ("shmat", "$0", 0, 0), ("open", "@/dev/zero", 0), ("read", "$2", "$1", size)]
    words = site.run(profile, *calls_of(*fill))
    assert words.returncode == SIGKILLED or words.stdout.split()[3:] != [str(size)]
    free = site.run(OPEN, *calls_of(*fill))
    assert free.stdout.split()[3:] == [str(size)], free


@pytest.mark.parametrize("init", ["false", "true"])
def test_processes_are_bounded(site: Site, init: str) -> None:
    profile = f"{OPEN}run: {{init: {init}}}\nresources: {{pids: 20}}\n"
    assert 10 <= int(site.output(profile, "/bin/payload", "forks", "60")) < 20
    assert site.output(OPEN, "/bin/payload", "forks", "60") == "60\n"


def test_processes_of_the_user_are_bounded(site: Site) -> None:
    profile = OPEN + "resources: {processes: 15, pids: 50}\n"
    assert 5 <= int(site.output(profile, "/bin/payload", "forks", "40")) < 15


def test_two_containers_do_not_share_their_bound(site: Site) -> None:
    """RLIMIT_NPROC counts by user namespace: another container of the same uid takes nothing away."""
    profile = OPEN + "resources: {processes: 15}\n"
    words = site.words(profile, ["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo up; wait"])
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=site.environment()) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "up\n"
        assert int(site.output(profile, "/bin/payload", "forks", "40")) == 14
        for _ in range(3):  # a shell that is pid 1 does not heed it; three times is enough for the supervisor
            other.terminate()
            time.sleep(0.1)


def test_processor_time_is_bounded(site: Site) -> None:
    """Coarse, since others work here too: a fifth of a processor is far from a half."""
    used = int(site.output(OPEN + "resources: {cpus: 0.2}\n", "/bin/payload", "spin", "1500"))
    assert used < 600


def test_open_files_are_bounded(site: Site) -> None:
    calls = [("dup", 0)] * 20
    assert site.calls(OPEN + "resources: {open_files: 10}\n", *calls)[-1] == "-EMFILE"
    assert site.calls(OPEN, *calls)[-1] == "22"


def test_the_writable_layer_is_bounded(site: Site) -> None:
    profile = OPEN + "filesystem: {root: ephemeral}\nrun: {user: '1000:1000'}\nresources: {scratch: 6MiB}\n"
    assert site.look(profile, "f:/home/user")["f:/home/user"] in {"5", "6"}


def test_time_is_bounded(site: Site) -> None:
    started = time.monotonic()
    done = site.run(OPEN + "resources: {time: 1s}\n", "/bin/sleep", "30")
    assert done.returncode == SIGKILLED
    assert "resources.time" in done.stderr
    assert 1 <= time.monotonic() - started < 20
    assert site.run(OPEN + "resources: {time: 30s}\n", "/bin/true").returncode == 0


def test_core_dumps_and_priorities_are_bounded(site: Site) -> None:
    """A core pattern that is a pipe starts a program of the host even at RLIMIT_CORE 0; 1 is the smallest that does not."""
    seen = site.look(OPEN)
    assert (seen["limit.4"], seen["limit.12"], seen["limit.13"], seen["limit.14"]) == ("1 1", "0 0", "0 0", "0 0")
    assert site.calls(OPEN, ("setpriority", 0, 0, 0xFFFFFFEC), ("setrlimit", 4, "^" + "ff" * 16)) == ["-EACCES", "-EPERM"]


def test_nothing_of_a_container_stays(site: Site) -> None:
    profile = OPEN + "resources: {memory: 64MiB, pids: 20, cpus: 1}\nnamespaces: {cgroup: host}\n"
    done = site.run(profile, "/bin/sh", "-c", "cat /proc/self/cgroup; sleep 100 & sleep 100 & exit 3")
    assert done.returncode == 3
    groups = {line.rpartition("/")[2] for line in done.stdout.splitlines() if "/enforcer-" in line}
    assert len(groups) == 1
    assert [path for path in groups_left() if path.rpartition("/")[2] in groups] == []
    assert [path.name for path in (site.state / "containers").iterdir()] == ["lock"]
