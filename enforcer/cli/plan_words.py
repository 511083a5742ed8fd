"""One step of a launch program in words: a system call with the kernel's own names for its arguments, as strace has it."""

from __future__ import annotations

import os
import resource
import signal
from typing import TYPE_CHECKING

from enforcer.plan import capabilities, landlock, mount_calls, namespaces, process
from enforcer.plan.step import Filter, Packed, Ref, Slot, Step, Strings, Text
from enforcer.policy.names import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from enforcer.plan.step import Arg

    Words = Callable[[Arg], str]
    Field = tuple[str, int, int, Words]  # name, offset, size in bytes

_AT_FDCWD = -100
_IFREQ_SIZE = 40
_ALL_DESCRIPTORS = 0xFFFFFFFF


def line(step: Step) -> str:
    """Return one step as strace would print it."""
    result = f" = {plain(Ref(step.result))}" if step.result else ""
    return f"{step.call}({', '.join(arguments(step))}){result}"


def arguments(step: Step) -> list[str]:
    """Return the arguments of a step in words; what a call does not name is a number, a text, or bytes in hexadecimal."""
    if step.call == "prctl":
        return _prctl(step.args)
    known = _CALLS.get(step.call, ())
    formats = (*known, *(plain for _ in step.args[len(known) :]))
    return [words(arg) for words, arg in zip(formats, step.args, strict=False)]


def plain(arg: Arg) -> str:  # noqa: PLR0911  (one line a kind)
    """Write an argument that has no other name."""
    match arg:
        case int():
            return "AT_FDCWD" if arg == _AT_FDCWD else str(arg) if arg < 1 << 16 else hex(arg)
        case bytes():
            return _bytes(arg)
        case Ref(name):
            return f"${name.replace(' ', '-')}"
        case Slot(name):
            return f"<{name}>"
        case Text(parts):
            return '"' + "".join(_bytes(part)[1:-1] if isinstance(part, bytes) else plain(part) for part in parts) + '"'
        case Filter(code):
            return f"<filter, {len(code) // 8} instructions>"
        case Strings(slot):
            return f"<{slot}…>"
        case Packed(template, patches):
            fields = [f"+{offset}={plain(source)}" for offset, _, source in patches]
            return "{" + ", ".join([template.rstrip(bytes(1)).hex() or "0", *fields]) + "}"


def _bytes(value: bytes) -> str:
    text = value.rstrip(b"\n")
    if text.isascii() and text.decode().isprintable():
        return f'"{text.decode()}"'
    return f"{{{value.rstrip(bytes(1)).hex() or '0'}}}"


def _prefixed(module: ModuleType, *prefixes: str) -> dict[int, str]:
    """Value → name of a module's constants that begin so."""
    named = {name: value for name, value in vars(module).items() if isinstance(value, int) and name.startswith(prefixes)}
    return {value: name for name, value in named.items()}


def _one(names: Mapping[int, str]) -> Words:
    """Name one value."""
    return lambda arg: names.get(arg, plain(arg)) if isinstance(arg, int) else plain(arg)


def _flags(names: Mapping[int, str], nothing: str = "0") -> Words:
    """Name the bits of a word; the rest in hexadecimal."""

    def words(arg: Arg) -> str:
        if not isinstance(arg, int):
            return plain(arg)
        found = {bit: name for bit, name in names.items() if arg & bit == bit}
        rest = arg & ~sum(found)
        return "|".join([*found.values(), *([hex(rest)] if rest else [])]) or nothing

    return words


def _folded(prefix: str, words: Words) -> Words:
    """Write the prefix that all names share once: PREFIX_{A,B}."""

    def fold(arg: Arg) -> str:
        names = words(arg).split("|")
        if len(names) > 1 and all(name.startswith(prefix) for name in names):
            return f"{prefix}{{{','.join(name.removeprefix(prefix) for name in names)}}}"
        return "|".join(names)

    return fold


def _octal(arg: Arg) -> str:
    return f"0{arg:o}" if isinstance(arg, int) and arg else plain(arg)


def _pointer(arg: Arg) -> str:
    return "NULL" if arg == 0 else plain(arg)


def _struct(*fields: Field) -> Words:
    """Name the fields of a structure; those that are zero are left out."""

    def words(arg: Arg) -> str:
        template, patches = (arg.template, arg.patches) if isinstance(arg, Packed) else (arg, ())
        if not isinstance(template, bytes):
            return plain(arg)
        patched = {offset: source for offset, _, source in patches}
        written = []
        for name, offset, size, inner in fields:
            value: Arg = patched.get(offset, int.from_bytes(template[offset : offset + size], "little"))
            written += [f"{name}={inner(value)}"] if value != 0 else []
        return "{" + ", ".join(written) + "}"

    return words


_SIGNAL = _one({number.value: number.name for number in signal.Signals})
_CAPABILITIES = {1 << number: f"CAP_{name}" for number, name in enumerate(CAPABILITIES)}
_OPEN_NAMES = "O_WRONLY O_RDWR O_CREAT O_EXCL O_NOCTTY O_PATH O_CLOEXEC O_DIRECTORY O_NOFOLLOW".split()
_OPEN = _flags({getattr(os, name): name for name in _OPEN_NAMES}, "O_RDONLY")
_CLONE = _flags(_prefixed(namespaces, "CLONE_"))
_AT = _flags(_prefixed(mount_calls, "AT_SYMLINK", "AT_EMPTY", "AT_RECURSIVE"))
_TREE = _flags({1: "OPEN_TREE_CLONE", os.O_CLOEXEC: "OPEN_TREE_CLOEXEC", **_prefixed(mount_calls, "AT_EMPTY", "AT_RECURSIVE")})
_ATTRIBUTES = _folded("MOUNT_ATTR_", _flags(_prefixed(mount_calls, "MOUNT_ATTR_")))
_ACCESS_NAMES = (
    "EXECUTE WRITE_FILE READ_FILE READ_DIR REMOVE_DIR REMOVE_FILE MAKE_CHAR MAKE_DIR MAKE_REG MAKE_SOCK MAKE_FIFO MAKE_BLOCK "
    "MAKE_SYM REFER TRUNCATE IOCTL_DEV"
).split()
_ACCESS = _folded(
    "LANDLOCK_ACCESS_FS_", _flags({getattr(landlock, name): f"LANDLOCK_ACCESS_FS_{name}" for name in _ACCESS_NAMES})
)
_SCOPES = _flags(
    {
        landlock.SCOPE_ABSTRACT_UNIX_SOCKET: "LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET",
        landlock.SCOPE_SIGNAL: "LANDLOCK_SCOPE_SIGNAL",
    }
)
_IOCTLS = {0x8914: "SIOCSIFFLAGS", process.TIOCSCTTY: "TIOCSCTTY", process.TIOCGPTPEER: "TIOCGPTPEER"}
_IOCTLS |= {process.TIOCSPTLCK: "TIOCSPTLCK"}
_FSCONFIG = {0: "FSCONFIG_SET_FLAG", 1: "FSCONFIG_SET_STRING", 5: "FSCONFIG_SET_FD", 6: "FSCONFIG_CMD_CREATE"}
_LIMITS = {getattr(resource, name): name for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"}
_SECUREBITS_NAMES = (
    "NOROOT NOROOT_LOCKED NO_SETUID_FIXUP NO_SETUID_FIXUP_LOCKED KEEP_CAPS KEEP_CAPS_LOCKED NO_CAP_AMBIENT_RAISE "
    "NO_CAP_AMBIENT_RAISE_LOCKED"
).split()
_SECUREBITS = _folded("SECBIT_", _flags({1 << n: f"SECBIT_{name}" for n, name in enumerate(_SECUREBITS_NAMES)}))


def _sets(arg: Arg) -> str:
    """Write the three sets of capset(2), each in two halves."""
    if not isinstance(arg, bytes):
        return plain(arg)
    words = [int.from_bytes(arg[at : at + 4], "little") for at in range(0, 24, 4)]
    names = _folded("CAP_", _flags(_CAPABILITIES, "0"))
    sets = zip(("effective", "permitted", "inheritable"), words[:3], words[3:], strict=True)
    return "{" + ", ".join(f"{name}={names(low | high << 32)}" for name, low, high in sets) + "}"


def _interface(arg: Arg) -> str:
    """Write a struct ifreq that has flags (netdevice(7)); other calls of ioctl(2) have other arguments."""
    if not isinstance(arg, bytes) or len(arg) != _IFREQ_SIZE:
        return plain(arg)
    flags = _flags({1: "IFF_UP", 0x40: "IFF_RUNNING"})
    return f'{{ifr_name="{arg[:16].rstrip(bytes(1)).decode()}", ifr_flags={flags(int.from_bytes(arg[16:18], "little"))}}}'


def _limit(arg: Arg) -> str:
    """Write a struct rlimit64."""
    if not isinstance(arg, bytes):
        return plain(arg)
    soft, hard = (int.from_bytes(arg[at : at + 8], "little") for at in (0, 8))
    return f"{{rlim_cur={soft}, rlim_max={hard}}}"


def _capability(arg: Arg) -> str:
    return _CAPABILITIES.get(1 << arg, plain(arg)) if isinstance(arg, int) else plain(arg)


_PRCTL: Mapping[int, tuple[str, tuple[Words, ...]]] = {
    process.PR_SET_PDEATHSIG: ("PR_SET_PDEATHSIG", (_SIGNAL,)),
    process.PR_SET_DUMPABLE: ("PR_SET_DUMPABLE", (plain,)),
    capabilities.PR_CAPBSET_DROP: ("PR_CAPBSET_DROP", (_capability,)),
    capabilities.PR_SET_SECUREBITS: ("PR_SET_SECUREBITS", (_SECUREBITS,)),
    landlock.PR_SET_NO_NEW_PRIVS: ("PR_SET_NO_NEW_PRIVS", (plain,)),
    capabilities.PR_CAP_AMBIENT: (
        "PR_CAP_AMBIENT",
        (_one({2: "PR_CAP_AMBIENT_RAISE", 4: "PR_CAP_AMBIENT_CLEAR_ALL"}), _capability),
    ),
}


def _prctl(args: tuple[Arg, ...]) -> list[str]:
    """prctl(2) has as many arguments as its option says; the others are zero."""
    option, *rest = args
    name, formats = _PRCTL.get(option if isinstance(option, int) else -1, (plain(option), (plain,) * len(rest)))
    if option == capabilities.PR_CAP_AMBIENT and rest[0] == capabilities.PR_CAP_AMBIENT_CLEAR_ALL:
        formats = formats[:1]
    return [name, *(words(arg) for words, arg in zip(formats, rest, strict=False))]


_HOW = _struct(("flags", 0, 8, _OPEN), ("mode", 8, 8, _octal), ("resolve", 16, 8, _flags(_prefixed(mount_calls, "RESOLVE_"))))
_MOUNT_ATTR = _struct(
    ("attr_set", 0, 8, _ATTRIBUTES),
    ("attr_clr", 8, 8, _ATTRIBUTES),
    ("propagation", 16, 8, _one({mount_calls.MS_PRIVATE: "MS_PRIVATE"})),
    ("userns_fd", 24, 8, plain),
)
_RULESET = _struct(("handled_access_fs", 0, 8, _ACCESS), ("handled_access_net", 8, 8, plain), ("scoped", 16, 8, _SCOPES))
_CLOSE_ON_EXEC = _flags({os.O_CLOEXEC: "O_CLOEXEC"})
# What each argument of a call is; those that follow are written plainly.
_CALLS: Mapping[str, tuple[Words, ...]] = {
    "bpf": (_one({5: "BPF_PROG_LOAD", 8: "BPF_PROG_ATTACH"}),),
    "capset": (lambda _: "{_LINUX_CAPABILITY_VERSION_3}", _sets),
    "clone": (_SIGNAL,),
    "clone3": (_struct(("flags", 0, 8, _CLONE), ("exit_signal", 32, 8, _SIGNAL), ("cgroup", 80, 8, plain)),),
    "close_range": (plain, _one({_ALL_DESCRIPTORS: "~0U"})),
    "dup3": (plain, plain, _CLOSE_ON_EXEC),
    "fchownat": (plain, plain, plain, plain, _AT),
    "fsconfig": (plain, _one(_FSCONFIG), _pointer, _pointer),
    "fsmount": (plain, _one({1: "FSMOUNT_CLOEXEC"}), _ATTRIBUTES),
    "fsopen": (plain, _one({1: "FSOPEN_CLOEXEC"})),
    "ioctl": (plain, _one(_IOCTLS), _interface),
    "keyctl": (_one({1: "KEYCTL_JOIN_SESSION_KEYRING"}), _pointer),
    "landlock_add_rule": (
        plain,
        _one({1: "LANDLOCK_RULE_PATH_BENEATH"}),
        _struct(("allowed_access", 0, 8, _ACCESS), ("parent_fd", 8, 4, plain)),
    ),
    "landlock_create_ruleset": (_RULESET,),
    "mkdirat": (plain, plain, _octal),
    "mknodat": (plain, plain, lambda arg: f"S_IFREG|0{arg & 0o7777:o}" if isinstance(arg, int) else plain(arg)),
    "mount_setattr": (plain, plain, _AT, _MOUNT_ATTR),
    "move_mount": (plain, plain, plain, plain, _flags(_prefixed(mount_calls, "MOVE_MOUNT_"))),
    "open_tree": (plain, plain, _TREE),
    "openat": (plain, plain, _OPEN, _octal),
    "openat2": (plain, plain, _HOW),
    "prlimit64": (plain, _one(_LIMITS), _limit, _pointer),
    "rt_sigaction": (_SIGNAL, lambda _: "SIG_DFL", _pointer),
    "rt_sigprocmask": (_one({2: "SIG_SETMASK"}), lambda _: "[]", _pointer),
    "seccomp": (_one({1: "SECCOMP_SET_MODE_FILTER"}),),
    "socket": (_one({2: "AF_INET"}), _flags({2: "SOCK_DGRAM", os.O_CLOEXEC: "SOCK_CLOEXEC"})),
    "umask": (_octal,),
    "umount2": (plain, _one({2: "MNT_DETACH"})),
    "unshare": (_CLONE,),
}
