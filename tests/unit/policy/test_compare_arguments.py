"""The algebra of argument conditions, checked against counting: every condition, and every pair, over few bits.

The few bits are spread over the 64, the sign bit among them, and all others are held at zero, so that the whole width is used.
"""

from __future__ import annotations

from itertools import chain, combinations, product

import pytest

from enforcer.errors import ProfileError
from enforcer.policy.arguments import evaluate, holds, intersection, minimise, simplify, uncovered, union
from enforcer.policy.order_words import ANY, Effort, least, member, narrow
from enforcer.policy.profile import ALWAYS, MAX_U64, ArgumentCondition, Match

BITS = (0, 40, 63)
NOTHING: frozenset[Match] = frozenset()


def spread(number: int, bits: tuple[int, ...]) -> int:
    return sum(1 << bit for place, bit in enumerate(bits) if number >> place & 1)


def numbers(bits: tuple[int, ...]) -> list[int]:
    return [spread(number, bits) for number in range(1 << len(bits))]


def every_condition(bits: tuple[int, ...]) -> list[ArgumentCondition]:
    few = numbers(bits)
    compared = [ArgumentCondition(0, op, value) for op in ("==", "!=", "<", "<=", ">", ">=") for value in few]
    return compared + [ArgumentCondition(0, "&==", value, mask) for mask in few for value in few]


def only(bits: tuple[int, ...]) -> ArgumentCondition:
    return ArgumentCondition(0, "&==", 0, MAX_U64 & ~spread(-1, bits))


def six(number: int) -> tuple[int, ...]:
    return (number, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("op", "mask", "inside", "outside"),
    [
        ("==", MAX_U64, [5], [4, 6, 0, MAX_U64]),
        ("!=", MAX_U64, [4, 6, 0, MAX_U64], [5]),
        ("<", MAX_U64, [0, 4], [5, 6, 1 << 63]),
        ("<=", MAX_U64, [0, 5], [6, 1 << 63]),
        (">", MAX_U64, [6, 1 << 63, MAX_U64], [0, 5]),
        (">=", MAX_U64, [5, 1 << 63], [0, 4]),
        ("&==", 7, [5, 13, 1 << 63 | 5], [4, 7, 0]),
        ("&==", 1, [], [0, 1, 5]),
    ],
)
def test_each_operator(op: str, mask: int, inside: list[int], outside: list[int]) -> None:
    condition = ArgumentCondition(0, op, 5, mask)  # type: ignore[arg-type]
    assert all(holds(condition, number) for number in inside)
    assert not any(holds(condition, number) for number in outside)


def test_evaluate_is_any_match_of_all_conditions() -> None:
    both = (ArgumentCondition(0, "==", 1), ArgumentCondition(5, "==", 2))
    assert evaluate([both], (1, 0, 0, 0, 0, 2))
    assert not evaluate([both], (1, 0, 0, 0, 0, 3))
    assert not evaluate([], six(1))
    assert evaluate([both, ALWAYS], six(9))


def test_every_condition_against_every_two_others() -> None:
    bits = (0, 63)
    values = numbers(bits)
    conditions = every_condition(bits)
    truth = {condition: frozenset(v for v in values if holds(condition, v)) for condition in conditions}
    for asked, (second, third) in product(conditions, combinations(conditions, 2)):
        outside = truth[asked] - truth[second] - truth[third]
        found = uncovered((asked, only(bits)), ((second,), (third,)))
        assert (found is None) == (not outside), (asked, second, third)
        assert found is None or found[0] in outside


def test_every_pair_of_conditions_as_rules() -> None:
    values = numbers(BITS)
    near = sorted({n for v in values for n in (v - 1, v, v + 1) if 0 <= n <= MAX_U64})
    for pair in combinations(every_condition(BITS), 2):
        rules = simplify([pair])
        assert all(len(rule) <= 1 for rule in rules)
        assert [evaluate(rules, six(n)) for n in near] == [evaluate([pair], six(n)) for n in near], pair


def test_every_union_of_boxes_over_two_arguments() -> None:
    def side(index: int) -> list[Match]:
        return [(), (ArgumentCondition(index, "==", 0),), (ArgumentCondition(index, "&==", 1, 1),)]

    boxes = [first + second for first, second in product(side(0), side(1))]
    points = list(product((0, 1), repeat=2))
    held = tuple(ArgumentCondition(index, "<=", 1) for index in (0, 1))
    for chosen in chain.from_iterable(combinations(boxes, count) for count in range(len(boxes) + 1)):
        outside = [p for p in points if not evaluate(chosen, (*p, 0, 0, 0, 0))]
        found = uncovered(held, chosen)
        assert (found is None) == (not outside)
        assert found is None or found[:2] in outside
        assert all(evaluate(minimise(chosen), (*p, 0, 0, 0, 0)) == (p not in outside) for p in points)


def test_least_number_with_fixed_bits_is_the_first_one_counting_up() -> None:
    for mask, low in product(range(16), range(16)):
        for value in {number & mask for number in range(16)}:
            expected = next((n for n in range(low, 16) if n & mask == value), None)
            found = least(low, mask, value)
            assert found == expected or (expected is None and (found is None or found > 15))


def test_a_range_and_its_complement_have_no_member_in_common() -> None:
    inside = narrow(ANY, ArgumentCondition(0, "<", 1 << 40))
    assert member(narrow(inside, ArgumentCondition(0, ">=", 1 << 40)), Effort()) is None
    assert member(narrow(inside, ArgumentCondition(0, "<", 1 << 40), holds=False), Effort()) is None
    assert member(inside, Effort()) == 0


def test_a_match_that_nothing_satisfies_disappears() -> None:
    never = (ArgumentCondition(0, "<", 1), ArgumentCondition(0, ">", 5))
    assert minimise([never]) == NOTHING
    assert simplify([never]) == ()
    assert uncovered(never, ()) is None


def test_a_union_stays_small() -> None:
    low, one = (ArgumentCondition(0, "<=", 9),), (ArgumentCondition(0, "==", 1),)
    assert union(frozenset({low}), frozenset({one})) == {low}
    assert union(frozenset({low}), frozenset({ALWAYS})) == {ALWAYS}
    halves = {(ArgumentCondition(0, "<", 9),), (ArgumentCondition(0, ">=", 9),), one}
    assert minimise(halves) == halves - {one}


def test_an_intersection_is_said_in_the_shortest_way() -> None:
    one = (ArgumentCondition(0, "==", 1),)
    assert intersection(frozenset({one}), frozenset({(ArgumentCondition(0, "<=", 9),)})) == {one}
    assert intersection(frozenset({(ArgumentCondition(0, "<=", 9),)}), frozenset({one})) == {one}
    from_five = frozenset({(ArgumentCondition(0, ">", 4),)})
    up_to_five = frozenset({(ArgumentCondition(0, "<", 6),)})
    assert intersection(from_five, up_to_five) == {(ArgumentCondition(0, "==", 5),)}
    assert intersection(from_five, frozenset({one})) == NOTHING
    assert intersection(frozenset({one}), frozenset({ALWAYS})) == {one}


def test_two_excluded_values_need_few_rules() -> None:
    rules = simplify([(ArgumentCondition(0, "!=", 1), ArgumentCondition(0, "!=", 5))])
    assert len(rules) == 4
    assert not evaluate(rules, six(1))
    assert evaluate(rules, six(MAX_U64))


def test_simplify_keeps_what_libseccomp_can_say() -> None:
    family = (ArgumentCondition(0, "==", 16), ArgumentCondition(2, "!=", 3))
    assert simplify([family]) == (family,)
    assert simplify([family, ALWAYS]) == (ALWAYS,)


def test_too_many_rules_are_refused() -> None:
    # Each argument's range needs over a hundred aligned blocks, and three of them multiply.
    wide = tuple(c for i in range(3) for c in (ArgumentCondition(i, ">", 0), ArgumentCondition(i, "<", MAX_U64 - 1)))
    with pytest.raises(ProfileError, match="too many seccomp rules"):
        simplify([wide])
    many = [frozenset({(ArgumentCondition(i, "==", value),) for value in range(40)}) for i in range(2)]
    with pytest.raises(ProfileError, match="too many seccomp rules"):
        intersection(*many)


def test_conditions_that_encode_a_puzzle_are_refused_in_bounded_time() -> None:
    # Pairs of bits that must differ all around an odd circle: there is no answer, and no short way to see it.
    bits = 63
    clauses: list[Match] = []
    for low in range(bits):
        for offset in (1, 7, 20):
            mask = 1 << low | 1 << (low + offset) % bits | 1 << (low + 2 * offset) % bits
            clauses += [(ArgumentCondition(0, "&==", 0, mask),), (ArgumentCondition(0, "&==", mask, mask),)]
    with pytest.raises(ProfileError, match="too intricate"):
        uncovered(ALWAYS, clauses)
