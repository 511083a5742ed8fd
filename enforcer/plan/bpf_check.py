"""Does a compiled filter decide what the policy says? Every number is tried, and arguments on both sides of each condition."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING

from enforcer.oci.syscalls import NUMBERS, X32_BIT
from enforcer.plan import bpf, seccomp
from enforcer.policy.arguments import ARGUMENTS
from enforcer.policy.profile import MAX_U64

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enforcer.policy.profile import ArgumentCondition

_SPAN = 640  # numbers tried from the first of each ABI on: all of them, those that x32 keeps for itself, and 64 more
_ENDS = frozenset({X32_BIT - 1, 0x7FFFFFFF, 0x80000000, 0xBFFFFFFF, 0xC0000000, bpf.WORD - 1, bpf.WORD})
_MOST_COMBINATIONS = 1024
_HIGH_BITS = (1 << 31, 1 << 32, 1 << 63)

Arguments = tuple[int, ...]


def difference(decided: seccomp.Filter, code: bytes) -> str:
    """Say the first call that the filter and the policy answer differently, with both answers; "" when none is found.

    Raises ValueError when the kernel would refuse the filter.
    """
    says = {abi: seccomp.answers(decided, abi) for abi in (*NUMBERS, None)}
    rules = {abi: seccomp.numbered(decided.rules, abi) for abi in decided.abis}
    for arch in sorted(set(seccomp.AUDIT_ARCH.values())):
        for nr in sorted(numbers(arch)):
            abi = seccomp.abi_of(decided.native, arch, nr)
            rule = rules[abi].get(nr) if abi in rules else None
            for args in sorted(tried(rule)):
                said, does = says[abi](nr, args), bpf.run(code, bpf.seccomp_data(nr, arch, args))
                if said != does:
                    call = f"call {nr} of {abi or hex(arch)} with ({', '.join(map(hex, args))})"
                    return f"{call}: the policy says {bpf.action_text(said)}, the filter {bpf.action_text(does)}"
    return ""


def numbers(arch: int) -> frozenset[int]:
    """Return every number that a call of this AUDIT_ARCH_* can have with effect, neighbours, and the ends of the range."""
    found = set(_ENDS)
    for abi, of in seccomp.AUDIT_ARCH.items():
        if of == arch:
            first = X32_BIT if abi == "x32" else 0
            found.update(range(first, first + _SPAN))
            found.update(number + step for number in NUMBERS[abi].values() for step in (0, 1))
    return frozenset(found)


def tried(rule: seccomp.Rule | None) -> frozenset[Arguments]:
    """Return the arguments that a call of this rule is tried with: () when no condition asks for any.

    For each match, arguments that satisfy it, and those with one of them moved to a boundary of any condition on it: the value,
    its neighbours, bits of its mask flipped, and bits that only a part of the 64 has. All combinations where they are few.
    """
    matches = rule.matches if rule is not None else ()
    conditions = {condition for match in matches for condition in match}
    if not conditions:
        return frozenset({()})
    edges = {index: _edges(each for each in conditions if each.index == index) for index in {each.index for each in conditions}}
    if prod(map(len, edges.values())) <= _MOST_COMBINATIONS:
        return frozenset(_arguments(dict(zip(edges, values, strict=True))) for values in product(*edges.values()))
    bases = [{condition.index: _satisfying(condition) for condition in match} for match in matches]
    return frozenset(_arguments(base | {index: value}) for base in bases for index, values in edges.items() for value in values)


def _arguments(values: Mapping[int, int]) -> Arguments:
    return tuple(values.get(index, 0) for index in range(ARGUMENTS))


def _edges(conditions: Iterable[ArgumentCondition]) -> frozenset[int]:
    found = {0, MAX_U64}
    for condition in conditions:
        value, mask = condition.value, condition.mask if condition.op == "&==" else MAX_U64
        lowest, highest = mask & -mask, 1 << max(mask.bit_length() - 1, 0)
        found.update((value, value - 1, value + 1, value ^ lowest, value ^ highest, value | MAX_U64 ^ mask))
        found.update(value ^ bit for bit in _HIGH_BITS)
    return frozenset(value & MAX_U64 for value in found)


def _satisfying(condition: ArgumentCondition) -> int:
    beside = {"!=": condition.value ^ 1, "<": condition.value - 1, ">": condition.value + 1}
    return beside.get(condition.op, condition.value) & MAX_U64
