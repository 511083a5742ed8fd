from __future__ import annotations

import pytest

from enforcer.plan import mount_calls as calls
from enforcer.plan.step import Packed, Ref


def words(content: object) -> list[int]:
    assert isinstance(content, bytes)
    return [int.from_bytes(content[at : at + 8], "little") for at in range(0, len(content), 8)]


def test_a_host_path_is_opened_without_following_any_link() -> None:
    step = calls.open_path("launcher", "x", "/srv/data", "clause")
    directory, path, how, size = step.args
    assert (directory, path, size) == (-100, b"/srv/data", 24)
    assert words(how) == [0o12000000, 0, 0x06]  # O_PATH | O_CLOEXEC; RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS


@pytest.mark.parametrize(("path", "written"), [("/etc/ssl", b"etc/ssl"), ("/", b"."), ("proc", b"proc")])
def test_a_path_inside_is_resolved_in_the_root(path: str, written: bytes) -> None:
    step = calls.open_inside("x", path, "clause")
    assert step.args[:2] == (Ref("root"), written)
    assert words(step.args[2])[2] == 0x12  # RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS


@pytest.mark.parametrize(("recursive", "flags"), [(True, 0x9000), (False, 0x1000)])
def test_attributes_are_set_on_the_descriptor_itself(recursive: bool, flags: int) -> None:  # noqa: FBT001
    step = calls.set_attributes("init", "m", 0x0F, "clause", recursive=recursive)
    assert step.args[:3] == (Ref("m"), b"", flags)
    assert words(step.args[3]) == [0x0F, 0, 0, 0]  # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    clone = calls.clone_tree("init", "m", "copy", "clause", recursive=recursive)
    assert clone.args == (Ref("m"), b"", 0o2000000 | 1 | flags)


def test_owners_are_mapped_into_the_containers_user_namespace() -> None:
    step = calls.map_owners("m", "clause", recursive=False)
    attr = step.args[3]
    assert isinstance(attr, Packed)
    assert words(attr.template) == [0x100000, 0, 0, 0]
    assert attr.patches == ((24, 8, Ref("user-namespace")),)
    assert (step.where, step.tolerate) == ("launcher", ("EINVAL",))


@pytest.mark.parametrize(("path", "flags"), [(b"", 0x44), (b"dev", 0x04)])
def test_a_mount_is_attached_by_descriptor(path: bytes, flags: int) -> None:
    assert calls.attach("m", "target", path, "clause").args == (Ref("m"), b"", Ref("target"), path, flags)


def test_a_filesystem_is_configured_before_it_is_made() -> None:
    found = calls.new_filesystem("tmpfs", "m", {"mode": "0755", "noswap": ""}, 6, "clause")
    context = Ref("m-context")
    assert [(step.call, step.args) for step in found] == [
        ("fsopen", (b"tmpfs", 1)),
        ("fsconfig", (context, 1, b"mode", b"0755", 0)),
        ("fsconfig", (context, 0, b"noswap", 0, 0)),
        ("fsconfig", (context, 6, 0, 0, 0)),
        ("fsmount", (context, 1, 6)),
    ]
    assert found[-1].result == "m"


def test_every_missing_part_of_a_target_is_made_beneath_the_root() -> None:
    found = calls.make_target("/run/secrets/token", "clause", directory=False)
    made = [(step.call, step.args[1]) for step in found if step.call in {"mkdirat", "mknodat"}]
    assert made == [("mkdirat", b"run"), ("mkdirat", b"secrets"), ("mknodat", b"token")]
    assert [step.args[1] for step in found if step.call == "openat2"] == [b"run", b"run/secrets"]
    assert {step.tolerate for step in found if step.call in {"mkdirat", "mknodat"}} == {("EEXIST",)}
    assert [step.call for step in found].count("close") == 2


def test_a_directory_target_ends_in_a_directory() -> None:
    assert [step.call for step in calls.make_target("/data", "clause", directory=True)] == ["mkdirat"]
