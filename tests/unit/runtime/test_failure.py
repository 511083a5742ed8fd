from __future__ import annotations

import errno

import pytest

from enforcer.plan.encoder import encode
from enforcer.plan.encoding import Program
from enforcer.runtime import channel, failure
from enforcer.runtime.record import Record
from tests.plans import plan

STEPS = plan("run: {cwd: /srv}").steps
PROGRAM = Program(encode(STEPS, "x86_64"))
PLAN = Record([("image", "host"), ("entrypoint", "/entry"), ("cmd", "/bin/true")])


def index(call: str) -> int:
    return next(number for number, step in enumerate(STEPS) if step.call == call)


def test_a_failed_step_is_named_with_clause_errno_and_hint() -> None:
    found = failure.explain(PROGRAM, index("clone3"), errno.ENOSPC, PLAN, [])
    assert found.errno == errno.ENOSPC
    assert found.where == f"step {index('clone3') + 1} of {len(STEPS)}, clause namespaces"
    assert "clone3" in found.what
    assert "ENOSPC" in found.why
    assert "max_" in found.hint


@pytest.mark.parametrize("number", range(0, len(STEPS), 7))
def test_every_step_can_be_explained(number: int) -> None:
    found = failure.explain(PROGRAM, number, errno.EPERM, PLAN, [])
    assert found.what
    assert found.why
    assert found.hint


def test_an_init_that_something_ended_is_told_of() -> None:
    found = failure.explain(PROGRAM, *channel.DIED, PLAN, [])
    assert "ended init" in found.what
    assert "OOM" in found.why
    assert "resources.memory" in found.hint


def test_a_step_that_did_less_than_asked_has_no_errno() -> None:
    assert "did not do all" in failure.explain(PROGRAM, index("read"), 0, PLAN, []).why


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOENT, 127), (errno.ENOTDIR, 127), (errno.EACCES, 126), (errno.ENOEXEC, 126), (errno.EPERM, 126)],
)
def test_a_program_that_cannot_be_executed_has_dockers_code(number: int, code: int) -> None:
    found = failure.explain(PROGRAM, len(STEPS) - 1, number, PLAN, [])
    assert isinstance(found, failure.PayloadError)
    assert (found.exit_code, found.where) == (code, "host")
    assert "'/entry'" in found.what


def test_the_callers_command_is_named_where_there_is_no_entrypoint() -> None:
    found = failure.explain(PROGRAM, len(STEPS) - 1, errno.ENOENT, Record([("cmd", "/image")]), ["/mine"])
    assert "'/mine'" in found.what
