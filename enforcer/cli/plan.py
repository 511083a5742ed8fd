"""`enforcer plan`: what would be executed, and which clause each step enforces. Starts nothing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from enforcer import api
from enforcer.cli.options import POLICY_OPTIONS, Command, Option
from enforcer.cli.plan_text import explained, text
from enforcer.cli.plan_words import line
from enforcer.errors import UsageError
from enforcer.plan.step import Filter, Packed, Ref, Slot, Strings, Text
from enforcer.runtime import paths

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
        directory=paths.working_directory(),
    )


def entry(given: Parsed) -> bytes:
    """Make the plan that `enforcer run` launches."""
    return api.make_entry(request(given)).encode()


def show(given: Parsed, kind: str, *, explain: bool) -> int:
    """Print the plan; 0, or an error when it would refuse to run."""
    asked = request(given)
    prepared = api.prepare(asked)
    for one in prepared.resolution.narrowings:
        bound = f"{one.bounded_by.path} at {one.bounded_by.place}"
        sys.stderr.write(f"enforcer: {one.granted.place}: the ceiling refuses {one.what} ({bound})\n")
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
                "step": number,
                "where": step.where,
                "call": step.call,
                "args": [_typed(arg) for arg in step.args],
                "words": line(step),
                "clause": step.clause,
                "result": step.result,
                "tolerate": list(step.tolerate),
                "needs": list(step.needs),
                "note": step.note,
            }
            for number, step in enumerate(plan.steps, 1)
        ],
        "config": plan.config,
    }


def _typed(arg: Arg) -> object:  # noqa: PLR0911  (one line a kind)
    """Write an argument so that a program can tell what it is: a number, or an object with one key that names the kind."""
    match arg:
        case int():
            return arg
        case bytes():
            return {"bytes": arg.hex()}
        case Ref(name):
            return {"result": name}
        case Slot(name):
            return {"slot": name}
        case Text(parts):
            return {"text": [part.decode() if isinstance(part, bytes) else _typed(part) for part in parts]}
        case Filter(code):
            return {"filter": code.hex()}
        case Strings(slot):
            return {"strings": slot}
        case Packed(template, patches):
            fields = [{"offset": offset, "size": size, "value": _typed(source)} for offset, size, source in patches]
            return {"structure": template.hex(), "fields": fields}
