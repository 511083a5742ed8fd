"""Decision trees of several ABIs, as libseccomp compiles them for the native one, joined to one filter.

libseccomp decides calls by the names it knows, and joins ABIs by translating names. It cannot translate a call that is newer
than itself, and for 32-bit x86 it would answer `socket` with a rule on socketcall(2) that forgets the arguments. So each ABI's
tree is compiled from bare numbers as if it were native, and what makes it another ABI is written here: the dispatch on
AUDIT_ARCH_*, x32's bit, the 32-bit width of arguments, and the answer to numbers that nobody knows.
"""

from __future__ import annotations

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


def join(decided: seccomp.Filter, compiled: Mapping[str, bytes]) -> bytes:
    """Make the whole filter out of each ABI's tree.

    compiled: ABI → what libseccomp exported for that ABI's numbers (x32's without X32_BIT), taken as native calls.
    Raises ValueError when a tree is not of the form that libseccomp 2.5 writes, or the whole does not fit into a filter.
    """
    trees = {abi: _tree(bpf.unpack(compiled[abi]), abi) for abi in decided.abis}
    sections = [(abi, _section(decided, abi, trees)) for abi in decided.abis if abi != "x32"]
    whole = [_LOAD_ARCH]
    for abi, section in sections:
        whole += [Instruction(bpf.JEQ, 1, 0, seccomp.AUDIT_ARCH[abi]), Instruction(bpf.JA, 0, 0, len(section)), *section]
    code = bpf.pack([*whole, _KILL])
    bpf.unpack(code)
    return code


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
    tree = list(exported[_head(exported) :])
    if tree[0] == _LOAD_NUMBER:
        del tree[0]
    if abi in seccomp.NARROW_ABIS:
        # A 64-bit process that enters by int 0x80 leaves its upper halves in struct seccomp_data; the call does not see them.
        tree = [Instruction(bpf.LD_IMM, 0, 0, 0) if _high_half(each) else each for each in tree]
    return _numbered(tree, X32_BIT) if abi == "x32" else tree


def _head(exported: Sequence[Instruction]) -> int:
    """Return the length of libseccomp's own check of the machine's ABI, which `join` replaces."""
    native = exported[1].k
    head = [(bpf.LD_ABS, _ARCH), (bpf.JEQ, native), (bpf.LD_ABS, _NUMBER)]
    if native == bpf.AUDIT_ARCH_X86_64:
        head += [(bpf.JGE, X32_BIT), (bpf.JEQ, bpf.WORD)]
    if native not in seccomp.AUDIT_ARCH.values() or [(each.code, each.k) for each in exported[: len(head)]] != head:
        raise ValueError("libseccomp's filter does not begin with the check of the ABI that libseccomp 2.5 writes")
    return len(head)


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
