"""`enforcer policy list`: the profiles there are."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

from enforcer.cli.options import Command, Option
from enforcer.cli.table import table
from enforcer.errors import EnforcerError, UsageError
from enforcer.runtime.profiles import Library

COMMAND = Command(
    "policy list",
    "List the profiles there are: the user's own, the system's and those that ship. Exit code 125 when one is broken.",
    "",
    (
        Option("format", "table for people, json for programs", value="FORMAT", choices=("table", "json")),
        Option("quiet", "names only", short="q"),
    ),
)
BROKEN = 125


@dataclass(frozen=True, slots=True)
class Row:
    """One profile: how it is named, its file, what it says of itself, the images it is for, or what is wrong with it."""

    name: str
    path: str
    description: str
    matches: tuple[str, ...]
    error: str = ""


def run(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    given = COMMAND.parse(argv)
    if given.on("help"):
        print(COMMAND.usage())
        return 0
    if given.words:
        raise UsageError("policy list takes no words", where="enforcer policy list", hint="enforcer policy list")
    library = Library()
    if given.on("quiet"):
        print("".join(f"{name}\n" for name in library.names()), end="")
        return 0
    rows = [_row(library, name, path) for name, path in library.names().items()]
    if given.one("format") == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print("\n".join(table(("NAME", "DESCRIPTION", "FOR", "WHERE"), [_cells(row) for row in rows])))
    for row in rows:
        sys.stderr.write(f"enforcer: {row.error}\n" if row.error else "")
    return BROKEN if any(row.error for row in rows) else 0


def _row(library: Library, name: str, path: str) -> Row:
    try:
        profile = library.profile(path)
    except EnforcerError as error:
        return Row(name, path, "", (), error.render())
    return Row(name, path, profile.description, tuple(match.image or match.digest for match in profile.match))


def _cells(row: Row) -> tuple[str, ...]:
    return (row.name, "(broken)" if row.error else row.description, ", ".join(row.matches), row.path)
