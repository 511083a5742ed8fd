from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from enforcer.plan import mounts
from enforcer.plan.step import Ref, Slot
from tests.plans import HOST, SINGLE, files, policy, verdicts

if TYPE_CHECKING:
    from enforcer.plan.step import Step, Where

RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8


def opened(text: str, where: Where = "launcher") -> tuple[Step, ...]:
    found = policy(text)
    return mounts.sources(where, found.filesystem, files(found))


def attributes(steps: tuple[Step, ...], name: str) -> int:
    """The MOUNT_ATTR_* word that a mount gets."""
    for step in steps:
        if step.call == "mount_setattr" and step.args[0] == Ref(name):
            content = step.args[3]
            assert isinstance(content, bytes)
            return int.from_bytes(content[:8], "little")
        if step.call == "fsmount" and step.result == name:
            assert isinstance(step.args[2], int)
            return step.args[2]
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("access: read", RDONLY | NOSUID | NODEV | NOEXEC),
        ("access: write", NOSUID | NODEV | NOEXEC),
        ("access: read, exec: true", RDONLY | NOSUID | NODEV),
        ("access: write, exec: true", NOSUID | NODEV),
        ("exec: false", RDONLY | NOSUID | NODEV | NOEXEC),
    ],
)
@pytest.mark.parametrize("source", ["bind: /srv/data", "volume: cache"])
def test_what_comes_from_the_host_has_the_attributes_of_its_clause(source: str, clause: str, expected: int) -> None:
    assert attributes(opened(f"filesystem: {{mounts: [{{{source}, at: /data, {clause}}}]}}"), "mount 0") == expected


@pytest.mark.parametrize(("clause", "expected"), [("", NOSUID | NODEV | NOEXEC), (", exec: true", NOSUID | NODEV)])
def test_a_tmpfs_has_the_attributes_of_its_clause(clause: str, expected: int) -> None:
    found = policy(f"filesystem: {{mounts: [{{tmpfs: true, at: /tmp, size: 1MiB{clause}}}]}}")
    steps = mounts.mount_all(found.filesystem, files(found))
    assert attributes(steps, "mount 0") == expected
    assert ("size", "1048576") in {
        (step.args[2].decode(), step.args[3].decode())  # type: ignore[union-attr]
        for step in steps
        if step.call == "fsconfig" and step.args[1] == 1
    }


def test_the_images_layers_can_be_executed_and_nothing_else() -> None:
    assert attributes(opened(""), "layer 0") == RDONLY | NOSUID | NODEV


def test_parents_are_mounted_before_what_lies_below_them() -> None:
    text = "filesystem: {mounts: [{tmpfs: true, at: /a/b/c, size: 1MiB}, {bind: /x, at: /a}, {volume: v, at: /a/b}]}"
    assert [mount.at for mount in mounts.ordered(policy(text).filesystem.mounts)] == ["/a", "/a/b", "/a/b/c"]


def test_nothing_is_made_in_the_hosts_own_directories() -> None:
    """A mount point below a bind would be created on the host."""
    found = policy("filesystem: {mounts: [{bind: /x, at: /a, access: write}, {tmpfs: true, at: /a/b, size: 1MiB}]}")
    steps = mounts.mount_all(found.filesystem, files(found))
    made = [step.args[1] for step in steps if step.call in {"mkdirat", "mknodat"}]
    assert made == [b"a"]


def test_a_file_is_mounted_on_a_file() -> None:
    found = policy("filesystem: {mounts: [{bind: /etc/a.conf, at: /a.conf}, {bind: /srv/d, at: /d}]}")
    steps = mounts.mount_all(found.filesystem, files(found))
    made = [(step.call, step.args[1]) for step in steps if step.call in {"mkdirat", "mknodat"}]
    assert made == [("mknodat", b"a.conf"), ("mkdirat", b"d")]


def test_a_secret_is_written_into_memory_with_its_mode() -> None:
    found = policy('filesystem: {mounts: [{secret: token, from: "env:T", at: /run/token, mode: "0440"}]}')
    steps = mounts.mount_all(found.filesystem, files(found))
    (made,) = [step for step in steps if step.call == "openat"]
    assert made.args[0] == Ref("stage")
    assert made.args[3] == 0o440
    assert made.args[2] == 0o1 | 0o100 | 0o200 | 0o2000000  # O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC
    (write,) = [step for step in steps if step.call == "write"]
    assert write.args[1:] == (Slot("secret env:T"), Slot("secret length env:T"))
    assert attributes(steps, "mount 0") == RDONLY | NOSUID | NODEV | NOEXEC


def test_a_volume_belongs_to_the_payload_when_it_is_new() -> None:
    made, owned, *_ = [
        step for step in opened("filesystem: {mounts: [{volume: v, at: /v}]}") if step.clause != "filesystem.root"
    ]
    assert (made.call, made.args[1], made.tolerate) == ("mkdirat", b"/volumes/v", ("EEXIST",))
    assert (owned.call, owned.args[2:4], owned.needs) == ("fchownat", (65532, 65532), (made.result,))


@pytest.mark.parametrize(("root", "sealed"), [("read-only", True), ("ephemeral", False)])
def test_a_read_only_root_is_sealed(root: str, sealed: bool) -> None:  # noqa: FBT001
    found = mounts.seal(policy(f"filesystem: {{root: {root}}}").filesystem)
    assert bool(found) == sealed
    if found:
        assert attributes(found, "root") == RDONLY | NOSUID | NODEV


def options(text: str, layers: int = 1) -> dict[str, list[str]]:
    found = policy(text)
    sources = replace(files(found), layers=tuple(f"/images/{n}" for n in range(layers)))
    steps = mounts.root(found.filesystem, sources, found.resources.scratch, HOST)
    said: dict[str, list[str]] = {}
    for step in steps:
        if step.call == "fsconfig" and step.args[1] == 1:
            key, value = step.args[2], step.args[3]
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            said.setdefault(key.decode(), []).append(value.decode())
    return said


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("", [str(4 << 20)]),
        ("filesystem: {root: ephemeral}\nresources: {scratch: 8MiB}", [str(8 << 20)]),
        ("filesystem: {root: ephemeral}", [str(64 << 20)]),
    ],
)
def test_the_writable_layer_is_bounded(text: str, sizes: list[str]) -> None:
    assert options(text).get("size", []) == sizes


def test_few_layers_are_one_option_and_many_are_added_one_by_one() -> None:
    """fsconfig(2) takes 255 characters."""
    assert options("", 3)["lowerdir"] == ["0:1:2"]
    assert "lowerdir" not in options("", 100)
    assert options("", 100)["lowerdir+"] == [str(n) for n in range(100)]


def test_the_old_root_goes_whole() -> None:
    """Lazily, since it is in use until then: what is below it goes with it."""
    found = [(step.call, step.args) for step in mounts.pivot()]
    first, pivot, *detached, last = found
    assert first == ("fchdir", (Ref("root"),))
    assert pivot == ("pivot_root", (b".", b"."))
    assert set(detached) == {("umount2", (b".", 2))}  # MNT_DETACH
    assert last == ("chdir", (b"/",))


def test_the_working_directory_is_made_beneath_the_root_only() -> None:
    found = policy("filesystem: {mounts: [{bind: /x, at: /data, access: write}, {tmpfs: true, at: /tmp, size: 1MiB}]}")

    def made(path: str) -> set[object]:
        steps = mounts.working_directory(path, found.filesystem, files(found))
        return {step.args[0] for step in steps if step.call == "mkdirat"}

    assert made("/srv/app") == {Ref("root"), Ref("parent")}
    assert made("/tmp/work") == {Ref("mount 1")}
    assert made("/") == made("/data") == made("/data/sub/directory") == set()


BIND = "filesystem: {mounts: [{bind: /srv/data, at: /data}]}"


def test_a_filesystem_that_cannot_be_idmapped_is_weaker_for_root_only() -> None:
    path = "filesystem.mounts[0]"
    assert verdicts(BIND)[path].verdict == "enforced"
    assert verdicts(BIND, replace(HOST, idmapped_mounts=False))[path].verdict == "weaker"
    assert verdicts(BIND, SINGLE)[path].verdict == "enforced"


def test_only_what_comes_from_the_host_is_mapped() -> None:
    found = policy("filesystem: {mounts: [{bind: /x, at: /x}, {tmpfs: true, at: /t, size: 1MiB}]}")
    mapped = [step.args[0] for step in mounts.map_owners(found.filesystem, files(found))]
    assert mapped == [Ref("layer 0"), Ref("mount 1")]


def test_proc_shows_processes_only_and_nothing_of_others() -> None:
    said = {step.args[2]: step.args[3] for step in mounts.proc() if step.call == "fsconfig" and step.args[1] == 1}
    assert said == {b"subset": b"pid", b"hidepid": b"ptraceable"}
    assert attributes(mounts.proc(), "proc") == RDONLY | NOSUID | NODEV | NOEXEC


def test_propagation_ends() -> None:
    attr = mounts.private().args[3]
    assert isinstance(attr, bytes)
    assert int.from_bytes(attr[16:24], "little") == 1 << 18  # MS_PRIVATE


def test_image_directories_of_the_host_are_mounted_below_the_grants() -> None:
    found = policy("")
    sources = replace(files(found), binds=(("/usr", "/usr"),), kinds=MappingProxyType({}))
    assert attributes(mounts.sources("launcher", found.filesystem, sources), "image 0") == RDONLY | NOSUID | NODEV
