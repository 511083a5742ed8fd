"""The v2 way to say which devices may be opened: a BPF_PROG_TYPE_CGROUP_DEVICE program, put together here as bytes.

The kernel calls it for every open and mknod of a device in the group; 0 refuses with EPERM, and where several programs are
attached to a group and its ancestors, all must agree. See bpf(2), include/uapi/linux/bpf.h (struct bpf_cgroup_dev_ctx, union
bpf_attr), Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

BPF_PROG_LOAD, BPF_PROG_ATTACH = 5, 8
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
# No helper is called, so the kernel asks for no particular licence; the field may not be NULL.
LICENSE = b"none\0"


@dataclass(frozen=True, slots=True, order=True)
class DeviceRule:
    """Which accesses to which devices pass. kind: "c" or "b"; minor None: every one; access: of "r", "w", "m" (mknod)."""

    kind: Literal["c", "b"]
    major: int
    minor: int | None
    access: str = "rwm"


# null zero full random urandom tty ptmx and the slaves of a devpts (Documentation/admin-guide/devices.txt; all slaves have
# major 136, drivers/tty/pty.c). Nobody makes nodes: "m" is not among the accesses.
DEFAULT_DEVICES = (
    DeviceRule("c", 1, 3, "rw"),
    DeviceRule("c", 1, 5, "rw"),
    DeviceRule("c", 1, 7, "rw"),
    DeviceRule("c", 1, 8, "rw"),
    DeviceRule("c", 1, 9, "rw"),
    DeviceRule("c", 5, 0, "rw"),
    DeviceRule("c", 5, 2, "rw"),
    DeviceRule("c", 136, None, "rw"),
)

_KIND = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ALL = 7

# Operation bytes: class | operation | source.
_LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOVE_REGISTER, _MOVE = 0xBF, 0xB7
_AND, _SHIFT_RIGHT = 0x57, 0x77
_JUMP_NOT_EQUAL = 0x55
_EXIT = 0x95
# Registers: r1 is the context; what is loaded from it stays in r2 to r5.
_RESULT, _CONTEXT, _TYPE, _REQUEST, _MAJOR, _MINOR, _REST = range(7)


def program(rules: tuple[DeviceRule, ...]) -> bytes:
    """The instructions (8 bytes each) of a program that lets pass exactly what one of the rules does."""
    code = [
        _instruction(_LOAD_WORD, _TYPE, _CONTEXT, 0),  # u32 access_type: access << 16 | type
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, 4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, 8),
        _instruction(_MOVE_REGISTER, _REQUEST, _TYPE),
        _instruction(_SHIFT_RIGHT, _REQUEST, constant=16),
        _instruction(_AND, _TYPE, constant=0xFFFF),
    ]
    for rule in rules:
        code += _rule(rule)
    return b"".join([*code, *_return(0)])


def _rule(rule: DeviceRule) -> list[bytes]:
    """The tests of one rule: the first that fails jumps behind the rule."""
    tests: list[tuple[list[bytes], int, int]] = [([], _TYPE, _KIND[rule.kind])]
    allowed = sum(_ACCESS[letter] for letter in set(rule.access))
    if allowed != _ALL:
        beyond = [_instruction(_MOVE_REGISTER, _REST, _REQUEST), _instruction(_AND, _REST, constant=_ALL & ~allowed)]
        tests.append((beyond, _REST, 0))
    tests.append(([], _MAJOR, rule.major))
    if rule.minor is not None:
        tests.append(([], _MINOR, rule.minor))
    code = _return(1)
    for prepare, register, value in reversed(tests):
        code = [*prepare, _instruction(_JUMP_NOT_EQUAL, register, offset=len(code), constant=value), *code]
    return code


def _return(value: int) -> list[bytes]:
    return [_instruction(_MOVE, _RESULT, constant=value), _instruction(_EXIT)]


def _instruction(operation: int, destination: int = 0, source: int = 0, offset: int = 0, constant: int = 0) -> bytes:
    return struct.pack("<BBhi", operation, source << 4 | destination, offset, constant)


def load_attr(instructions: int, code: int = 0, license_text: int = 0) -> bytes:
    """The union bpf_attr of BPF_PROG_LOAD for so many instructions; the pointers lie at offsets 8 and 16."""
    head = struct.pack("<IIQQ", BPF_PROG_TYPE_CGROUP_DEVICE, instructions, code, license_text)
    return head + bytes(24) + b"enforcer".ljust(16, b"\0") + struct.pack("<II", 0, BPF_CGROUP_DEVICE)


def attach_attr(group: int = 0, loaded: int = 0) -> bytes:
    """The union bpf_attr of BPF_PROG_ATTACH; the descriptors of group and program lie at offsets 0 and 4."""
    return struct.pack("<IIII", group, loaded, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI)
