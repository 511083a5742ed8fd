"""The decision trees that libseccomp compiles, joined with argument conditions and other ABIs to one filter.

libseccomp decides calls by the names it knows, and joins ABIs by translating names. It cannot translate a call that is newer
than itself, and for 32-bit x86 it would answer `socket` with a rule on socketcall(2) that forgets the arguments. So each ABI's
tree is compiled from bare numbers as if it were native, for the calls that need no look at their arguments; what makes it
another ABI is written here: the dispatch on AUDIT_ARCH_*, x32's bit, and the answer to numbers that nobody knows. Calls with
argument conditions (`bpf_match`) stand before the tree. The kernel keeps a bitmap of calls that are allowed whatever their
arguments are, and runs no filter for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.oci.syscalls import X32_BIT
from enforcer.plan import bpf, bpf_match, seccomp
from enforcer.plan.bpf import Instruction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data
_LOAD_NUMBER = Instruction(bpf.LD_ABS, 0, 0, _NUMBER)
_LOAD_ARCH = Instruction(bpf.LD_ABS, 0, 0, _ARCH)
_KILL = Instruction(bpf.RET_K, 0, 0, bpf.SECCOMP_RET_KILL_PROCESS)


def join(decided: seccomp.Filter, plain: Mapping[str, bytes]) -> bytes:
    """Make the whole filter.

    plain: ABI → what libseccomp exported for the numbers (x32's without X32_BIT) of the calls without argument conditions.
    Raises ValueError when that is not of the form that libseccomp 2.5 writes, or the whole does not fit into a filter.
    """
    trees = {abi: [*_judged(decided, abi), *_tree(bpf.unpack(plain[abi]), abi)] for abi in decided.abis}
    whole = [_LOAD_ARCH]
    for abi in decided.abis:
        if abi != "x32":
            whole += _unless(seccomp.AUDIT_ARCH[abi], _section(decided, abi, trees))
    code = bpf.pack([*whole, _KILL])
    bpf.unpack(code)
    return code


def _judged(decided: seccomp.Filter, abi: str) -> list[Instruction]:
    """Return the decisions on calls with argument conditions. A holds the number before and behind them."""
    found: list[Instruction] = []
    for number, rule in sorted(seccomp.numbered(decided.rules, abi).items()):
        if not rule.plain:
            found += _unless(number, bpf_match.judge(rule.matches, decided.default, narrow=abi in seccomp.NARROW_ABIS))
    return found


def _unless(value: int, section: Sequence[Instruction]) -> list[Instruction]:
    """The section, jumped over when A holds another value; A is kept."""
    return [Instruction(bpf.JEQ, 1, 0, value), Instruction(bpf.JA, 0, 0, len(section)), *section]


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
    if any(each.code not in {bpf.JEQ, bpf.JGT, bpf.JGE, bpf.JA, bpf.RET_K} for each in tree):
        raise ValueError("libseccomp's filter looks at more than numbers")
    bit = X32_BIT if abi == "x32" else 0
    return [each if each.code in {bpf.JA, bpf.RET_K} else each._replace(k=each.k | bit) for each in tree]


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
