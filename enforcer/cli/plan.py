"""`enforcer plan`: what would be executed, and which clause each step enforces. Starts nothing."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from enforcer import api
from enforcer.cli.options import POLICY_OPTIONS, Command, Option
from enforcer.errors import UsageError
from enforcer.plan.step import Filter, Packed, Ref, Slot, Step, Strings, Text

if TYPE_CHECKING:
    from enforcer.cli.options import Parsed
    from enforcer.plan.compile import Plan
    from enforcer.plan.step import Arg

FORMATS = ("text", "json", "oci")
COMMAND = Command(
    "plan",
    "Show the launch of an image: what enforces each clause, the config.json, and the list of system calls.",
    "IMAGE [CMD…]",
    (
        *POLICY_OPTIONS,
        Option("format", "text, json, or oci (the runtime specification's config.json)", value="FORMAT", choices=FORMATS),
        Option("explain", "name for each clause the steps that enforce it"),
        Option("tty", "plan for a container with a terminal", short="t"),
    ),
    rest=True,
)


def run(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    given = COMMAND.parse(argv)
    if given.on("help"):
        print(COMMAND.usage())
        return 0
    if not given.words:
        raise UsageError("no image is named", where="enforcer plan", hint="enforcer plan IMAGE")
    return show(given, given.one("format", "text"), explain=given.on("explain"))


def request(given: Parsed) -> api.Request:
    """Turn options into a request of the API."""
    return api.Request(
        image=given.words[0],
        policy=given.one("policy"),
        allow_net=tuple(given.all("allow-net")),
        allow_read=tuple(given.all("allow-read")),
        allow_write=tuple(given.all("allow-write")),
        accept_weaker=tuple(given.all("accept-weaker")),
        command=tuple(given.words[1:]),
        terminal=given.on("tty"),
        directory=os.getcwd(),
    )


def entry(given: Parsed) -> bytes:
    """Make the plan that `enforcer run` launches."""
    return api.make_entry(request(given)).encode()


def show(given: Parsed, kind: str, *, explain: bool) -> int:
    """Print the plan; 0, or an error when it would refuse to run."""
    asked = request(given)
    prepared = api.prepare(asked)
    for narrowing in prepared.resolution.narrowings:
        print(f"# {narrowing.granted.place}: {narrowing.what} (bounded by {narrowing.bounded_by.place})")
    plan = api.make_plan(prepared, asked)
    if kind == "oci":
        print(json.dumps(plan.config, indent=2))
    elif kind == "json":
        print(json.dumps(document(plan), indent=2))
    else:
        print(explained(plan) if explain else text(plan))
    return 0


def document(plan: Plan) -> dict[str, object]:
    """Return the plan as JSON values."""
    return {
        "image": plan.subject.reference,
        "digest": plan.subject.digest,
        "profile": plan.policy.name,
        "clauses": [
            {"clause": one.path, "place": one.place, "verdict": one.verdict, "by": one.by, "why": one.why}
            for one in plan.enforcements
        ],
        "steps": [
            {
                "where": step.where,
                "call": step.call,
                "args": [_arg(arg) for arg in step.args],
                "clause": step.clause,
                "result": step.result,
                "note": step.note,
            }
            for step in plan.steps
        ],
        "config": plan.config,
    }


def text(plan: Plan) -> str:
    """Return the plan for a person: verdicts first, then the steps in order."""
    lines = [f"image    {plan.subject.reference}", f"digest   {plan.subject.digest}", f"profile  {plan.policy.name}", ""]
    lines += [f"  {one.verdict:10} {one.path:28} {one.by}  [{one.place}]" for one in plan.enforcements]
    lines += ["", f"{len(plan.steps)} steps:"]
    width = len(str(len(plan.steps)))
    lines += [f"{number:{width}} {line(step)}" for number, step in enumerate(plan.steps, 1)]
    return "\n".join(lines)


def explained(plan: Plan) -> str:
    """Return for each clause what enforces it and by which steps; steps of no clause come last."""
    lines = []
    numbered = list(enumerate(plan.steps, 1))
    named = set()
    for one in plan.enforcements:
        steps = [(number, step) for number, step in numbered if step.clause == one.path]
        named |= {number for number, _ in steps}
        lines.append(f"{one.path}  [{one.place}]  {one.verdict}: {one.by}")
        lines += [f"    {number:4} {line(step)}" for number, step in steps]
    rest = [(number, step) for number, step in numbered if number not in named]
    lines += ["what every container gets"] + [f"    {number:4} {line(step)}" for number, step in rest]
    return "\n".join(lines)


def line(step: Step) -> str:
    """Return one step as strace would print it, with its clause."""
    args = ", ".join(_arg(arg) for arg in step.args)
    result = f" = ${step.result}" if step.result else ""
    note = f"  # {step.note}" if step.note else ""
    return f"{step.where:8} {step.call}({args}){result}  [{step.clause}]{note}"


def _arg(arg: Arg) -> str:  # noqa: PLR0911  (one line a kind)
    match arg:
        case int():
            return str(arg) if -(1 << 12) < arg < 1 << 12 else hex(arg)
        case bytes():
            return _bytes(arg)
        case Ref(name):
            return f"${name}"
        case Slot(name):
            return f"<{name}>"
        case Text(parts):
            return "".join(_bytes(part).strip('"') if isinstance(part, bytes) else _arg(part) for part in parts)
        case Filter(code):
            return f"<filter, {len(code) // 8} instructions>"
        case Strings(slot):
            return f"<{slot}…>"
        case Packed(template, patches):
            fields = "".join(f", +{offset}={_arg(source)}" for offset, _, source in patches)
            return f"{{{template.rstrip(bytes(1)).hex() or '0'}{fields}}}"


def _bytes(value: bytes) -> str:
    stripped = value.strip()
    if stripped.isascii() and stripped.decode().isprintable():
        return f'"{stripped.decode()}"'
    return f"{{{value.rstrip(bytes(1)).hex() or '0'}}}"
