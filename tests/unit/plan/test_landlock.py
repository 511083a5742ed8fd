from __future__ import annotations

from dataclasses import replace

import pytest

from enforcer.plan import landlock
from enforcer.plan.step import Packed, Step
from tests.plans import HOST, policy

# security/landlock/limits.h and the handled_access_fs of each ABI, Documentation/userspace-api/landlock.rst
WORDS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF, 6: 0xFFFF, 7: 0xFFFF}
ATTRIBUTES = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16, 6: 24, 7: 24}
FILE = landlock.EXECUTE | landlock.WRITE_FILE | landlock.READ_FILE | landlock.TRUNCATE | landlock.IOCTL_DEV
MAKE_NODES = landlock.MAKE_CHAR | landlock.MAKE_BLOCK
PATHS = "filesystem: {paths: {read: [/etc], write: [/tmp], execute: [/usr/bin]}}"


def build(abi: int, text: str = PATHS) -> tuple[Step, ...]:
    return landlock.build(policy(text).filesystem, ["null"], abi)


def rules(steps: tuple[Step, ...]) -> list[tuple[str, int]]:
    """(path, access word) of each landlock_add_rule, in order."""
    found, path = [], ""
    for step in steps:
        if step.call == "openat2":
            path = step.args[1].decode()  # type: ignore[union-attr]
        if step.call == "landlock_add_rule":
            attr = step.args[2]
            assert isinstance(attr, Packed)
            assert len(attr.template) == 12
            found.append((path, int.from_bytes(attr.template[:8], "little")))
    return found


@pytest.mark.parametrize("abi", range(1, 8))
def test_the_ruleset_handles_every_right_of_its_abi(abi: int) -> None:
    assert landlock.handled(abi) == WORDS[abi]
    attr, size, flags = build(abi)[0].args
    assert isinstance(attr, bytes)
    assert (len(attr), size, flags) == (ATTRIBUTES[abi], ATTRIBUTES[abi], 0)
    words = [int.from_bytes(attr[at : at + 8], "little") for at in range(0, len(attr), 8)]
    assert words == [WORDS[abi], 0, 3][: len(words)]


@pytest.mark.parametrize("abi", range(1, 8))
def test_no_rule_grants_what_is_not_handled_nor_the_making_of_devices(abi: int) -> None:
    for path, word in rules(build(abi)):
        assert word, path
        assert word & ~WORDS[abi] == 0
        assert word & MAKE_NODES == 0


def test_a_path_gets_what_it_is_granted() -> None:
    found = rules(build(7))
    read = landlock.READ_FILE | landlock.READ_DIR
    assert found[:2] == [("/etc", landlock.READ_FILE), ("/etc", read)]
    written = dict(found)["/tmp"]
    assert written & read == 0
    assert written & landlock.EXECUTE == 0
    assert written & landlock.WRITE_FILE
    assert written & landlock.TRUNCATE
    assert dict(found)["/usr/bin"] == landlock.EXECUTE
    assert dict(found)["/dev/null"] & landlock.EXECUTE == 0
    assert dict(found)["/proc"] == read


def test_a_file_is_given_rights_of_files_first() -> None:
    """The kernel refuses rights of directories for a file (EINVAL); that refusal alone is tolerated."""
    adds = [step for step in build(7) if step.call == "landlock_add_rule"]
    for (_, word), step in zip(rules(build(7)), adds, strict=True):
        assert step.tolerate == (("EINVAL",) if word & ~FILE else ())
        assert step.needs == ("path",)


def test_an_absent_path_grants_nothing_and_stops_nothing() -> None:
    opened = [step for step in build(7) if step.call == "openat2"]
    assert {step.tolerate for step in opened} == {("ENOENT", "ENOTDIR")}


def test_grants_of_one_path_are_one_word() -> None:
    found = landlock.rights(policy("filesystem: {paths: {read: [/a], write: [/a], execute: [/a, /b]}}").filesystem.paths)
    assert list(found) == ["/a", "/b"]
    assert found["/a"] & landlock.EXECUTE
    assert found["/a"] & landlock.WRITE_FILE
    assert found["/a"] & landlock.READ_DIR


def test_without_landlock_there_is_no_step_and_only_everything_holds() -> None:
    host = replace(HOST, landlock_abi=0)
    assert build(0) == landlock.restrict(0) == ()
    assert landlock.decide(policy("").filesystem.paths, host)[0].verdict == "enforced"
    (found,) = landlock.decide(policy(PATHS).filesystem.paths, host)
    assert (found.verdict, found.path) == ("impossible", "filesystem.paths")
    assert found.place.startswith("test.yaml:3:")
    assert landlock.decide(policy(PATHS).filesystem.paths, HOST)[0].verdict == "enforced"


def test_one_narrowed_right_is_not_everything() -> None:
    host = replace(HOST, landlock_abi=0)
    text = "filesystem: {paths: {read: [/], write: [/tmp], execute: [/]}}"
    assert landlock.decide(policy(text).filesystem.paths, host)[0].verdict == "impossible"


def test_the_ruleset_is_put_in_force_after_no_new_privs_is_possible() -> None:
    assert landlock.no_new_privs().args == (38, 1, 0, 0, 0)
    assert [step.call for step in landlock.restrict(7)] == ["landlock_restrict_self"]
