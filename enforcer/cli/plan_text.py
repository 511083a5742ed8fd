"""A plan for people: how each clause holds, and the steps in order or clause by clause."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from enforcer.cli.plan_words import line
from enforcer.cli.table import aligned
from enforcer.runtime import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enforcer.plan.compile import Plan
    from enforcer.plan.host import Enforcement
    from enforcer.plan.step import Step

    Numbered = tuple[int, Step]

_PROCESSES = {"launcher": "the launcher, outside the container", "init": "init, which becomes the payload"}
_ALIKE = 4  # so many calls in a row that differ in one argument only share a line


def text(plan: Plan) -> str:
    """Return the plan: how each clause holds first, then the steps in order."""
    lines = [*_about(plan), "", *_clauses(plan.enforcements), "", f"{len(plan.steps)} steps"]
    numbered = list(enumerate(plan.steps, 1))
    width = max(len(step.clause) for step in plan.steps)
    for where, steps in groupby(numbered, lambda pair: pair[1].where):
        lines += ["", f"  by {_PROCESSES[where]}"]
        lines += [f"{number:>11}  {step.clause:{width}}  {words}" for number, step, words in _lines(list(steps))]
    return "\n".join(lines)


def explained(plan: Plan) -> str:
    """Return for each clause what enforces it and by which steps; the steps of no clause come last."""
    numbered = list(enumerate(plan.steps, 1))
    lines = _about(plan)
    for one in plan.enforcements:
        lines += ["", one.path, f"  {one.verdict} by {one.by}", f"  written at {shipped.short(one.place)}"]
        lines += [f"  {one.why}"] if one.why else []
        lines += _steps([pair for pair in numbered if pair[1].clause in _clauses_of(one.path)])
    named = {clause for one in plan.enforcements for clause in _clauses_of(one.path)}
    rest = _steps([pair for pair in numbered if pair[1].clause not in named])
    return "\n".join([*lines, *(["", "what every container gets", *rest] if rest else [])])


def _clauses_of(path: str) -> tuple[str, ...]:
    """The clauses whose steps enforce this one: one clone3 makes every namespace."""
    return (path, "namespaces") if path.partition(".")[0] in ("namespaces", "user_namespace") else (path,)


def _about(plan: Plan) -> list[str]:
    subject = plan.subject
    uid, gid = subject.user
    rows = [
        ("image", subject.reference),
        ("digest", subject.digest),
        ("profile", plan.policy.name),
        ("command", " ".join(subject.arguments) or "none: name one after the image"),
        ("user", f"{uid}:{gid}" + (f", groups {' '.join(map(str, subject.groups))}" if subject.groups else "")),
        ("directory", plan.cwd),
    ]
    return aligned(rows)


def _clauses(verdicts: tuple[Enforcement, ...]) -> list[str]:
    rows = [
        (one.verdict, one.path, shipped.short(one.place), f"{one.by}{f' ({one.why})' if one.why else ''}") for one in verdicts
    ]
    return [f"{len(verdicts)} clauses", "", *(f"  {row}" for row in aligned([("HOLDS", "CLAUSE", "WRITTEN AT", "BY"), *rows]))]


def _steps(numbered: list[Numbered]) -> list[str]:
    return [f"{number:>11}  {step.where:8}  {words}" for number, step, words in _lines(numbered)]


def _lines(numbered: list[Numbered]) -> Iterator[tuple[str, Step, str]]:
    """Number, step and words of each line. Long runs of calls that differ in one argument share a line: "12–40"."""
    for run in _runs(numbered):
        (first, step), (last, final) = run[0], run[-1]
        if len(run) < _ALIKE:
            yield from ((str(number), one, _noted(one)) for number, one in run)
        else:
            yield f"{first}–{last}", step, f"{line(step)}  to  {line(final)}"


def _runs(numbered: list[Numbered]) -> Iterator[list[Numbered]]:
    run: list[Numbered] = []
    for number, step in numbered:
        if run and not (run[-1][0] + 1 == number and _alike(run[-1][1], step)):
            yield run
            run = []
        run.append((number, step))
    if run:
        yield run


def _alike(a: Step, b: Step) -> bool:
    same = (a.call, a.clause, a.where, a.result) == (b.call, b.clause, b.where, b.result) and not a.result
    return same and len(a.args) == len(b.args) and sum(x != y for x, y in zip(a.args, b.args, strict=True)) <= 1


def _noted(step: Step) -> str:
    words = line(step)
    return words if step.note in words else f"{words}  # {step.note}"
