"""The C library, loaded once: raw system calls by name or number, and the buffers they need.

This is the only module that imports ctypes, and it is on the launch path: it imports nothing else of weight. Numbers are those
of Linux's unistd.h for x86-64 and for the architectures that use asm-generic/unistd.h (aarch64, riscv64).
"""

from __future__ import annotations

import ctypes
import os

# name: (x86-64, asm-generic). -1: the architecture does not have it.
_NUMBERS = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "capget": (125, 90),
    "capset": (126, 91),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "execve": (59, 221),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "getgid": (104, 176),
    "getuid": (102, 174),
    "ioctl": (16, 29),
    "keyctl": (250, 219),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "mkdirat": (258, 34),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "ptrace": (101, 117),
    "recvmsg": (47, 212),
    "rt_sigprocmask": (14, 135),
    "rt_sigtimedwait": (128, 137),
    "socketpair": (53, 199),
    "seccomp": (317, 277),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "signalfd4": (289, 74),
    "umount2": (166, 39),
    "unlinkat": (263, 35),
    "unshare": (272, 97),
}
MACHINE = os.uname().machine
_COLUMN = 0 if MACHINE == "x86_64" else 1

# include/uapi/linux/fcntl.h, openat2.h
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_long = ctypes.c_long

Buffer = ctypes.Array[ctypes.c_char]
Argument = int | bytes | Buffer | None


def raw(number: int, *args: Argument) -> int:
    """Make one system call by number; the result, or -errno. Integers are passed as 64-bit words, bytes as a pointer."""
    result: int = _syscall(_long(number), *[_long(a) if isinstance(a, int) else a for a in args])
    return -ctypes.get_errno() if result == -1 else result


def call(name: str, *args: Argument) -> int:
    """Make one system call by name.

    Raises OSError with the kernel's errno and the call's name as its filename.
    """
    result = raw(_NUMBERS[name][_COLUMN], *args)
    if result < 0:
        raise OSError(-result, os.strerror(-result), name)
    return result


def number(name: str) -> int:
    """Return the number of one of the calls this module knows, on this machine."""
    return _NUMBERS[name][_COLUMN]


def buffer(initial: bytes | int) -> Buffer:
    """Make memory the kernel may write to: a copy of `initial`, or that many zero bytes."""
    if isinstance(initial, bytes):
        return ctypes.create_string_buffer(initial, len(initial))
    return ctypes.create_string_buffer(initial)


def address(memory: Buffer) -> int:
    """Where the buffer lies, for a pointer inside a structure. The caller keeps the buffer alive."""
    return ctypes.addressof(memory)


def overwrite(start: int, content: bytes) -> None:
    """Write over this process's own memory (its command line, which /proc/PID/cmdline shows)."""
    ctypes.memmove(start, content, len(content))


def openat2(dirfd: int, path: bytes | str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2): open `path` with struct open_how {flags, mode, resolve}; returns a descriptor (close-on-exec added)."""
    how = b"".join(word.to_bytes(8, "little") for word in (flags | os.O_CLOEXEC, mode, resolve))
    return call("openat2", dirfd, os.fsencode(path) + b"\0", how, len(how))
