from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from enforcer.plan.step import Packed, Ref, Slot, Step, Text


def test_a_step_is_a_value() -> None:
    """Plans are compared, kept and digested: nothing of them may change once they are made."""
    step = Step("init", "openat", (Text((b"/", Slot("id"))), Packed(bytes(4), ((0, 4, Ref("x")),))), "run")
    assert step == Step("init", "openat", (Text((b"/", Slot("id"))), Packed(bytes(4), ((0, 4, Ref("x")),))), "run")
    assert hash(step)
    with pytest.raises(FrozenInstanceError):
        step.call = "close"  # type: ignore[misc]
    assert Ref("x") != Slot("x")
