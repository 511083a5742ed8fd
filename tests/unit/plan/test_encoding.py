from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.plan import encoding
from enforcer.plan.encoder import encode
from tests.plans import plan

ENCODED = encode(plan().steps, "x86_64")


def test_a_program_is_walked_with_its_texts() -> None:
    program = encoding.Program(ENCODED)
    steps = plan().steps
    assert [program.describe(index)[0] for index in range(len(steps))] == [step.call for step in steps]
    assert program.result_index("init") < program.result_count
    assert "sync-read" in program.slot_names


def test_a_result_without_a_step_is_named() -> None:
    with pytest.raises(ValueError, match="is not in list"):
        encoding.Program(ENCODED).result_index("nothing")


@given(st.integers(0, len(ENCODED) - 1))
def test_a_program_that_is_cut_short_is_no_program(length: int) -> None:
    with pytest.raises(ValueError, match="launch program"):
        encoding.Program(ENCODED[:length])


@given(st.binary(max_size=64), st.booleans())
def test_other_bytes_are_no_program(content: bytes, magic: bool) -> None:  # noqa: FBT001
    with pytest.raises(ValueError, match="launch program"):
        encoding.Program((encoding.MAGIC if magic else b"") + content)


def test_a_longer_one_is_refused() -> None:
    with pytest.raises(ValueError, match="cut short"):
        encoding.Program(ENCODED + b"\0")


def test_pseudo_calls_are_no_numbers_of_the_kernel() -> None:
    assert all(number < -1 for number in encoding.PSEUDO_CALLS.values())
    assert len(set(encoding.PSEUDO_CALLS.values())) == len(encoding.PSEUDO_CALLS)
