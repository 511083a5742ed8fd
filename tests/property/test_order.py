"""The laws of the order (profile.md, rule 3), on policies that Hypothesis makes up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.policy.arguments import evaluate, intersection, minimise, simplify, uncovered, union
from enforcer.policy.compare import covers, join, meet
from tests.property.policies import NAMES, OTHER_READY, PORTS, READY, VALUES, matches, policies, unions
from tests.property.reach import allows, any_match, call, connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from enforcer.policy.profile import Match, Policy, Port

laws = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
operations = pytest.mark.parametrize("operation", [join, meet])
arguments = st.tuples(*[st.sampled_from(VALUES)] * 6)


def within(a: Policy, b: Policy) -> bool:
    return not covers(b, a)


def same(a: Policy, b: Policy) -> bool:
    return within(a, b) and within(b, a)


@given(policies())
@laws
def test_a_policy_is_within_itself(a: Policy) -> None:
    assert within(a, a)


@given(policies(), policies(), policies())
@laws
def test_what_is_within_what_is_within_is_within(a: Policy, b: Policy, c: Policy) -> None:
    small, middle, large = meet(a, b), a, join(a, c)
    assert within(small, middle)
    assert within(middle, large)
    assert within(small, large)
    if within(a, b) and within(b, c):
        assert within(a, c)


@operations
@given(policies())
@laws
def test_idempotent(operation: Callable[[Policy, Policy], Policy], a: Policy) -> None:
    assert same(operation(a, a), a)


@operations
@given(policies(), policies())
@laws
def test_commutative(operation: Callable[[Policy, Policy], Policy], a: Policy, b: Policy) -> None:
    assert same(operation(a, b), operation(b, a))


@operations
@given(policies(), policies(), policies())
@laws
def test_associative(operation: Callable[[Policy, Policy], Policy], a: Policy, b: Policy, c: Policy) -> None:
    assert same(operation(operation(a, b), c), operation(a, operation(b, c)))


@given(policies(), policies())
@laws
def test_absorption(a: Policy, b: Policy) -> None:
    assert same(join(a, meet(a, b)), a)
    assert same(meet(a, join(a, b)), a)


@given(policies(), policies(), policies())
@laws
def test_join_is_the_least_bound_above_and_meet_the_greatest_below(a: Policy, b: Policy, c: Policy) -> None:
    # Whatever holds both holds the join; whatever both hold the meet holds. c is put above and below to make the case common.
    for above in (c, join(join(a, c), b)):
        assert within(join(a, b), above) == (within(a, above) and within(b, above))
    for under in (c, meet(meet(a, c), b)):
        assert within(under, meet(a, b)) == (within(under, a) and within(under, b))


@given(policies(), policies())
@laws
def test_the_order_and_the_operations_agree(a: Policy, b: Policy) -> None:
    for low, high in ((a, b), (meet(a, b), a), (a, join(a, b))):
        assert within(low, high) == same(join(low, high), high) == same(meet(low, high), low)


@given(policies(), policies(), policies())
@laws
def test_operations_keep_the_order(a: Policy, b: Policy, c: Policy) -> None:
    larger = join(a, b)
    assert within(join(a, c), join(larger, c))
    assert within(meet(a, c), meet(larger, c))


@given(policies(), policies())
@laws
def test_counterexamples_are_real(a: Policy, b: Policy) -> None:
    for found in covers(a, b):
        event = READY if found.section == "phases" else None
        assert allows(b, found.section, found.example, event), found
        assert not allows(a, found.section, found.example, event), found
        assert found.what


@given(policies(), policies())
@laws
def test_one_counterexample_for_each_section(a: Policy, b: Policy) -> None:
    sections = [found.section for found in covers(a, b)]
    assert len(sections) == len(set(sections))


@given(policies(), policies(), st.sampled_from(NAMES), arguments, st.sampled_from((None, READY)))
@laws
def test_calls_of_join_and_meet(a: Policy, b: Policy, name: str, args: tuple[int, ...], event: tuple[str, str] | None) -> None:
    either, both = join(a, b), meet(a, b)
    here, there = call(a, event, name, args), call(b, event, name, args)
    assert call(both, event, name, args) == (here and there)
    # A name is kept or ended as a whole, so after the event the union may be wider, as little as the language can say.
    assert call(either, event, name, args) >= (here or there)
    if event is None:
        assert call(either, event, name, args) == (here or there)


hosts = st.one_of(
    st.tuples(st.just("host"), st.sampled_from(("org", "b.org", "x.b.org", "a.b.org", "y.a.b.org", "ab.org"))),
    st.tuples(
        st.just("cidr"), st.sampled_from(("10.0.0.0", "10.127.9.9", "10.128.0.0", "10.1.2.3", "11.0.0.0", "fd00::1", "fe80::1"))
    ),
)


@given(policies(), policies(), hosts, st.sampled_from(PORTS), st.sampled_from((None, READY)))
@laws
def test_connections_of_join_and_meet(
    a: Policy, b: Policy, host: tuple[str, str], port: Port, event: tuple[str, str] | None
) -> None:
    def connects(policy: Policy) -> bool:
        return connection(policy, event, host, (port.number, port.protocol))

    assert connects(join(a, b)) == (connects(a) or connects(b))
    assert connects(meet(a, b)) == (connects(a) and connects(b))


mixed = policies(st.sampled_from((READY, *OTHER_READY)))


@given(mixed, mixed)
@laws
def test_bounds_hold_when_phases_wait_for_different_events(a: Policy, b: Policy) -> None:
    assert within(a, a)
    for either, both in ((join(a, b), meet(a, b)), (join(b, a), meet(b, a))):
        assert within(a, either)
        assert within(b, either)
        assert within(both, a)
        assert within(both, b)


@given(mixed, mixed)
@laws
def test_counterexamples_are_real_when_phases_wait_for_different_events(a: Policy, b: Policy) -> None:
    for found in covers(a, b):
        event = a.phases.ready if found.section == "phases" and a.phases else None
        assert allows(b, found.section, found.example, event), found
        assert not allows(a, found.section, found.example, event), found


@given(matches, unions)
@settings(max_examples=500, deadline=None)
def test_arguments_outside_a_union_are_outside(match: Match, others: frozenset[Match]) -> None:
    found = uncovered(match, others)
    if found is not None:
        assert any_match((match,), found)
        assert not any_match(others, found)


@given(matches, unions, arguments)
@settings(max_examples=500, deadline=None)
def test_a_covered_match_has_no_arguments_outside(match: Match, others: frozenset[Match], args: tuple[int, ...]) -> None:
    if any_match((match,), args) and not any_match(others, args):
        assert uncovered(match, others) is not None


@given(unions, unions, arguments)
@settings(max_examples=500, deadline=None)
def test_the_algebra_of_unions(a: frozenset[Match], b: frozenset[Match], args: tuple[int, ...]) -> None:
    here, there = any_match(a, args), any_match(b, args)
    assert evaluate(a, args) == here
    assert any_match(union(a, b), args) == (here or there)
    assert any_match(intersection(a, b), args) == (here and there)
    assert any_match(minimise(a), args) == here


@given(unions, arguments)
@settings(max_examples=300, deadline=None)
def test_simplified_rules_say_the_same_with_one_condition_for_each_argument(a: frozenset[Match], args: tuple[int, ...]) -> None:
    rules = simplify(a)
    assert any_match(rules, args) == any_match(a, args)
    assert all(len({c.index for c in rule}) == len(rule) for rule in rules)
    assert all(uncovered(rule, a) is None for rule in rules)
    assert all(uncovered(match, rules) is None for match in a)
