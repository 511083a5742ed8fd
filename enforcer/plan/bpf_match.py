"""Argument conditions as classic BPF: a union of matches, each a conjunction of comparisons of 64-bit arguments.

libseccomp 2.5 is not asked for these. It merges equal pieces of its decisions without asking what the accumulator holds, and
answers some unions wrongly, across system calls and within one (docs/decisions/0004-argument-conditions.md has both cases). It
also takes no second condition on one argument.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple

from enforcer.plan import bpf
from enforcer.plan.bpf import Instruction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from enforcer.policy.profile import ArgumentCondition, Match

_ARGUMENTS = 16  # offset of args[0] in struct seccomp_data; each has its lower half first
_FARTHEST = 255  # of a conditional jump
_LONGEST = 6  # instructions of one condition
_ALLOW = Instruction(bpf.RET_K, 0, 0, bpf.SECCOMP_RET_ALLOW)

_Target = Literal["next", "holds", "fails"]


class _Line(NamedTuple):
    """An instruction whose jumps are still words: to the next one, or to where the condition holds or fails."""

    code: int
    k: int
    true: _Target = "next"
    false: _Target = "next"


def judge(matches: Iterable[Match], otherwise: int, *, narrow: bool) -> list[Instruction]:
    """Decide one system call by its arguments: SECCOMP_RET_ALLOW where any match holds, else the answer `otherwise`.

    narrow: the arguments have 32 bits, and what struct seccomp_data has in their upper halves is not looked at.
    Raises ValueError when one match is too long for the jumps of classic BPF.
    """
    ordered = sorted({tuple(sorted(set(match), key=_order)) for match in matches}, key=lambda match: [*map(_order, match)])
    return [*_any(ordered, narrow=narrow), Instruction(bpf.RET_K, 0, 0, otherwise)]


def _order(condition: ArgumentCondition) -> tuple[int, str, int, int]:
    return condition.index, condition.op, condition.mask, condition.value


def _any(matches: Sequence[Match], *, narrow: bool) -> list[Instruction]:
    """Allow where any of these sorted matches holds, else go on behind. Matches that begin alike share their beginning."""
    if () in matches:
        return [_ALLOW]
    code: list[Instruction] = []
    held: list[_Line] = []  # what the accumulator is known to be loaded by
    for first, sharing in groupby(matches, key=lambda match: match[0]):
        for rest in _reachable([match[1:] for match in sharing]):
            lines = _condition(first, narrow=narrow)
            loads = [line for line in lines if line.code in {bpf.LD_ABS, bpf.LD_IMM, bpf.AND}]
            inner = _any(rest, narrow=narrow)
            code += _guarded(lines[len(loads) :] if loads == held else lines, inner)
            held = loads if len(lines) == len(loads) + 1 and inner == [_ALLOW] else []
    return code


def _reachable(rests: Sequence[Match]) -> Iterator[Sequence[Match]]:
    """Cut what shares a beginning into parts that a jump reaches over, whatever their conditions are."""
    if () in rests:
        yield [()]
        return
    part: list[Match] = []
    length = 0
    for rest in rests:
        longest = len(rest) * _LONGEST + 1
        if part and length + longest > _FARTHEST - _LONGEST:
            yield part
            part, length = [], 0
        part.append(rest)
        length += longest
    yield part


def _guarded(lines: Sequence[_Line], inner: Sequence[Instruction]) -> list[Instruction]:
    """The lines of one condition, then what is decided where it holds; where it fails, behind that."""
    holds, fails = len(lines), len(lines) + len(inner)
    if fails > _FARTHEST:
        raise ValueError("one entry has more conditions than the jumps of a filter reach over")
    code = []
    for following, line in enumerate(lines, start=1):
        to = {"next": 0, "holds": holds - following, "fails": fails - following}
        code.append(Instruction(line.code, to[line.true], to[line.false], line.k))
    return [*code, *inner]


def _condition(condition: ArgumentCondition, *, narrow: bool) -> list[_Line]:
    low = _Line(bpf.LD_ABS, _ARGUMENTS + 8 * condition.index)
    high = _Line(bpf.LD_IMM, 0) if narrow else _Line(bpf.LD_ABS, low.k + 4)
    upper, lower = condition.value >> 32, condition.value & bpf.WORD
    match condition.op:
        case "&==":
            return _masked(high, low, condition)
        case "==":
            return [high, _Line(bpf.JEQ, upper, "next", "fails"), low, _Line(bpf.JEQ, lower, "holds", "fails")]
        case "!=":
            return [high, _Line(bpf.JEQ, upper, "next", "holds"), low, _Line(bpf.JEQ, lower, "fails", "holds")]
    above: tuple[_Target, _Target] = ("holds", "fails") if condition.op in {">", ">="} else ("fails", "holds")
    return [
        high,
        _Line(bpf.JGT, upper, above[0], "next"),
        _Line(bpf.JEQ, upper, "next", above[1]),
        low,
        _Line(bpf.JGT if condition.op in {">", "<="} else bpf.JGE, lower, *above),
    ]


def _masked(high: _Line, low: _Line, condition: ArgumentCondition) -> list[_Line]:
    """(argument & mask) == value; a half that the mask leaves out is not loaded, unless the value asks for a bit there."""
    lines: list[_Line] = []
    for load, shift in ((high, 32), (low, 0)):
        mask, value = condition.mask >> shift & bpf.WORD, condition.value >> shift & bpf.WORD
        if mask or value:
            cut = [] if mask == bpf.WORD else [_Line(bpf.AND, mask)]
            lines += [load, *cut, _Line(bpf.JEQ, value, "next", "fails")]
    return lines
