"""`enforcer compare A B`: whether B grants more than A, with a counter-example for each section that is wider."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enforcer.cli.options import Command, Option
from enforcer.errors import UsageError
from enforcer.policy import canonical
from enforcer.policy.compare import covers
from enforcer.policy.narrow import bounding
from enforcer.policy.profile import BUILT_IN
from enforcer.policy.resolve import resolve
from enforcer.runtime import paths, shipped
from enforcer.runtime.profiles import Library

if TYPE_CHECKING:
    from enforcer.policy.counterexample import Counterexample
    from enforcer.policy.profile import Clause, Policy, Profile

COMMAND = Command(
    "compare",
    "Say whether profile B grants anything that profile A does not, each with its bases. Exit code 0: it does not;\n"
    "1: it does, with one example for each section that is wider; 125: the two could not be compared.",
    "A B",
    (
        Option("ceiling", "compare what this ceiling leaves of both; without it no ceiling counts", value="NAME|FILE"),
        Option("format", "text for people, json for programs", value="FORMAT", choices=("text", "json")),
    ),
)
_WORDS = 2


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what was read, and what it means."""

    word: str
    profile: Profile
    policy: Policy


def run(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    given = COMMAND.parse(argv)
    if given.on("help"):
        print(COMMAND.usage())
        return 0
    if len(given.words) != _WORDS:
        raise UsageError("two profiles are compared", where="enforcer compare", hint="enforcer compare A B, by path or name")
    library, directory = Library(), paths.working_directory()
    ceiling = library.named(given.one("ceiling"), directory) if given.on("ceiling") else None
    a, b = (_side(word, library, directory, ceiling) for word in given.words)
    found = covers(a.policy, b.policy)
    if given.one("format") == "json":
        print(json.dumps(_document(a, b, ceiling, found), indent=2))
    else:
        print("\n".join(_text(a, b, ceiling, found)))
    return 1 if found else 0


def _side(word: str, library: Library, directory: str, ceiling: Profile | None) -> Side:
    profile = library.named(word, directory)
    policy = resolve(profile, load_base=library.base, read_file=library.file, ceiling=ceiling).policy
    return Side(word, profile, policy)


def _document(a: Side, b: Side, ceiling: Profile | None, found: tuple[Counterexample, ...]) -> dict[str, Any]:
    sides = {
        key: {"profile": side.word, "path": side.profile.source, "digest": canonical.digest(side.policy)}
        for key, side in (("a", a), ("b", b))
    }
    sections = [
        {
            "section": one.section,
            "what": one.what,
            "example": dict(one.example),
            "granted": _clause(one.clause),
            "refused": _clause(bounding(one.section, a.profile.sections)),
        }
        for one in found
    ]
    return {**sides, "ceiling": ceiling.source if ceiling else None, "wider": bool(found), "sections": sections}


def _clause(clause: Clause) -> dict[str, str]:
    return {"clause": clause.path, "place": clause.place}


def _text(a: Side, b: Side, ceiling: Profile | None, found: tuple[Counterexample, ...]) -> list[str]:
    under = f"both under the ceiling {ceiling.source}" if ceiling else "without a ceiling"
    if not found:
        same = not covers(b.policy, a.policy)
        said = f"exactly what {a.word} grants" if same else f"nothing more than {a.word}, and less"
        return [f"{b.word} grants {said} ({under})"]
    lines = [f"{b.word} grants more than {a.word} ({under}). In each of these sections, for example:"]
    for one in found:
        lines += ["", one.section, f"  {one.what}", f"  granted by {b.word}: {_grant(one)}"]
        lines += [f"  refused by {a.word}: {_refusal(a, one)}"]
    return lines


def _grant(example: Counterexample) -> str:
    clause = example.clause
    path = clause.path or example.section
    return f"{path}, which it leaves unsaid" if clause.place == BUILT_IN else f"{path} at {shipped.short(clause.place)}"


def _refusal(a: Side, example: Counterexample) -> str:
    bound = bounding(example.section, a.profile.sections)
    if bound.place == a.profile.sections[""].place:
        return "no clause grants it"
    return f"{bound.path} at {shipped.short(bound.place)}"
