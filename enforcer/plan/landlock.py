"""Landlock: which paths inside the container can be read, written and executed, whatever its mounts show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.plan.host import Enforcement
from enforcer.plan.step import Packed, Ref, Step

if TYPE_CHECKING:
    from enforcer.plan.host import HostFacts
    from enforcer.policy.profile import Filesystem, Paths

CLAUSE = "filesystem.paths"
# include/uapi/linux/landlock.h
EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_CHAR = 1 << 6
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SOCK = 1 << 9
MAKE_FIFO = 1 << 10
MAKE_BLOCK = 1 << 11
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15
SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0
SCOPE_SIGNAL = 1 << 1
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38
_ABI_REFER, _ABI_TRUNCATE, _ABI_NET, _ABI_IOCTL_DEV, _ABI_SCOPE = 2, 3, 4, 5, 6
_READ = READ_FILE | READ_DIR
_WRITE = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_DEVICE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV
_AT_FDCWD = -100
_O_PATH_CLOEXEC = 0o12000000
_RESOLVE_IN_ROOT_NO_MAGICLINKS = 0x12


def decide(paths: Paths, facts: HostFacts) -> tuple[Enforcement, ...]:
    """Say how the paths hold: without Landlock they hold only when they leave everything reachable."""
    clauses = sorted({grant.clause for grants in (paths.read, paths.write, paths.execute) for grant in grants})
    place = clauses[0].place if clauses else "built in"
    if facts.landlock_abi:
        return (Enforcement(CLAUSE, place, "enforced", f"Landlock, ABI {facts.landlock_abi}"),)
    everything = all(any(grant.path == "/" for grant in grants) for grants in (paths.read, paths.write, paths.execute))
    if everything:
        return (Enforcement(CLAUSE, place, "enforced", "mounts alone: every path of the container is granted"),)
    why = "Landlock is not enabled on this host (boot with lsm=landlock,…)"
    return (Enforcement(CLAUSE, place, "impossible", "Landlock", why),)


def handled(abi: int) -> int:
    """Return every right this ABI can refuse, as the word handled_access_fs."""
    rights = (1 << 13) - 1
    rights |= REFER if abi >= _ABI_REFER else 0
    rights |= TRUNCATE if abi >= _ABI_TRUNCATE else 0
    return rights | (IOCTL_DEV if abi >= _ABI_IOCTL_DEV else 0)


def rights(paths: Paths) -> dict[str, int]:
    """Each granted path with its access word; device nodes can be made nowhere (MAKE_CHAR and MAKE_BLOCK are never granted)."""
    words: dict[str, int] = {}
    for grants, word in ((paths.read, _READ), (paths.write, _WRITE), (paths.execute, EXECUTE)):
        for grant in grants:
            words[grant.path] = words.get(grant.path, 0) | word
    return dict(sorted(words.items()))


def build(filesystem: Filesystem, devices: list[str], abi: int) -> tuple[Step, ...]:
    """Make the ruleset, while every path can still be opened. devices: names beneath /dev that are there."""
    if not abi:
        return ()
    words = [handled(abi)]
    words += [0] if abi >= _ABI_NET else []
    words += [SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL] if abi >= _ABI_SCOPE else []
    attr = b"".join(word.to_bytes(8, "little") for word in words)
    steps = [Step("init", "landlock_create_ruleset", (attr, len(attr), 0), CLAUSE, result="ruleset")]
    for path, word in rights(filesystem.paths).items():
        steps += _rule(path, word & handled(abi))
    for path in ("/proc", "/dev/pts", *(f"/dev/{name}" for name in devices)):
        word = _READ if path == "/proc" else _DEVICE | (READ_DIR if path == "/dev/pts" else 0)
        steps += _rule(path, word & handled(abi))
    return tuple(steps)


def _rule(path: str, word: int) -> list[Step]:
    """Grant the rights below one path. A path that is not there grants nothing.

    A rule on a file may hold rights of files only (EINVAL otherwise), and only the kernel knows which it is: the first rule
    is for both, the second for the directory.
    """
    how = b"".join(value.to_bytes(8, "little") for value in (_O_PATH_CLOEXEC, 0, _RESOLVE_IN_ROOT_NO_MAGICLINKS))
    absent = ("ENOENT", "ENOTDIR")
    return [
        Step("init", "openat2", (_AT_FDCWD, path.encode(), how, len(how)), CLAUSE, result="path", tolerate=absent, note=path),
        *([_add(word & _OF_FILES)] if word & _OF_FILES else []),
        *([_add(word, tolerate=("EINVAL",))] if word & ~_OF_FILES else []),
        Step("init", "close", (Ref("path"),), CLAUSE, needs=("path",)),
    ]


def _add(word: int, tolerate: tuple[str, ...] = ()) -> Step:
    attr = Packed(word.to_bytes(8, "little") + bytes(4), ((8, 4, Ref("path")),))
    args = (Ref("ruleset"), RULE_PATH_BENEATH, attr, 0)
    return Step("init", "landlock_add_rule", args, CLAUSE, needs=("path",), tolerate=tolerate)


def no_new_privs() -> Step:
    """From here on no execve can add a privilege; Landlock and seccomp rest on it."""
    return Step("init", "prctl", (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "capabilities", note="PR_SET_NO_NEW_PRIVS")


def restrict(abi: int) -> tuple[Step, ...]:
    """Put the ruleset in force for init and all it becomes."""
    return (Step("init", "landlock_restrict_self", (Ref("ruleset"), 0), CLAUSE),) if abi else ()
