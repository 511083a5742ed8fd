"""Choosing the profile for an image: exact digest before tag before repository (profile.md, rule 6)."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from enforcer.errors import ImageError, ProfileError
from enforcer.policy.images import is_local, repository, split_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enforcer.policy.profile import ImageMatch, Profile

NO_MATCH, REPOSITORY, TAG_GLOB, TAG, DIGEST = range(5)


def choose(profiles: Sequence[Profile], repository: str, tag: str, digest: str) -> Profile | None:
    """The profile whose `match` is the most exact for an image; None when none matches.

    repository: "docker.io/library/nginx", or the whole reference of an image of this machine ("host", "rootfs:/srv/root").
    tag, digest: "" when unknown. A digest is more exact than a tag, a tag than a tag with wildcards, that than a repository.
    Raises ProfileError naming both places when two profiles are equally exact.
    """
    image = _full(repository)
    ranked = [(_best(profile, image, tag, digest), profile) for profile in profiles]
    best = max((rank for (rank, _), _ in ranked), default=NO_MATCH)
    if best == NO_MATCH:
        return None
    chosen = [(match, profile) for (rank, match), profile in ranked if rank == best and match is not None]
    if len(chosen) > 1:
        raise _equally_exact(chosen[0][0], chosen[1][0])
    return chosen[0][1]


def _equally_exact(first: ImageMatch, second: ImageMatch) -> ProfileError:
    said = [match.digest or match.image for match in (first, second)]
    return ProfileError(
        "two profiles match the image equally",
        where=first.clause.place,
        why=f"{said[0]} at {first.clause.place}, {said[1]} at {second.clause.place}",
        hint="make one of them more exact, or name the profile with --policy",
    )


def _best(profile: Profile, image: str, tag: str, digest: str) -> tuple[int, ImageMatch | None]:
    best: tuple[int, ImageMatch | None] = (NO_MATCH, None)
    for match in profile.match:
        rank = _rank(match, image, tag, digest)
        if rank > best[0]:
            best = rank, match
    return best


def _rank(match: ImageMatch, image: str, tag: str, digest: str) -> int:
    if match.digest:
        return DIGEST if match.digest == digest else NO_MATCH
    if is_local(match.image):
        return REPOSITORY if match.image in {image, f"{image}:{tag}"} else NO_MATCH
    name, pattern = split_tag(match.image)
    if _full(name) != image:
        return NO_MATCH
    if not pattern:
        return REPOSITORY
    if not tag or _glob(pattern).fullmatch(tag) is None:
        return NO_MATCH
    return TAG_GLOB if "*" in pattern or "?" in pattern else TAG


def _full(name: str) -> str:
    try:
        return name if is_local(name) else repository(name)
    except ImageError:
        return name


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    """* is any run of characters, ? is any one. Atomic groups: a piece between two stars is looked for once, the leftmost."""
    first, *rest = (re.escape(piece).replace(r"\?", ".") for piece in pattern.split("*"))
    if not rest:
        return re.compile(first)
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + ".*" + rest[-1])
