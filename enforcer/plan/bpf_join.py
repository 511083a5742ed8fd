"""Decision trees, as libseccomp compiles them, joined to one filter.

libseccomp 2.5 merges equal pieces of its decisions without asking what the accumulator holds: where two system calls have
argument conditions, one may be judged by the rest of the other's. So each of them is a tree of its own, before the tree of all
the calls that need no look at their arguments. (The kernel keeps a bitmap of the latter, and runs no filter for them.)

libseccomp decides calls by the names it knows, and joins ABIs by translating names. It cannot translate a call that is newer
than itself, and for 32-bit x86 it would answer `socket` with a rule on socketcall(2) that forgets the arguments. So each ABI's
tree is compiled from bare numbers as if it were native, and what makes it another ABI is written here: the dispatch on
AUDIT_ARCH_*, x32's bit, the 32-bit width of arguments, and the answer to numbers that nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enforcer.oci.syscalls import X32_BIT
from enforcer.plan import bpf, seccomp
from enforcer.plan.bpf import Instruction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_LOAD_NUMBER = Instruction(bpf.LD_ABS, 0, 0, _NUMBER)
_LOAD_ARCH = Instruction(bpf.LD_ABS, 0, 0, _ARCH)
_KILL = Instruction(bpf.RET_K, 0, 0, bpf.SECCOMP_RET_KILL_PROCESS)


@dataclass(frozen=True, slots=True)
class Trees:
    """What libseccomp exported for one ABI's numbers (x32's without X32_BIT), taken as native calls.

    plain: one tree for all calls that need no look at their arguments. judged: number → a tree for this call alone.
    """

    plain: bytes
    judged: Mapping[int, bytes]


def join(decided: seccomp.Filter, compiled: Mapping[str, Trees]) -> bytes:
    """Make the whole filter out of each ABI's trees.

    Raises ValueError when a tree is not of the form that libseccomp 2.5 writes, or the whole does not fit into a filter.
    """
    trees = {abi: _trees(compiled[abi], abi) for abi in decided.abis}
    whole = [_LOAD_ARCH]
    for abi in decided.abis:
        if abi != "x32":
            whole += _unless(seccomp.AUDIT_ARCH[abi], _section(decided, abi, trees))
    code = bpf.pack([*whole, _KILL])
    bpf.unpack(code)
    return code


def _unless(value: int, section: Sequence[Instruction]) -> list[Instruction]:
    """The section, jumped over when A holds another value; A is kept."""
    return [Instruction(bpf.JEQ, 1, 0, value), Instruction(bpf.JA, 0, 0, len(section)), *section]


def _trees(compiled: Trees, abi: str) -> list[Instruction]:
    """Put the trees of one ABI behind one another. A holds the number when they begin, and each of them ends in an answer."""
    bit = X32_BIT if abi == "x32" else 0
    found: list[Instruction] = []
    for number, exported in sorted(compiled.judged.items()):
        found += _unless(number | bit, _tree(bpf.unpack(exported), abi))
    return found + _tree(bpf.unpack(compiled.plain), abi)


def _section(decided: seccomp.Filter, abi: str, trees: Mapping[str, Sequence[Instruction]]) -> list[Instruction]:
    """All calls of one AUDIT_ARCH_*; those of x86-64 are its own and x32's."""
    own = _bounded(decided, seccomp.last_number(abi), trees[abi])
    if abi != "x86_64":
        return [_LOAD_NUMBER, *own]
    x32 = _bounded(decided, seccomp.last_number("x32"), trees["x32"]) if "x32" in trees else [_KILL]
    return [
        _LOAD_NUMBER,
        Instruction(bpf.JEQ, 0, 1, bpf.WORD),  # -1 is a cancelled call, not one of x32
        Instruction(bpf.RET_K, 0, 0, decided.beyond),
        Instruction(bpf.JGE, 0, 1, X32_BIT),
        Instruction(bpf.JA, 0, 0, len(own)),
        *own,
        *x32,
    ]


def _bounded(decided: seccomp.Filter, last: int, tree: Sequence[Instruction]) -> list[Instruction]:
    """The tree behind the answer to numbers above the last known one. A holds the number."""
    return [Instruction(bpf.JGT, 0, 1, last), Instruction(bpf.RET_K, 0, 0, decided.beyond), *tree]


def _tree(exported: Sequence[Instruction], abi: str) -> list[Instruction]:
    """Return the decisions of an exported filter, made those of `abi`. A holds the number when they begin."""
    tree = list(exported[_start(exported) :])
    if tree[0] == _LOAD_NUMBER:
        del tree[0]
    if abi in seccomp.NARROW_ABIS:
        # A 64-bit process that enters by int 0x80 leaves its upper halves in struct seccomp_data; the call does not see them.
        tree = [Instruction(bpf.LD_IMM, 0, 0, 0) if _high_half(each) else each for each in tree]
    return _numbered(tree, X32_BIT) if abi == "x32" else tree


def _start(exported: Sequence[Instruction]) -> int:
    """Find where libseccomp's decisions begin: behind its own check of the machine's ABI, which `join` replaces."""
    native = exported[1].k
    _expect(exported[0], _LOAD_ARCH)
    _expect(exported[1], Instruction(bpf.JEQ, 0, 0, native))
    start = 2 + exported[1].jt
    _expect(exported[start], _LOAD_NUMBER)
    if native == bpf.AUDIT_ARCH_X86_64:
        _expect(exported[start + 1], Instruction(bpf.JGE, 0, 0, X32_BIT))
        return start + 2 + exported[start + 1].jf
    return start + 1


def _expect(found: Instruction, wanted: Instruction) -> None:
    if (found.code, found.k) != (wanted.code, wanted.k):
        raise ValueError("libseccomp's filter does not begin with the check of the ABI that libseccomp 2.5 writes")


def _high_half(instruction: Instruction) -> bool:
    return instruction.code == bpf.LD_ABS and instruction.k >= _ARGUMENTS and instruction.k % 8 != 0


def _numbered(tree: Sequence[Instruction], bit: int) -> list[Instruction]:
    """Return the tree with `bit` set in every number it compares: jumps are forward only, so one pass knows what A holds."""
    holds_number: list[set[bool]] = [{True}, *(set() for _ in tree)]
    renumbered = []
    for index, instruction in enumerate(tree):
        code, jt, jf, k = instruction
        holds = {k == _NUMBER} if code == bpf.LD_ABS else holds_number[index]
        jumps = code in {bpf.JEQ, bpf.JGT, bpf.JGE}
        if jumps and len(holds) > 1:
            raise ValueError(f"instruction {index} of libseccomp's filter compares a number or an argument")
        renumbered.append(instruction._replace(k=k | bit) if jumps and True in holds else instruction)
        if jumps:
            holds_number[index + 1 + jt] |= holds
            holds_number[index + 1 + jf] |= holds
        elif code == bpf.JA:
            holds_number[index + 1 + k] |= holds
        elif code != bpf.RET_K:
            holds_number[index + 1] |= holds
    return renumbered
