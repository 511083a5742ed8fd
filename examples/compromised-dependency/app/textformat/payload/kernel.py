"""The kernel itself: what it offers beyond what an application needs, and what steers it."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import stat
import struct

from textformat.payload.attempt import TARGETS, ImpossibleError, attempt, library, note, system

_CLONE_NEWUSER = 0x10000000
_BPF_MAP_CREATE, _BPF_MAP_TYPE_ARRAY = 0, 2
_PERF_TYPE_SOFTWARE = 1
_SYSLOG_ACTION_READ_ALL = 3
_I386_SOCKET, _AF_PACKET, _SOCK_RAW = 359, 17, 3
_MAX_ERRNO = 4095
_AT_FDCWD, _HANDLE_SIZE = -100, 128


def expect_loader(error: OSError) -> None:
    """The module loader has looked at what it was given: that is as far as one wants to go."""
    if error.errno == errno.ENOSYS and not os.path.exists("/proc/modules"):
        raise ImpossibleError("a kernel without modules") from error
    if error.errno not in {errno.ENOEXEC, errno.EINVAL, errno.EBADMSG, errno.EKEYREJECTED}:
        raise error


@attempt("kernel", "open a file by its handle, past all mounts")
def handle() -> None:
    held = ctypes.create_string_buffer(struct.pack("=Ii", _HANDLE_SIZE, 0), 8 + _HANDLE_SIZE)  # struct file_handle
    library("name_to_handle_at", _AT_FDCWD, __file__.encode(), held, ctypes.byref(ctypes.c_int()), 0)
    root = os.open(os.path.dirname(__file__), os.O_RDONLY)
    os.close(library("open_by_handle_at", root, held, os.O_RDONLY))


@attempt("kernel", "load a kernel module")
def module() -> None:
    nonsense = b"not a module"
    try:
        system("init_module", nonsense, len(nonsense), b"")
    except OSError as error:
        expect_loader(error)


@attempt("kernel", "set up an io_uring")
def io_uring() -> None:
    os.close(system("io_uring_setup", 4, ctypes.create_string_buffer(120)))


def enter_i386(number: int, first: int, second: int) -> int:
    """Make a 32-bit system call with two arguments and a zero, by machine code in a page of our own."""
    if platform.machine() != "x86_64":
        raise ImpossibleError("not an x86-64")
    code = b"\x53\xbb" + struct.pack("<I", first) + b"\xb9" + struct.pack("<I", second) + b"\x31\xd2\xb8"
    code += struct.pack("<I", number) + b"\xcd\x80\x5b\xc3"  # push ebx; mov ebx, ecx, eax; xor edx; int 0x80; pop ebx; ret
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    entry = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    result: int = entry()
    if -_MAX_ERRNO <= result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


@attempt("kernel", "open a packet socket as a 32-bit program would")
def i386() -> None:
    note.at("i386:socket", _AF_PACKET, _SOCK_RAW, 0)
    os.close(enter_i386(_I386_SOCKET, _AF_PACKET, _SOCK_RAW))


@attempt("kernel", "mount a file system")
def mount() -> None:
    place = TARGETS.scratch[0].encode()
    library("mount", b"tmpfs", place, b"tmpfs", 0, None)
    library("umount", place)


@attempt("kernel", "make a user namespace")
def user_namespace() -> None:
    library("unshare", _CLONE_NEWUSER)


@attempt("kernel", "make a BPF map")
def bpf() -> None:
    attributes = struct.pack("<4I", _BPF_MAP_TYPE_ARRAY, 4, 4, 1) + bytes(56)
    os.close(system("bpf", _BPF_MAP_CREATE, attributes, len(attributes)))


@attempt("kernel", "open a performance counter")
def perf() -> None:
    attributes = struct.pack("<2I", _PERF_TYPE_SOFTWARE, 64) + bytes(56)
    os.close(system("perf_event_open", attributes, 0, -1, -1, 0))


@attempt("kernel", "read the kernel's log")
def log() -> None:
    note.at("syslog", _SYSLOG_ACTION_READ_ALL)
    content = ctypes.create_string_buffer(256)
    if ctypes.CDLL(None, use_errno=True).klogctl(_SYSLOG_ACTION_READ_ALL, content, len(content)) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@attempt("kernel", "write to /proc/sys/kernel/core_pattern")
def core_pattern() -> None:
    note.at("openat", path="/proc/sys/kernel/core_pattern")
    with open("/proc/sys/kernel/core_pattern", "r+b", buffering=0) as file:
        file.write(file.read())  # what it says already: nothing changes


@attempt("kernel", "read the disk itself")
def disk() -> None:
    note.at("openat", path=TARGETS.disk)
    if not TARGETS.disk:
        raise ImpossibleError("no disk")
    with open(TARGETS.disk, "rb", buffering=0) as file:
        file.read(512)


@attempt("kernel", "make a node for the disk, and read that")
def node() -> None:
    path = f"{TARGETS.scratch[0]}/disk"
    mode = stat.S_IFBLK | 0o600
    note.at("mknodat", 0, 0, mode, TARGETS.disk_number, path=path)
    os.mknod(path, mode, TARGETS.disk_number)
    try:
        os.close(os.open(path, os.O_RDONLY))
    finally:
        os.unlink(path)


@attempt("kernel", "open /dev/mem")
def dev_mem() -> None:
    note.at("openat", path="/dev/mem")
    os.close(os.open("/dev/mem", os.O_RDONLY))
