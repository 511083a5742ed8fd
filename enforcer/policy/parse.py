"""Text of a profile → `Profile`. Nothing in the text is ignored (profile.md, rule 4)."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from enforcer.policy.compose import compose
from enforcer.policy.images import image_match
from enforcer.policy.parse_filesystem import filesystem
from enforcer.policy.parse_network import network, phases
from enforcer.policy.parse_sections import capabilities, environment, namespaces, resources, run
from enforcer.policy.parse_syscalls import syscalls
from enforcer.policy.profile import Clause, Profile
from enforcer.policy.shape import distinct, fields, items, text
from enforcer.policy.source import Mapping, Node, Sequence, quoted, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from enforcer.policy.profile import ImageMatch, Namespaces
    from enforcer.policy.shape import Fields, T

LANGUAGE = "enforcer/v1"
HEADER_KEYS = ("profile", "name", "description", "extends", "match")
SECTION_KEYS = (
    "run",
    "environment",
    "syscalls",
    "capabilities",
    "filesystem",
    "network",
    "user_namespace",
    "namespaces",
    "resources",
    "phases",
)
KEYS = HEADER_KEYS + SECTION_KEYS
EXTENDS_LIMIT = 16  # bases of one profile
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
BASE_NAME = re.compile(r"(?:[a-z0-9][a-z0-9._-]{0,63}/){0,7}[a-z0-9][a-z0-9._-]{0,63}")
_SECTION_DEPTH = 2  # "filesystem.mounts" is a section, "filesystem.mounts[0].at" is not


def parse_profile(data: bytes, source: str) -> Profile:
    """Read one profile.

    data: UTF-8, YAML or JSON, at most 1 MiB. source: the name that places begin with ("web.yaml").
    Raises ProfileError with the place, the line and a caret, for every document that is not exactly of the language.
    """
    root = compose(data, source)
    if root is None:
        raise source_of(source, "").refuse(1, 1, "the document is empty", hint=f"the smallest profile is 'profile: {LANGUAGE}'")
    found = fields(root, KEYS, required=("profile",))
    _check_language(found["profile"])
    return Profile(
        source=source,
        name=_optional(found, "name", _name),
        description=_optional(found, "description", text) or "",
        extends=_optional(found, "extends", _extends) or (),
        match=_optional(found, "match", _match) or (),
        run=_optional(found, "run", run),
        environment=_optional(found, "environment", environment),
        syscalls=_optional(found, "syscalls", syscalls),
        capabilities=_optional(found, "capabilities", capabilities),
        filesystem=_optional(found, "filesystem", filesystem),
        network=_optional(found, "network", network),
        namespaces=_namespaces(found),
        resources=_optional(found, "resources", resources),
        phases=_optional(found, "phases", phases),
        sections=MappingProxyType(dict(_sections(root, 0))),
    )


def _optional(found: Fields, name: str, read: Callable[[Node], T]) -> T | None:
    return read(found[name]) if name in found else None


def _namespaces(found: Fields) -> Namespaces | None:
    said = found.get("namespaces"), found.get("user_namespace")
    return namespaces(*said) if any(said) else None


def _check_language(node: Node) -> None:
    written = text(node)
    if written != LANGUAGE:
        why = "another version of the language may mean something else by the same words"
        raise node.refuse(f"the language {quoted(written)} is unknown", why=why, hint=f"write profile: {LANGUAGE}")


def _name(node: Node) -> str:
    name = text(node)
    if NAME.fullmatch(name) is None:
        raise node.refuse(
            f"{quoted(name)} is not a profile's name", why="a name is [a-z0-9][a-z0-9._-]*, at most 64 characters"
        )
    return name


def _extends(node: Node) -> tuple[tuple[str, Clause], ...]:
    if not isinstance(node, Sequence):
        return (_base(node),)
    if len(node.items) > EXTENDS_LIMIT:
        raise node.items[EXTENDS_LIMIT].refuse(f"more than {EXTENDS_LIMIT} bases")
    return distinct(node, _base, lambda base: base[0])


def _base(node: Node) -> tuple[str, Clause]:
    name = text(node)
    if BASE_NAME.fullmatch(name) is None:
        why = "a base is named by parts of [a-z0-9][a-z0-9._-]* with slashes between; it cannot climb out of its directory"
        raise node.refuse(f"{quoted(name)} is not the name of a base", why=why, hint="write for example base/python")
    return name, node.clause


def _match(node: Node) -> tuple[ImageMatch, ...]:
    if not items(node):
        raise node.refuse("match is empty", why="an empty list is not every image", hint="name an image, or remove the line")
    return distinct(node, image_match, lambda match: (match.image, match.digest))


def _sections(node: Node, depth: int) -> Iterator[tuple[str, Clause]]:
    """The clauses of the document, its sections and their keys, for narrowings to point at."""
    yield node.path, node.clause
    if isinstance(node, Mapping) and depth < _SECTION_DEPTH:
        for _, value in node.entries:
            yield from _sections(value, depth + 1)
