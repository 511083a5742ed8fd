from __future__ import annotations

import struct

import pytest

from enforcer.plan import bpf
from enforcer.plan.bpf import Instruction, pack

X = 0x08
RET_A = Instruction(bpf.RET_A, 0, 0, 0)


def _ret(k: int) -> Instruction:
    return Instruction(bpf.RET_K, 0, 0, k)


def _answer(*instructions: Instruction, nr: int = 0, args: tuple[int, ...] = ()) -> int:
    return bpf.run(pack(instructions), bpf.seccomp_data(nr, bpf.AUDIT_ARCH_X86_64, args, 0x1122334455667788))


def test_seccomp_data_is_the_kernels_structure() -> None:
    data = bpf.seccomp_data(-1, bpf.AUDIT_ARCH_AARCH64, (1, 2**64 - 1), 7)
    assert data == struct.pack("<IIQ6Q", 2**32 - 1, 0xC00000B7, 7, 1, 2**64 - 1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("offset", "word"),
    [
        (0, 42),
        (4, bpf.AUDIT_ARCH_X86_64),
        (8, 0x55667788),
        (12, 0x11223344),
        (16, 0xBBBBBBBB),
        (20, 0xAAAAAAAA),
        (56, 6),
        (60, 0),
    ],
)
def test_loads_are_little_endian_words(offset: int, word: int) -> None:
    load = Instruction(bpf.LD_ABS, 0, 0, offset)
    assert _answer(load, RET_A, nr=42, args=(0xAAAAAAAABBBBBBBB, 2, 3, 4, 5, 6)) == word


@pytest.mark.parametrize(
    ("code", "a", "operand", "result"),
    [
        (0x04, 0xFFFFFFFF, 2, 1),
        (0x14, 1, 2, 0xFFFFFFFF),
        (0x24, 0x10000, 0x10000, 0),
        (bpf.DIV, 7, 2, 3),
        (0x44, 0xF0, 0x0F, 0xFF),
        (bpf.AND, 0xF0, 0x3C, 0x30),
        (bpf.LSH, 0x80000001, 1, 2),
        (bpf.RSH, 0x80000000, 31, 1),
        (0xA4, 0xFF, 0x0F, 0xF0),
    ],
)
def test_arithmetic_wraps_at_32_bits_with_k_and_with_x(code: int, a: int, operand: int, result: int) -> None:
    load = Instruction(bpf.LD_IMM, 0, 0, a)
    assert _answer(load, Instruction(code, 0, 0, operand), RET_A) == result
    assert _answer(load, Instruction(bpf.LDX_IMM, 0, 0, operand), Instruction(code | X, 0, 0, 0), RET_A) == result


def test_division_by_an_x_of_zero_ends_the_thread() -> None:
    assert _answer(Instruction(bpf.LD_IMM, 0, 0, 7), Instruction(bpf.DIV | X, 0, 0, 0), _ret(1)) == bpf.SECCOMP_RET_KILL_THREAD


@pytest.mark.parametrize(
    ("code", "a", "k", "taken"),
    [
        (bpf.JEQ, 5, 5, True),
        (bpf.JEQ, 5, 6, False),
        (bpf.JGT, 6, 5, True),
        (bpf.JGT, 5, 5, False),
        (bpf.JGE, 5, 5, True),
        (bpf.JGE, 4, 5, False),
        (bpf.JGT, 0x80000000, 1, True),
        (bpf.JSET, 6, 4, True),
        (bpf.JSET, 6, 1, False),
    ],
)
def test_jumps_compare_unsigned_with_k_and_with_x(code: int, a: int, k: int, *, taken: bool) -> None:
    load = Instruction(bpf.LD_IMM, 0, 0, a)
    assert _answer(load, Instruction(code, 0, 1, k), _ret(1), _ret(0)) == taken
    assert _answer(load, Instruction(bpf.LDX_IMM, 0, 0, k), Instruction(code | X, 0, 1, 0), _ret(1), _ret(0)) == taken


def test_memory_registers_and_long_jumps() -> None:
    assert (
        _answer(
            Instruction(bpf.LD_LEN, 0, 0, 0),  # A = 64
            Instruction(bpf.ST, 0, 0, 15),
            Instruction(bpf.TAX, 0, 0, 0),
            Instruction(bpf.NEG, 0, 0, 0),  # A = -64
            Instruction(bpf.STX, 0, 0, 3),
            Instruction(bpf.JA, 0, 0, 1),
            _ret(1),
            Instruction(bpf.LDX_MEM, 0, 0, 3),
            Instruction(0x04 | X, 0, 0, 0),  # A = 0
            Instruction(0x04, 0, 0, 5),
            Instruction(bpf.LDX_LEN, 0, 0, 0),
            Instruction(0x04 | X, 0, 0, 0),  # A = 69
            Instruction(bpf.TAX, 0, 0, 0),
            Instruction(bpf.LD_MEM, 0, 0, 15),
            Instruction(bpf.TXA, 0, 0, 0),
            RET_A,
        )
        == 69
    )


@pytest.mark.parametrize(
    ("instructions", "fault"),
    [
        ([Instruction(bpf.JEQ, 1, 0, 0), _ret(0)], "jumps out"),
        ([Instruction(bpf.JEQ, 0, 1, 0), _ret(0)], "jumps out"),
        ([Instruction(bpf.JA, 0, 0, 1), _ret(0)], "jumps out"),
        ([Instruction(bpf.JA, 0, 0, 0xFFFFFFFF), _ret(0)], "jumps out"),
        ([Instruction(bpf.LD_ABS, 0, 0, 64), _ret(0)], "offset 64"),
        ([Instruction(bpf.LD_ABS, 0, 0, 2), _ret(0)], "offset 2"),
        ([Instruction(0x30, 0, 0, 0), _ret(0)], "opcode 0x30"),  # BPF_LD | BPF_B | BPF_ABS
        ([Instruction(0x40, 0, 0, 0), _ret(0)], "opcode 0x40"),  # BPF_LD | BPF_IND
        ([Instruction(0x94, 0, 0, 3), _ret(0)], "opcode 0x94"),  # BPF_MOD
        ([Instruction(bpf.DIV, 0, 0, 0), _ret(0)], "divides by zero"),
        ([Instruction(bpf.LSH, 0, 0, 32), _ret(0)], "shifts"),
        ([Instruction(bpf.RSH, 0, 0, 32), _ret(0)], "shifts"),
        ([Instruction(bpf.ST, 0, 0, 16), _ret(0)], "memory word"),
        ([Instruction(bpf.LD_MEM, 0, 0, 0), _ret(0)], "before it is stored"),
        (
            [Instruction(bpf.JEQ, 1, 0, 0), Instruction(bpf.ST, 0, 0, 2), Instruction(bpf.LD_MEM, 0, 0, 2), _ret(0)],
            "before it is stored",
        ),
        ([Instruction(bpf.LD_IMM, 0, 0, 0)], "does not return"),
        ([_ret(0)] * 4097, "4097 instructions"),
        ([], "whole number"),
    ],
)
def test_what_the_kernel_refuses_is_refused(instructions: list[Instruction], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        bpf.unpack(pack(instructions))


def test_a_cut_off_filter_and_cut_off_data_are_refused() -> None:
    with pytest.raises(ValueError, match="whole number"):
        bpf.unpack(pack([_ret(0)])[:-1])
    with pytest.raises(ValueError, match="64 bytes"):
        bpf.run(pack([_ret(0)]), bytes(63))


def test_the_longest_filter_and_the_farthest_jump_are_taken() -> None:
    assert _answer(*[_ret(3)] * 4096) == 3
    assert _answer(Instruction(bpf.JEQ, 255, 255, 0), *[_ret(0)] * 255, _ret(9)) == 9


def test_outcomes_follow_both_ways_of_an_unknown_argument_and_one_way_of_a_known_number() -> None:
    code = pack(
        [
            Instruction(bpf.LD_ABS, 0, 0, 4),
            Instruction(bpf.JEQ, 1, 0, bpf.AUDIT_ARCH_X86_64),
            _ret(bpf.SECCOMP_RET_KILL_PROCESS),
            Instruction(bpf.LD_ABS, 0, 0, 0),
            Instruction(bpf.JEQ, 0, 4, 7),
            Instruction(bpf.LD_ABS, 0, 0, 16),
            Instruction(bpf.AND, 0, 0, 1),
            Instruction(bpf.JEQ, 0, 1, 0),
            _ret(bpf.SECCOMP_RET_ALLOW),
            _ret(bpf.SECCOMP_RET_ERRNO | 1),
        ]
    )
    refused = frozenset({bpf.SECCOMP_RET_ERRNO | 1})
    assert bpf.decisions(code, bpf.AUDIT_ARCH_X86_64, (6, 7, -1)) == {
        6: refused,
        7: refused | {bpf.SECCOMP_RET_ALLOW},
        -1: refused,
    }
    assert bpf.outcomes(code, 7, bpf.AUDIT_ARCH_I386) == {bpf.SECCOMP_RET_KILL_PROCESS}


def test_disassembly_names_fields_targets_and_actions() -> None:
    code = pack(
        [
            Instruction(bpf.LD_ABS, 0, 0, 28),
            Instruction(bpf.AND, 0, 0, 0xF),
            Instruction(bpf.JGE, 0, 1, 3),
            _ret(bpf.SECCOMP_RET_ERRNO | 38),
            Instruction(bpf.JA, 0, 0, 0),
            Instruction(bpf.LDX_IMM, 0, 0, 16),
            Instruction(bpf.JSET | X, 0, 0, 0),
            _ret(bpf.SECCOMP_RET_ALLOW),
        ]
    )
    assert [line.split(maxsplit=1)[1] for line in bpf.disassemble(code)] == [
        "ld   args[1].high",
        "and  0xf",
        "jge  0x3  true 3  false 4",
        "ret  ERRNO 38",
        "ja   5",
        "ldx  #0x10",
        "jset x  true 7  false 7",
        "ret  ALLOW",
    ]
