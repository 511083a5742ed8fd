"""Each comparison against what it means, at the edges of 64 and of 32 bits."""

from __future__ import annotations

import pytest

from enforcer.plan import bpf
from enforcer.plan.bpf_match import judge
from enforcer.policy.arguments import evaluate
from enforcer.policy.profile import MAX_U64, ArgumentCondition

REFUSED = bpf.SECCOMP_RET_ERRNO | 1
EDGES = sorted(
    {value for edge in (0, 1, 7, 1 << 31, 1 << 32, 5 << 32, 1 << 63, MAX_U64) for value in (edge - 1, edge, edge + 1)}
)
NUMBERS = [value & MAX_U64 for value in EDGES]


def _decides(matches: list[tuple[ArgumentCondition, ...]], args: tuple[int, ...], *, narrow: bool = False) -> bool:
    code = bpf.pack(judge(matches, REFUSED, narrow=narrow))
    answer = bpf.run(code, bpf.seccomp_data(0, bpf.AUDIT_ARCH_X86_64, args))
    assert answer in {bpf.SECCOMP_RET_ALLOW, REFUSED}
    return answer == bpf.SECCOMP_RET_ALLOW


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">="])
@pytest.mark.parametrize("narrow", [False, True])
def test_comparisons(op: str, *, narrow: bool) -> None:
    for value in NUMBERS:
        condition = ArgumentCondition(5, op, value)  # type: ignore[arg-type]
        for argument in NUMBERS:
            seen = argument & bpf.WORD if narrow else argument
            args = (0, 0, 0, 0, 0)
            assert _decides([(condition,)], (*args, argument), narrow=narrow) == evaluate([(condition,)], (*args, seen))


@pytest.mark.parametrize("mask", [0, 1, 0xF, 0xFFFFFFFF, 0xFFFFFFFF00000000, 0x7E020000, 1 << 63, MAX_U64])
@pytest.mark.parametrize("narrow", [False, True])
def test_masks(mask: int, *, narrow: bool) -> None:
    for value in NUMBERS:
        condition = ArgumentCondition(0, "&==", value & mask, mask)
        for argument in (value, ~mask & MAX_U64 | value, value ^ 1, value ^ 1 << 31, value ^ 1 << 32, value ^ 1 << 63):
            seen = argument & bpf.WORD if narrow else argument
            assert _decides([(condition,)], (argument,), narrow=narrow) == evaluate([(condition,)], (seen,))


def test_a_mask_that_leaves_out_a_wanted_bit_never_holds() -> None:
    assert not _decides([(ArgumentCondition(0, "&==", 1 << 40, 0),)], (1 << 40,))


def test_unions_that_libseccomp_2_5_answers_wrongly() -> None:
    """The second case of docs/decisions/0004-argument-conditions.md."""
    one, zero = ArgumentCondition(0, "!=", 1), ArgumentCondition(0, "==", 0)
    matches = [(ArgumentCondition(1, "==", 0), one), (zero,)]
    for args in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (1 << 32, 0), (1 << 32, 1)):
        assert _decides(matches, args) == evaluate(matches, args)


def test_what_begins_alike_is_compared_once() -> None:
    family = ArgumentCondition(0, "==", 2)
    shared = judge([(family, ArgumentCondition(1, "==", value)) for value in (1, 2, 6)], REFUSED, narrow=False)
    assert sum(each.k == 16 for each in shared) == 1


def test_more_matches_than_a_jump_reaches_over() -> None:
    first = ArgumentCondition(0, "&==", 0, 0xF0)
    matches = [(first, ArgumentCondition(1, ">", 2 * value), ArgumentCondition(1, "<", 2 * value + 2)) for value in range(150)]
    assert len(judge(matches, REFUSED, narrow=False)) > 1000
    for value in (0, 1, 2, 150, 299, 300, 301):
        for other in (0, 0x10):
            assert (
                _decides(matches, (other, value))
                == evaluate(matches, (other, value))
                == (other == 0 and value % 2 == 1 and value < 300)
            )


def test_one_match_that_no_jump_reaches_over_is_refused() -> None:
    with pytest.raises(ValueError, match="reach"):
        judge([tuple(ArgumentCondition(0, "!=", value) for value in range(80))], REFUSED, narrow=False)


def test_no_match_allows_nothing_and_the_empty_match_everything() -> None:
    assert not _decides([], (0,))
    assert _decides([()], (0,))
    assert _decides([(ArgumentCondition(0, "==", 1),), ()], (0,))
