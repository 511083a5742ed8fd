"""What a system call's argument conditions mean together: union, intersection and containment of matches, decided exactly.

A match is a conjunction of conditions over six arguments; a grant is a union of matches. "Is this match within that union?"
is answered by looking for arguments that it allows and the union does not: take any arguments the match allows, see which
match of the union allows them too, cut that match away (one disjoint piece for each of its conditions), and go on with the
pieces. Only conditions that meet are ever split, and what is found is the counter-example.
"""

from __future__ import annotations

import math
import operator
from itertools import product
from typing import TYPE_CHECKING

from enforcer.errors import ProfileError
from enforcer.policy.order_words import ANY, Effort, Word, alternatives, conditions, member, narrow, tidy
from enforcer.policy.profile import ALWAYS, ArgumentCondition, Match, Operator

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

ARGUMENTS = 6
COMPARISONS: dict[Operator, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Arguments = tuple[int, ...]
# A seccomp filter holds 4096 instructions (BPF_MAXINSNS), and a rule is at least one.
MAX_RULES = 4096
MAX_MATCHES = 1024


def evaluate(matches: Iterable[Match], arguments: Sequence[int]) -> bool:
    """Whether any match allows these six arguments, each from 0 to 2**64 - 1."""
    return any(all(holds(condition, arguments[condition.index]) for condition in match) for match in matches)


def holds(condition: ArgumentCondition, argument: int) -> bool:
    """Whether one argument satisfies one condition, as seccomp_rule_add(3) defines the comparisons."""
    if condition.op == "&==":
        return argument & condition.mask == condition.value
    return COMPARISONS[condition.op](argument, condition.value)


def uncovered(match: Match, others: Collection[Match]) -> Arguments | None:
    """Six arguments that `match` allows and none of `others` does; None when the others cover it.

    Raises ProfileError when the conditions are too intricate to decide.
    """
    effort = Effort()
    start = _cut((ANY,) * ARGUMENTS, (0,) * ARGUMENTS, match, effort)
    pending = [] if start is None else [start]
    while pending:
        words, arguments = pending.pop()
        effort.spend()
        hit = next((other for other in others if evaluate((other,), arguments)), None)
        if hit is None:
            return arguments
        pending.extend(_pieces(words, arguments, hit, effort))
    return None


_Box = tuple[tuple[Word, ...], Arguments]


def _pieces(words: tuple[Word, ...], arguments: Arguments, hit: Match, effort: Effort) -> Iterator[_Box]:
    """What is left of the words outside `hit`: the first conditions hold and the next does not, for each of its conditions."""
    for position, condition in enumerate(hit):
        inside = _cut(words, arguments, hit[:position], effort)
        outside = None if inside is None else _cut(*inside, (condition,), effort, holds=False)
        if outside is not None:
            yield outside


def _cut(words: tuple[Word, ...], arguments: Arguments, match: Match, effort: Effort, *, holds: bool = True) -> _Box | None:
    """The words narrowed by every condition of the match, and arguments within them; None when nothing is left."""
    narrowed, chosen = list(words), list(arguments)
    for condition in match:
        narrowed[condition.index] = narrow(narrowed[condition.index], condition, holds=holds)
    for index, word in enumerate(narrowed):
        if word is words[index]:
            continue
        number = member(word, effort)
        if number is None:
            return None
        chosen[index] = number
    return tuple(narrowed), tuple(chosen)


def _key(match: Match) -> tuple[int, tuple[tuple[int, str, int, int], ...]]:
    return len(match), tuple((c.index, c.op, c.value, c.mask) for c in match)


def minimise(matches: Iterable[Match]) -> frozenset[Match]:
    """The same union without the matches that the rest covers, and without those that nothing satisfies."""
    kept = set(matches)
    if ALWAYS in kept:
        return frozenset({ALWAYS})
    for match in sorted(kept, key=_key, reverse=True):
        if uncovered(match, kept - {match}) is None:
            kept.discard(match)
    return frozenset(kept)


def union(first: frozenset[Match], second: frozenset[Match]) -> frozenset[Match]:
    """What either allows."""
    return minimise(first | second)


def intersection(first: frozenset[Match], second: frozenset[Match]) -> frozenset[Match]:
    """What both allow."""
    if ALWAYS in second:
        return minimise(first)
    found: set[Match] = set()
    for match in first:
        if any(uncovered(match, (other,)) is None for other in second):
            found.add(match)
        else:
            found.update(filter(None, (_both(match, other) for other in second)))
        _check_room(len(found), MAX_MATCHES)
    return minimise(found)


def _both(match: Match, other: Match) -> Match | None:
    """The conjunction of two matches, said in the shortest way; None when nothing satisfies it."""
    words = _satisfiable(match + other)
    if words is None:
        return None
    return other if uncovered(other, (match,)) is None else tuple(c for i, w in enumerate(words) for c in conditions(i, w))


def _satisfiable(match: Match) -> tuple[Word, ...] | None:
    box = _cut((ANY,) * ARGUMENTS, (0,) * ARGUMENTS, match, Effort())
    return None if box is None else tuple(tidy(word) for word in box[0])


def simplify(matches: Iterable[Match]) -> tuple[Match, ...]:
    """The same union from matches with at most one condition for each argument, in a stable order.

    libseccomp refuses a rule that compares one argument twice. Ranges become aligned blocks, compared by &==.
    Raises ProfileError for more rules than a filter has room for.
    """
    found: set[Match] = set()
    for match in minimise(matches):
        words = _satisfiable(match)
        if words is None:
            continue
        choices = [tuple(alternatives(index, word)) for index, word in enumerate(words)]
        _check_room(len(found) + math.prod(map(len, choices)), MAX_RULES)
        found.update(tuple(c for part in parts for c in part) for parts in product(*choices))
    return tuple(sorted(found, key=_key))


def _check_room(count: int, room: int) -> None:
    if count > room:
        raise ProfileError(
            "the argument conditions of a system call need too many seccomp rules",
            why=f"the conditions of two profiles, or several on one argument, multiply; more than {room} do not fit a filter",
            hint="allow the call with fewer conditions, or with at most one for each argument",
        )
