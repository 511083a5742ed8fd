"""Sets of values of one system call argument, exactly: bounds, fixed bits, and patterns left out.

An argument is an unsigned 64-bit integer. A pattern is a ternary word (mask, value): it holds the numbers n with
n & mask == value, so a single number is the pattern with every bit in the mask, and an aligned block of numbers is a pattern
whose mask is a run of high bits. Every comparison that seccomp(2) filters can make, and its negation, narrows a `Word`
without loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enforcer.errors import ProfileError
from enforcer.policy.profile import MAX_U64, ArgumentCondition, Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

Pattern = tuple[int, int]
NEGATED: dict[Operator, Operator] = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", "<=": ">", ">": "<="}
# Masked comparisons can encode any propositional formula: a hostile profile that asks for ages of work is refused instead.
MAX_EFFORT = 200_000


class Effort:
    """How much work one question may still cost."""

    __slots__ = ("left",)

    def __init__(self, left: int = MAX_EFFORT) -> None:
        self.left = left

    def spend(self) -> None:
        """Count one piece of work. Raises ProfileError when there were too many."""
        self.left -= 1
        if self.left < 0:
            raise ProfileError(
                "the argument conditions of a system call are too intricate to compare",
                why=f"the answer took more than {MAX_EFFORT} steps",
                hint="use fewer masked conditions (&==) on the same argument",
            )


@dataclass(frozen=True, slots=True)
class Word:
    """The numbers n with low <= n <= high and n & mask == value that match none of the patterns in `without`."""

    low: int = 0
    high: int = MAX_U64
    mask: int = 0
    value: int = 0
    without: frozenset[Pattern] = frozenset()


ANY = Word()
NOTHING = Word(low=1, high=0)


def narrow(word: Word, condition: ArgumentCondition, *, holds: bool = True) -> Word:
    """The part of `word` where the condition holds, or where it does not."""
    if condition.op == "&==":
        pattern = (condition.mask, condition.value)
        return _inside(word, pattern) if holds else _outside(word, pattern)
    return _compared(word, condition.op if holds else NEGATED[condition.op], condition.value)


def _compared(word: Word, op: Operator, value: int) -> Word:
    if op == "==":
        return _inside(word, (MAX_U64, value))
    if op == "!=":
        return _outside(word, (MAX_U64, value))
    if op in ("<", "<="):
        return replace(word, high=min(word.high, value - (op == "<")))
    return replace(word, low=max(word.low, value + (op == ">")))


def _inside(word: Word, pattern: Pattern) -> Word:
    mask, value = pattern
    if value & ~mask or (word.value ^ value) & word.mask & mask:
        return NOTHING
    return replace(word, mask=word.mask | mask, value=word.value | value)


def _outside(word: Word, pattern: Pattern) -> Word:
    mask, value = pattern
    if value & ~mask:
        return word
    block = _block(mask)
    if block is not None and value <= word.low <= value | block:
        # The search takes low numbers first, so this is the common case, and it keeps the set of patterns small.
        return replace(word, low=(value | block) + 1)
    return replace(word, without=word.without | {pattern})


def _block(mask: int) -> int | None:
    """The size of the pattern, less one, when it is an aligned block of numbers; None when its free bits are scattered."""
    free = ~mask & MAX_U64
    return None if free & (free + 1) else free


def least(low: int, mask: int, value: int) -> int | None:
    """The smallest 64-bit n >= low with n & mask == value, where value lies within mask; None when there is none."""
    wrong = (low ^ value) & mask
    if not wrong:
        return low
    bit = wrong.bit_length() - 1
    if not value >> bit & 1:
        # low has a one where a zero is wanted, so a free zero above it must become a one.
        free = ~(low | mask) & MAX_U64 & -(2 << bit)
        if not free:
            return None
        bit = (free & -free).bit_length() - 1
    above = (low >> bit | 1) << bit
    below = (1 << bit) - 1
    return above | (value & below)


def member(word: Word, effort: Effort) -> int | None:
    """A number of the set, a small one where that is easy; None when it is empty. Raises ProfileError for lack of effort."""
    pending = [(word.low, word.mask, word.value)]
    while pending:
        low, mask, value = pending.pop()
        effort.spend()
        number = least(low, mask, value)
        if number is None or number > word.high:
            continue
        hit = next((pattern for pattern in word.without if number & pattern[0] == pattern[1]), None)
        if hit is None:
            return number
        pending.extend(_around(number, mask, value, hit))
    return None


def _around(number: int, mask: int, value: int, hit: Pattern) -> Iterator[tuple[int, int, int]]:
    """What is left to search of the numbers from `number` on with the fixed bits, once the pattern that `number` hit is out."""
    block = _block(hit[0])
    if block is not None:
        # Go on behind it.
        after = (number | block) + 1
        if after <= MAX_U64:
            yield after, mask, value
        return
    for bit in _bits(hit[0] & ~mask):
        # All bits above are as in the pattern, this one is not: the pieces are disjoint.
        yield number, mask | bit, value | (bit & ~hit[1])
        mask |= bit
        value |= bit & hit[1]


def _bits(number: int) -> Iterator[int]:
    """The single bits of a number, the highest first."""
    while number:
        bit = 1 << (number.bit_length() - 1)
        yield bit
        number ^= bit


def tidy(word: Word) -> Word:
    """The same set, said in the shortest way, for a word that is not empty and leaves out nothing but single numbers."""
    low, high = word.low, word.high
    while (MAX_U64, low) in word.without:
        low += 1
    while (MAX_U64, high) in word.without:
        high -= 1
    if word.mask:
        # Bounds that the fixed bits already imply.
        low = 0 if low <= word.value else low
        high = MAX_U64 if high >= word.value | ~word.mask & MAX_U64 else high
    without = frozenset(p for p in word.without if low <= p[1] <= high and p[1] & word.mask == word.value)
    return Word(low, high, word.mask, word.value, without)


def conditions(index: int, word: Word) -> tuple[ArgumentCondition, ...]:
    """The word as a conjunction of conditions on argument `index`; the word is tidy and leaves out only single numbers."""
    if word.mask == MAX_U64 or word.low == word.high:
        return (ArgumentCondition(index, "==", word.value if word.mask == MAX_U64 else word.low),)
    found = []
    if word.low > 0:
        found.append(ArgumentCondition(index, ">=", word.low))
    if word.high < MAX_U64:
        found.append(ArgumentCondition(index, "<=", word.high))
    if word.mask:
        found.append(ArgumentCondition(index, "&==", word.value, word.mask))
    found.extend(ArgumentCondition(index, "!=", number) for _, number in sorted(word.without))
    return tuple(found)


def alternatives(index: int, word: Word) -> Iterator[tuple[ArgumentCondition, ...]]:
    """The word as a union of at most one condition each, for libseccomp: rules cannot compare one argument twice."""
    together = conditions(index, word)
    if len(together) <= 1:
        yield together
        return
    for low, high in _ranges(word):
        if not word.mask and (low == 0 or high == MAX_U64):
            yield conditions(index, Word(low, high))
            continue
        for mask, value in _blocks(low, high):
            piece = _inside(word, (mask, value))
            if piece is not NOTHING:
                yield conditions(index, Word(mask=piece.mask, value=piece.value))


def _ranges(word: Word) -> Iterator[tuple[int, int]]:
    """The bounds of the word, cut at the single numbers that are left out."""
    low = word.low
    for _, number in sorted(word.without):
        if low < number:
            yield low, number - 1
        low = number + 1
    if low <= word.high:
        yield low, word.high


def _blocks(low: int, high: int) -> Iterator[Pattern]:
    """The range low to high, both within, as aligned blocks of a power of two each: at most 126."""
    while low <= high:
        size = low & -low or MAX_U64 + 1
        while low + size - 1 > high:
            size >>= 1
        yield MAX_U64 & -size, low
        low += size
