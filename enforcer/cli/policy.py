"""`enforcer policy`: profiles are made, listed and shown."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from enforcer.cli import policy_list, policy_new, policy_show
from enforcer.cli.options import Command
from enforcer.errors import UsageError
from enforcer.policy.schema import json_schema

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA = Command("policy schema", "Print the JSON Schema of the profile language, for editors.", "", ())
COMMANDS = {
    "new": policy_new.COMMAND,
    "show": policy_show.COMMAND,
    "list": policy_list.COMMAND,
    "schema": SCHEMA,
}
FAILED = 125


def run(argv: list[str]) -> int:
    """Run one of the subcommands; returns its exit code."""
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(usage())
        return 0 if argv else FAILED
    runs: dict[str, Callable[[list[str]], int]] = {
        "new": policy_new.run,
        "show": policy_show.run,
        "list": policy_list.run,
        "schema": _schema,
    }
    if argv[0] not in runs:
        raise UsageError(f"there is no command {argv[0]!r}", where="enforcer policy", hint=f"one of {', '.join(runs)}")
    return runs[argv[0]](argv[1:])


def usage() -> str:
    """Return the text of --help."""
    rows = [f"  {name:8}{command.about.splitlines()[0]}" for name, command in COMMANDS.items()]
    head = ["usage: enforcer policy COMMAND …", "", "Make, list and show profiles.", ""]
    return "\n".join([*head, *rows, "", "enforcer policy COMMAND --help says more."])


def _schema(argv: list[str]) -> int:
    given = SCHEMA.parse(argv)
    if given.words:
        raise UsageError("policy schema takes no words", where="enforcer policy schema", hint="enforcer policy schema")
    if given.on("help"):
        print(SCHEMA.usage())
    else:
        json.dump(json_schema(), sys.stdout, indent=2)
        print()
    return 0
