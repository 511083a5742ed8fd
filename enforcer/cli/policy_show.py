"""`enforcer policy show`: what is in force, and the clause behind each grant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from enforcer import api
from enforcer.cli.options import Command, Option
from enforcer.cli.policy_grants import grants, yaml
from enforcer.errors import UsageError
from enforcer.policy import canonical
from enforcer.runtime import paths
from enforcer.runtime.profiles import Library

if TYPE_CHECKING:
    from enforcer.policy.profile import Profile
    from enforcer.policy.resolve import Resolution

COMMAND = Command(
    "policy show",
    "Print the policy in force: the profile with its bases, bounded by the site's ceiling, and the clause of each grant.\n"
    "With --image and no name, the profile is the one that a run of that image takes.",
    "[NAME|FILE]",
    (
        Option("image", "show what is in force for this image", value="IMAGE"),
        Option("format", "yaml (itself a profile that extends nothing) or json", value="FORMAT", choices=("yaml", "json")),
    ),
)


def run(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    given = COMMAND.parse(argv)
    if given.on("help"):
        print(COMMAND.usage())
        return 0
    if len(given.words) > 1 or not (given.words or given.on("image")):
        raise UsageError(
            "one profile is shown", where="enforcer policy show", hint="enforcer policy show NAME|FILE, or --image IMAGE"
        )
    word, image = "".join(given.words), given.one("image")
    profile, resolution, about = _for_image(word, image) if image else _alone(word)
    if given.one("format") == "json":
        print(json.dumps(_document(profile, resolution, about), indent=2))
    else:
        print("\n".join(_text(profile, resolution, about)))
    return 0


def _alone(word: str) -> tuple[Profile, Resolution, dict[str, str]]:
    library = Library()
    profile = library.named(word, paths.working_directory())
    return profile, api.resolve_profile(profile, library), {}


def _for_image(word: str, image: str) -> tuple[Profile, Resolution, dict[str, str]]:
    prepared = api.prepare(api.Request(image, policy=word, directory=paths.working_directory()))
    uid, gid = prepared.subject.user
    about = {"image": prepared.subject.reference, "digest": prepared.subject.digest, "user": f"{uid}:{gid}"}
    return prepared.profile, prepared.resolution, about


def _document(profile: Profile, resolution: Resolution, about: dict[str, str]) -> dict[str, Any]:
    policy = resolution.policy
    return {
        "profile": profile.source,
        **({"image": about} if about else {}),
        "digest": canonical.digest(policy),
        "policy": canonical.to_document(policy),
        "grants": [
            {"section": one.section, "value": one.value, "clauses": [{"clause": c.path, "place": c.place} for c in one.clauses]}
            for one in grants(policy)
        ],
        "narrowings": [
            {
                "what": one.what,
                "granted": {"clause": one.granted.path, "place": one.granted.place},
                "bounded_by": {"clause": one.bounded_by.path, "place": one.bounded_by.place},
            }
            for one in resolution.narrowings
        ],
    }


def _text(profile: Profile, resolution: Resolution, about: dict[str, str]) -> list[str]:
    lines = [f"# {profile.source} with its bases, {canonical.digest(resolution.policy)}"]
    lines += [f"# {name} {value}" for name, value in about.items()]
    for one in resolution.narrowings:
        bound = f"{one.bounded_by.path} at {one.bounded_by.place}"
        lines.append(f"# refused by the site's ceiling ({bound}): {one.what}, granted at {one.granted.place}")
    return [*lines, *yaml(resolution.policy)]
