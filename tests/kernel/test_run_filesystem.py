"""Files: root, mounts, secrets, devices, /dev and /proc. What is granted works, what is not is refused; images stay."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kernel.running import ENFORCER, OPEN, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernel.running import Site

ROOT = "run: {user: '0:0'}\n"
MS_REMOUNT_BIND = 32 | 4096
CANARY = "a-secret-that-is-nowhere-else"


def mounts(*lines: str, root: str = "read-only") -> str:
    return f"filesystem: {{root: {root}, mounts: [{', '.join(lines)}]}}\n"


@pytest.mark.parametrize("user", ["", ROOT])
def test_a_read_only_root_cannot_be_written(site: Site, user: str) -> None:
    before = snapshot(site.image)
    done = site.run(OPEN + user, "/bin/sh", "-c", "echo x >/new; echo x >/etc/passwd; rm /etc/passwd; mkdir /home/user/new")
    assert done.returncode != 0
    assert done.stderr.count("Read-only file system") + done.stderr.count("Permission denied") == 4, done.stderr
    assert snapshot(site.image) == before


def test_an_ephemeral_root_can_be_written_and_dies_with_the_container(site: Site) -> None:
    before = snapshot(site.image)
    profile = OPEN + ROOT + "filesystem: {root: ephemeral}\n"
    assert (
        site.shell(profile, "echo x >/new; rm /etc/group; echo y >/etc/passwd; cat /new /etc/passwd; ls /etc")
        == "x\ny\npasswd\n"
    )
    assert site.shell(profile, "ls /; ls /etc").split() == [*"bin dev etc home proc".split(), "group", "passwd"]
    assert snapshot(site.image) == before


def test_missing_mount_points_are_made_beside_the_image(site: Site, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("here\n")
    before = snapshot(site.image)
    lines = (
        f"{{bind: {tmp_path}, at: /a/b/c}}",
        f"{{bind: {tmp_path}/file, at: /etc/deep/file}}",
        "{tmpfs: true, at: /a/t, size: 1MiB}",
        "{volume: v1, at: /v/w}",
    )
    seen = site.output(OPEN + mounts(*lines), "/bin/cat", "/a/b/c/file", "/etc/deep/file")
    assert seen == "here\nhere\n"
    assert snapshot(site.image) == before


def test_a_bind_is_read_only_without_programs_unless_written(site: Site, tmp_path: Path) -> None:
    shutil.copy("/bin/busybox", tmp_path / "true")
    tmp_path.chmod(0o777)
    tries = ("c:/data", "r:/data/true", "x:/data/true")
    read = site.look(OPEN + mounts(f"{{bind: {tmp_path}, at: /data}}"), *tries)
    assert [read[name] for name in tries] == ["-EROFS", "1", "-EACCES"]
    write = site.look(OPEN + mounts(f"{{bind: {tmp_path}, at: /data, access: write}}"), *tries)
    assert [write[name] for name in tries] == ["0", "1", "-EACCES"]
    execute = site.look(OPEN + mounts(f"{{bind: {tmp_path}, at: /data, exec: true}}"), *tries)
    assert [execute[name] for name in tries] == ["-EROFS", "1", "0"]
    for place in ("/data", "/", "/dev", "/proc"):
        remount = site.calls(
            OPEN + ROOT + mounts(f"{{bind: {tmp_path}, at: /data}}"), ("mount", 0, f"@{place}", 0, MS_REMOUNT_BIND, 0)
        )
        assert remount == ["-EPERM"]


def test_a_device_in_a_bind_is_none(site: Site, tmp_path: Path) -> None:
    os.mknod(tmp_path / "zero", 0o20666, os.makedev(1, 5))
    (tmp_path / "zero").chmod(0o666)
    assert site.look(OPEN + mounts(f"{{bind: {tmp_path}, at: /data}}"), "r:/data/zero")["r:/data/zero"] == "-EACCES"


def test_a_volume_outlives_its_container_and_is_shared_by_name_only(site: Site) -> None:
    cache, other = mounts("{volume: kept, at: /cache, access: write}"), mounts("{volume: other, at: /cache}")
    site.output(OPEN + cache, "/bin/sh", "-c", "echo kept >/cache/file")
    assert site.output(OPEN + cache, "/bin/cat", "/cache/file") == "kept\n"
    assert site.run(OPEN + other, "/bin/cat", "/cache/file").returncode != 0
    assert "Read-only" in site.run(OPEN + other, "/bin/touch", "/cache/x").stderr


def test_a_tmpfs_holds_what_it_may_and_no_more(site: Site) -> None:
    profile = OPEN + mounts("{tmpfs: true, at: /tmp, size: 2MiB}", "{tmpfs: true, at: /x, size: 8MiB, exec: true}")
    seen = site.look(profile, "f:/tmp", "c:/x")
    assert (seen["f:/tmp"], seen["c:/x"]) == ("2", "0")
    assert (
        site.shell(profile, "cp /bin/busybox /x/true 2>&1; cat /bin/busybox >/x/true; chmod 755 /x/true; /x/true; echo $?")[-2:]
        == "0\n"
    )
    assert site.shell(profile, "head -c 1000 /bin/busybox >/tmp/true; chmod 755 /tmp/true; /tmp/true; echo $?") == "126\n"


def secret(source: str, mode: str = "0400") -> str:
    return mounts(f"{{secret: token, from: '{source}', at: /run/secrets/token, mode: '{mode}'}}")


@pytest.mark.parametrize("mode", ["0400", "0440"])
def test_a_secret_is_there_for_the_payload_and_nowhere_else(site: Site, tmp_path: Path, mode: str) -> None:
    (tmp_path / "token").write_text(CANARY)
    before = snapshot(site.image)
    for source, env in ((f"file:{tmp_path}/token", {}), ("env:TOKEN", {"TOKEN": CANARY})):
        profile = OPEN + secret(source, mode)
        shown = site.output(
            profile, "/bin/sh", "-c", "cat /run/secrets/token; stat -c ' %a %u %g' /run/secrets/token; env", env=env
        )
        assert shown.splitlines()[0] == f"{CANARY} {mode[1:]} 65532 65532"
        assert CANARY not in "".join(shown.splitlines()[1:])
        assert "Read-only" in site.run(profile, "/bin/sh", "-c", "echo x >/run/secrets/token", env=env).stderr or mode == "0400"
    assert snapshot(site.image) == before
    assert found(site.directory, CANARY) == []
    assert site.run(OPEN + secret("env:TOKEN", mode), "/bin/true").returncode == 125


def test_a_secret_is_never_cut_short(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "large"
    for size, code in ((1 << 20, 0), ((1 << 20) + 1, 125)):
        file.write_bytes(b"x" * size)
        ran = site.run(OPEN + secret(f"file:{file}"), "/bin/sh", "-c", f"test $(wc -c </run/secrets/token) = {size}")
        assert ran.returncode == code, ran.stderr


def found(directory: Path, canary: str) -> list[Path]:
    """Files below a directory that hold the canary: store, caches, state, image."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if canary.encode() in path.read_bytes()]


@pytest.fixture(name="node")
def device_node() -> Iterator[Path]:
    """A device of the host that everybody may open: /dev/fuse, under another name."""
    node = Path(f"/dev/enforcer-tests-{os.getpid()}")
    os.mknod(node, 0o20666, os.makedev(10, 229))
    node.chmod(0o666)
    yield node
    node.unlink()


def test_a_device_is_there_when_it_is_granted(site: Site, node: Path) -> None:
    assert site.look(OPEN, f"s:{node}")[f"s:{node}"] == "-ENOENT"
    granted = site.look(OPEN + f"filesystem: {{devices: [{node}]}}\n", f"w:{node}", f"s:{node}")
    assert granted[f"w:{node}"] == "0"
    assert granted[f"s:{node}"].startswith("20666")


@pytest.mark.parametrize("user", ["", ROOT])
def test_dev_holds_the_six_and_cannot_be_added_to(site: Site, user: str) -> None:
    shown = site.shell(OPEN + user, "ls /dev")
    assert set(shown.split()) == set("fd full null ptmx pts random shm stderr stdin stdout tty urandom zero".split())
    seen = site.look(OPEN + user, "c:/dev", "c:/dev/shm", "w:/dev/null", "r:/dev/zero", "w:/dev/full", "r:/dev/urandom")
    assert [seen[name] for name in ("w:/dev/null", "r:/dev/zero", "w:/dev/full", "r:/dev/urandom")] == ["0", "1", "0", "1"]
    assert {seen["c:/dev"], seen["c:/dev/shm"]} <= {"-EROFS", "-EACCES"}
    makes = site.calls(
        OPEN + user + "filesystem: {root: ephemeral}\n",
        ("mknod", "@/dev/sda", 0o60666, 0x800),
        ("mknod", "@/home/user/sda", 0o60666, 0x800),
    )
    assert set(makes) <= {"-EPERM", "-EROFS", "-EACCES"}


def test_shared_memory_is_a_mount_like_others(site: Site) -> None:
    profile = OPEN + mounts("{tmpfs: true, at: /dev/shm, size: 1MiB}")
    assert site.look(profile, "f:/dev/shm")["f:/dev/shm"] == "1"


@pytest.mark.parametrize("user", ["", ROOT])
def test_proc_shows_processes_only_and_is_read_only(site: Site, user: str) -> None:
    shown = site.shell(OPEN + user, "ls /proc").split()
    assert {name for name in shown if not name.isdigit()} == {"self", "thread-self"}
    tries = (
        "w:/proc/self/oom_score_adj",
        "w:/proc/self/comm",
        "r:/proc/sys/kernel/hostname",
        "w:/proc/sysrq-trigger",
        "r:/proc/kcore",
        "r:/proc/self/status",
    )
    seen = site.look(OPEN + user, *tries)
    assert [seen[name] for name in tries] == ["-EROFS", "-EROFS", "-ENOENT", "-ENOENT", "-ENOENT", "1"]
    calls = [
        ("umount2", "@/proc", 2),
        ("mount", "@proc", "@/proc", "@proc", 0, 0),
        ("mount", "@sysfs", "@/home", "@sysfs", 0, 0),
    ]
    assert site.calls(OPEN + user, *calls) == ["-EPERM"] * 3


def test_pid_1_is_hidden_when_it_is_ours(site: Site) -> None:
    assert site.look(OPEN)["pid1"] == "seen"
    seen = site.look(OPEN + "run: {init: true}\n", "s:/proc/1", "r:/proc/1/environ")
    assert seen["pid1"] == "hidden"
    assert {seen["s:/proc/1"], seen["r:/proc/1/environ"]} == {"-ENOENT"}


def test_nothing_of_sys_is_there(site: Site) -> None:
    assert site.look(OPEN, "s:/sys", "s:/boot", "s:/root", "s:/var/run/docker.sock")["s:/sys"] == "-ENOENT"


def test_the_working_directory_is_made_inside(site: Site) -> None:
    before = snapshot(site.image)
    assert site.output(OPEN + "run: {cwd: /made/here}\n", "/bin/sh", "-c", "pwd; cd ..; pwd") == "/made/here\n/made\n"
    assert snapshot(site.image) == before


def test_what_a_plan_shows_starts_nothing(site: Site) -> None:
    words = [str(ENFORCER), "plan", "--policy", str(site.profile(OPEN)), f"rootfs:{site.image}", "/bin/touch", "/x"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True, env=site.environment())
    assert "pivot_root" in shown.stdout
    assert list((site.state / "containers").glob("[0-9]*")) == []
