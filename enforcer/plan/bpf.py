"""Classic BPF as seccomp(2) takes it: checked as the kernel checks it, run on one call, explored over all numbers, printed.

A compiler of filters needs a simulator: tests ask what a filter *decides*, and `linux.seccomp` asks before it hands one out.
Sources: linux/filter.h, linux/seccomp.h, bpf_check_classic in net/core/filter.c, seccomp_check_filter in kernel/seccomp.c,
Documentation/networking/filter.rst. Words are 32 bits, little-endian.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# linux/audit.h: the word at offset 4 of struct seccomp_data.
AUDIT_ARCH_I386 = 0x40000003
AUDIT_ARCH_ARM = 0x40000028
AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_AARCH64 = 0xC00000B7

# linux/seccomp.h: the action in the upper half of a filter's answer, data (an errno) in the lower half.
SECCOMP_RET_KILL_PROCESS = 0x80000000
SECCOMP_RET_KILL_THREAD = 0x00000000
SECCOMP_RET_TRAP = 0x00030000
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_USER_NOTIF = 0x7FC00000
SECCOMP_RET_TRACE = 0x7FF00000
SECCOMP_RET_LOG = 0x7FFC0000
SECCOMP_RET_ALLOW = 0x7FFF0000
_ACTIONS = {
    SECCOMP_RET_KILL_PROCESS: "KILL_PROCESS",
    SECCOMP_RET_KILL_THREAD: "KILL_THREAD",
    SECCOMP_RET_TRAP: "TRAP",
    SECCOMP_RET_ERRNO: "ERRNO",
    SECCOMP_RET_USER_NOTIF: "USER_NOTIF",
    SECCOMP_RET_TRACE: "TRACE",
    SECCOMP_RET_LOG: "LOG",
    SECCOMP_RET_ALLOW: "ALLOW",
}

# linux/filter.h, BPF_MAXINSNS; linux/bpf_common.h, BPF_MEMWORDS; struct seccomp_data is 64 bytes.
MAX_INSTRUCTIONS = 4096
MEMORY_WORDS = 16
DATA_SIZE = 64
WORD = 0xFFFFFFFF
WORD_BITS = 32

# Classes and modes that a seccomp filter may use, as bpf_common.h combines them.
LD_ABS, LD_LEN, LD_IMM, LD_MEM = 0x20, 0x80, 0x00, 0x60
LDX_LEN, LDX_IMM, LDX_MEM = 0x81, 0x01, 0x61
ST, STX, TAX, TXA, NEG = 0x02, 0x03, 0x07, 0x87, 0x84
JA, JEQ, JGT, JGE, JSET = 0x05, 0x15, 0x25, 0x35, 0x45
RET_K, RET_A = 0x06, 0x16
DIV, LSH, RSH, AND = 0x34, 0x64, 0x74, 0x54
_FROM_X = 0x08  # BPF_X: the operand is X, not k

_ALU: Mapping[int, tuple[str, Callable[[int, int], int]]] = {
    0x04: ("add", lambda a, b: a + b),
    0x14: ("sub", lambda a, b: a - b),
    0x24: ("mul", lambda a, b: a * b),
    DIV: ("div", lambda a, b: a // b),
    0x44: ("or", lambda a, b: a | b),
    AND: ("and", lambda a, b: a & b),
    LSH: ("lsh", lambda a, b: a << (b & 31)),
    RSH: ("rsh", lambda a, b: a >> (b & 31)),
    0xA4: ("xor", lambda a, b: a ^ b),
}
_JUMPS: Mapping[int, tuple[str, Callable[[int, int], bool]]] = {
    JEQ: ("jeq", lambda a, b: a == b),
    JGT: ("jgt", lambda a, b: a > b),
    JGE: ("jge", lambda a, b: a >= b),
    JSET: ("jset", lambda a, b: bool(a & b)),
}
_OTHERS = frozenset({LD_ABS, LD_LEN, LD_IMM, LD_MEM, LDX_LEN, LDX_IMM, LDX_MEM, ST, STX, TAX, TXA, NEG, JA, RET_K, RET_A})
_PLAIN = {
    LD_LEN: "ld   len",
    LD_IMM: "ld   #{:#x}",
    LD_MEM: "ld   m[{}]",
    LDX_LEN: "ldx  len",
    LDX_IMM: "ldx  #{:#x}",
    LDX_MEM: "ldx  m[{}]",
    ST: "st   m[{}]",
    STX: "stx  m[{}]",
    TAX: "tax",
    TXA: "txa",
    NEG: "neg",
    RET_A: "ret  a",
}
_RECORD = struct.Struct("<HBBI")


class Instruction(NamedTuple):
    """struct sock_filter: opcode, jump offsets when true and false, operand."""

    code: int
    jt: int
    jf: int
    k: int


def pack(instructions: Iterable[Instruction]) -> bytes:
    """Put instructions into the bytes that struct sock_fprog points to."""
    return b"".join(_RECORD.pack(*instruction) for instruction in instructions)


@functools.lru_cache(maxsize=32)
def unpack(code: bytes) -> tuple[Instruction, ...]:
    """Read a filter. Raises ValueError, with the instruction's index, for what the kernel would refuse to load."""
    if not code or len(code) % _RECORD.size:
        raise ValueError(f"{len(code)} bytes are not a whole number of 8-byte instructions")
    instructions = tuple(Instruction._make(record) for record in _RECORD.iter_unpack(code))
    if len(instructions) > MAX_INSTRUCTIONS:
        raise ValueError(f"{len(instructions)} instructions, the kernel takes {MAX_INSTRUCTIONS}")
    for index, instruction in enumerate(instructions):
        fault = _fault(instruction, len(instructions) - index - 1)
        if fault:
            raise ValueError(f"instruction {index}: {fault}")
    if instructions[-1].code not in {RET_K, RET_A}:
        raise ValueError("the last instruction does not return")
    _check_memory(instructions)
    return instructions


def _fault(instruction: Instruction, following: int) -> str:
    """Say why the kernel refuses this instruction, with `following` more behind it; "" when it does not."""
    code, jt, jf, k = instruction
    plain = code & ~_FROM_X
    faults = (
        (plain not in _JUMPS and plain not in _ALU and code not in _OTHERS, f"opcode {code:#04x} is not for seccomp"),
        (plain in _JUMPS and max(jt, jf) >= following, "jumps out of the filter"),
        (code == JA and k >= following, "jumps out of the filter"),
        (code == DIV and k == 0, "divides by zero"),
        (code in {LSH, RSH} and k >= WORD_BITS, "shifts by more than 31 bits"),
        (code == LD_ABS and (k >= DATA_SIZE or k % 4 != 0), f"loads from offset {k} of struct seccomp_data"),
        (code in {LD_MEM, LDX_MEM, ST, STX} and k >= MEMORY_WORDS, "no such memory word"),
    )
    return next((fault for applies, fault in faults if applies), "")


def _check_memory(instructions: Sequence[Instruction]) -> None:
    """Refuse a load from a memory word that some path has not stored to, as check_load_and_stores does."""
    everything = (1 << MEMORY_WORDS) - 1
    stored = [everything] * len(instructions)
    valid = 0
    for index, (code, jt, jf, k) in enumerate(instructions):
        valid &= stored[index]
        if code in {ST, STX}:
            valid |= 1 << k
        elif code in {LD_MEM, LDX_MEM} and not valid >> k & 1:
            raise ValueError(f"instruction {index}: loads memory word {k} before it is stored")
        elif code == JA or code & ~_FROM_X in _JUMPS:
            for target in (k,) if code == JA else (jt, jf):
                stored[index + 1 + target] &= valid
            valid = everything


def seccomp_data(nr: int, arch: int, args: Sequence[int] = (), instruction_pointer: int = 0) -> bytes:
    """Build struct seccomp_data: number (taken modulo 2^32), AUDIT_ARCH_*, up to six unsigned 64-bit arguments."""
    padded = [*args, 0, 0, 0, 0, 0, 0][:6]
    return struct.pack("<IIQ6Q", nr & WORD, arch, instruction_pointer, *padded)


def run(code: bytes, data: bytes) -> int:
    """What the filter answers for this struct seccomp_data: SECCOMP_RET_* with its data.

    Raises ValueError when the kernel would refuse the filter, or when the data is not 64 bytes.
    """
    if len(data) != DATA_SIZE:
        raise ValueError(f"struct seccomp_data has {DATA_SIZE} bytes, not {len(data)}")
    return _run(unpack(code), struct.unpack("<16I", data))


def _run(instructions: Sequence[Instruction], words: Sequence[int]) -> int:
    a = x = at = 0
    memory = [0] * MEMORY_WORDS
    while True:
        code, jt, jf, k = instructions[at]
        at += 1
        if code == LD_ABS:
            a = words[k >> 2]
        elif code & ~_FROM_X in _JUMPS:
            at += jt if _JUMPS[code & ~_FROM_X][1](a, x if code & _FROM_X else k) else jf
        elif code == RET_K:
            return k
        elif code == RET_A:
            return a
        elif code == JA:
            at += k
        elif code in {ST, STX}:
            memory[k] = a if code == ST else x
        elif code == DIV | _FROM_X and x == 0:
            return SECCOMP_RET_KILL_THREAD
        else:
            a, x = _compute(code, k, a, x, memory)


def _compute(code: int, k: int, a: int, x: int, memory: Sequence[int]) -> tuple[int, int]:
    """Return A and X after an instruction that neither jumps, returns, stores nor looks at the data."""
    if code == NEG:
        return -a & WORD, x
    if code & ~_FROM_X in _ALU:
        return _ALU[code & ~_FROM_X][1](a, x if code & _FROM_X else k) & WORD, x
    if code in {TAX, TXA}:
        return (a, a) if code == TAX else (x, x)
    value = {LD_IMM: k, LDX_IMM: k, LD_LEN: DATA_SIZE, LDX_LEN: DATA_SIZE}.get(code)
    if value is None:
        value = memory[k]
    return (value, x) if code in {LD_IMM, LD_LEN, LD_MEM} else (a, value)


def outcomes(code: bytes, nr: int, arch: int) -> frozenset[int]:
    """Every answer that the filter can give to this number, whatever the arguments and the instruction pointer are.

    What is loaded from them is unknown, and both ways of a comparison with an unknown are taken: nothing is missed, and an
    answer may be listed that no arguments lead to. Raises ValueError when the kernel would refuse the filter.
    """
    instructions = unpack(code)
    known = {0: nr & WORD, 4: arch}
    answers: set[int] = set()
    seen: set[tuple[int, int | None]] = set()
    ways: list[tuple[int, int | None]] = [(0, 0)]
    while ways:
        way = ways.pop()
        if way in seen:
            continue
        seen.add(way)
        at, a = way
        instruction = instructions[at]
        if instruction.code == RET_K:
            answers.add(instruction.k)
        else:
            ways.extend(_ways(instruction, at + 1, a, known))
    return frozenset(answers)


def _ways(instruction: Instruction, following: int, a: int | None, known: Mapping[int, int]) -> list[tuple[int, int | None]]:
    """Where the filter can go on from an instruction, and what A then holds there (None: unknown)."""
    code, jt, jf, k = instruction
    if code == JA:
        return [(following + k, a)]
    if code in _JUMPS:
        if a is None:
            return [(following + jt, a), (following + jf, a)]
        return [(following + (jt if _JUMPS[code][1](a, k) else jf), a)]
    if code in {LD_ABS, LD_IMM}:
        return [(following, known.get(k) if code == LD_ABS else k)]
    if code in _ALU:
        return [(following, None if a is None else _ALU[code][1](a, k) & WORD)]
    raise ValueError(f"opcode {code:#04x} cannot be followed without arguments")


def decisions(code: bytes, arch: int, numbers: Iterable[int]) -> Mapping[int, frozenset[int]]:
    """`outcomes` for each of these numbers on one AUDIT_ARCH_*."""
    return {nr: outcomes(code, nr, arch) for nr in numbers}


def disassemble(code: bytes) -> list[str]:
    """One line for each instruction, jump targets as indexes. Raises ValueError when the kernel would refuse the filter."""
    return [f"{index:4}  {_text(instruction, index + 1)}" for index, instruction in enumerate(unpack(code))]


def _text(instruction: Instruction, following: int) -> str:
    code, jt, jf, k = instruction
    operand = "x" if code & _FROM_X else f"{k:#x}"
    if code & ~_FROM_X in _JUMPS:
        return f"{_JUMPS[code & ~_FROM_X][0]:4} {operand}  true {following + jt}  false {following + jf}"
    if code & ~_FROM_X in _ALU:
        return f"{_ALU[code & ~_FROM_X][0]:4} {operand}"
    if code == RET_K:
        return f"ret  {action_text(k)}"
    if code == LD_ABS:
        return f"ld   {_field(k)}"
    return f"ja   {following + k}" if code == JA else _PLAIN[code].format(k)


def action_text(action: int) -> str:
    """Return "ALLOW", "ERRNO 38", "KILL_PROCESS": the answer as seccomp(2) spells it, without SECCOMP_RET_."""
    name = _ACTIONS.get(action & 0xFFFF0000, f"{action:#x}")
    data = action & 0xFFFF
    return f"{name} {data}" if data else name


def _field(offset: int) -> str:
    """Name the field of struct seccomp_data, halves of 64-bit fields apart: "nr", "arch", "args[1].high"."""
    if offset < 8:  # noqa: PLR2004 the two words before instruction_pointer
        return "arch" if offset else "nr"
    half = "high" if offset % 8 else "low"
    index = (offset - 16) // 8
    return f"instruction_pointer.{half}" if index < 0 else f"args[{index}].{half}"
