"""Image references, as people write them and as containers-transports(5) names them.

Pure: nothing is looked up. ASCII only; a name that is not exactly what the distribution specification allows is refused rather
than repaired, because two names that look alike may choose two profiles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from enforcer.errors import ImageError

Kind = Literal["host", "rootfs", "oci", "oci-archive", "docker-archive", "docker"]

REFERENCE_LIMIT = 4096
REPOSITORY_LIMIT = 255

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?")
_NAME_CHARACTERS = re.compile(r"[a-z0-9._/-]+")
_NAME_IN_LAYOUT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,254}")

_PATH_KINDS: tuple[Kind, ...] = ("rootfs", "oci", "oci-archive", "docker-archive")
_OTHER_TRANSPORTS = ("containers-storage", "dir", "docker-daemon", "ostree", "sif", "atomic", "http", "https")
_FORMS = "host, rootfs:DIR, oci:DIR[:tag], oci-archive:FILE[:tag], docker-archive:FILE[:name:tag], or a registry's name:tag"


@dataclass(frozen=True, slots=True)
class Reference:
    """Which image is meant.

    kind:       the transport.
    repository: "docker.io/library/nginx" for kind docker, and for docker-archive when a name was written; "host" for host;
                else empty, because what is inside a file or directory does not say whose image it is.
    tag:        "1.27"; for oci and oci-archive the name that the layout gives the image; else empty.
    digest:     "sha256:…" when it was written.
    path:       as written, for the kinds that have one.
    """

    kind: Kind
    repository: str = ""
    tag: str = ""
    digest: str = ""
    path: str = ""

    def __str__(self) -> str:
        """Return the canonical text, which parses to an equal Reference."""
        digest = f"@{self.digest}" if self.digest else ""
        tag = f":{self.tag}" if self.tag else ""
        if self.kind == "host":
            return "host"
        if self.kind == "docker":
            return f"{self.repository}{tag}{digest}"
        if self.kind == "docker-archive":
            return f"docker-archive:{self.path}" + (f":{self.repository}{tag}" if self.repository else "")
        return f"{self.kind}:{self.path}{tag}"


def parse_reference(text: str) -> Reference:
    """Read one reference.

    Raises ImageError with the reason and what to write instead.
    """
    _characters(text)
    if text == "host":
        return Reference("host", repository="host")
    transport, colon, rest = text.partition(":")
    if colon and transport in _PATH_KINDS:
        return _with_path(transport, rest, text)
    if colon and (transport in _OTHER_TRANSPORTS or transport == "host"):
        raise ImageError(
            f"the transport {transport!r} is not one that enforcer reads",
            where=text,
            why="host takes nothing after it" if transport == "host" else f"the forms are: {_FORMS}",
            hint=f"for a repository of that name in a registry, write docker://{text}",
        )
    if text.startswith("docker:") and not text.startswith("docker://"):
        raise ImageError("docker: needs two slashes", where=text, hint=f"write docker://{rest}")
    return _registry_name(text.removeprefix("docker://"), text)


def parse_digest(text: str, *, where: str = "") -> str:
    """Return `text` if it is "sha256:" and 64 lower-case hexadecimal digits, before it is used for anything (CVE-2024-3727)."""
    if _DIGEST.fullmatch(text) is None:
        raise ImageError(
            f"not a digest: {text[:80]!r}",
            where=where,
            why="a digest is 'sha256:' and 64 digits of 0-9 a-f; no other algorithm is accepted",
        )
    return text


def _characters(text: str) -> None:
    if not text:
        raise ImageError("the image reference is empty", hint=f"write one of: {_FORMS}")
    if len(text) > REFERENCE_LIMIT:
        raise ImageError(f"the image reference is longer than {REFERENCE_LIMIT} characters", where=f"{text[:40]!a}…")
    for position, character in enumerate(text, 1):
        if not " " <= character <= "~":
            raise ImageError(
                f"the image reference holds U+{ord(character):04X} at character {position}",
                where=ascii(text)[:200],
                why="only printable ASCII is accepted: other characters can look like these and mean another image",
                hint="type the name again by hand",
            )


def _with_path(kind: str, rest: str, text: str) -> Reference:
    if kind == "rootfs":
        return Reference("rootfs", path=_path(rest, text))
    path, colon, name = rest.partition(":")
    path = _path(path, text)
    if not colon:
        return Reference(kind, path=path)  # type: ignore[arg-type]  # one of _PATH_KINDS
    if kind == "docker-archive":
        named = _registry_name(name, text)
        if named.digest:
            raise ImageError("a digest does not name an image in docker-archive", where=text, hint="write name:tag")
        return Reference("docker-archive", named.repository, named.tag, path=path)
    if _NAME_IN_LAYOUT.fullmatch(name) is None:
        raise ImageError(f"not a tag: {name!r}", where=text, why="a tag is letters, digits and . _ : / @ + -, at most 255")
    return Reference("oci" if kind == "oci" else "oci-archive", tag=name, path=path)


def _path(path: str, text: str) -> str:
    if not path:
        raise ImageError("the path is empty", where=text, hint=f"write one of: {_FORMS}")
    return path


def _registry_name(name: str, text: str) -> Reference:
    rest, at, digest = name.partition("@")
    if at:
        parse_digest(digest, where=text)
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and _TAG.fullmatch(tag) is None:
        raise ImageError(
            f"not a tag: {tag!r}",
            where=text,
            why="a tag is up to 128 letters, digits and . _ -, and starts with a letter, digit or _",
        )
    repository = _repository(head + slash + last, text)
    return Reference("docker", repository, tag or ("" if digest else "latest"), digest)


def _repository(name: str, text: str) -> str:
    """Apply Docker Hub's rules: "nginx" is "docker.io/library/nginx"; a first part with a dot or port is a registry."""
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        domain, path = "docker.io", name if slash else f"library/{name}"
    else:
        domain, path = first, rest
    if domain == "index.docker.io":
        domain = "docker.io"
    _check_domain(domain, text)
    for component in path.split("/"):
        _check_component(component, text)
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    if len(domain) + 1 + len(path) > REPOSITORY_LIMIT:
        raise ImageError(f"the repository is longer than {REPOSITORY_LIMIT} characters", where=text[:80])
    return f"{domain}/{path}"


def _check_domain(domain: str, text: str) -> None:
    port = domain.partition(":")[2]
    if _DOMAIN.fullmatch(domain) is None or int(port or "1") not in range(1, 65536):
        raise ImageError(
            f"not a registry's name: {domain!r}",
            where=text,
            why="it is host[:port], with a host of a-z 0-9 - and dots, port 1 to 65535",
        )


def _check_component(component: str, text: str) -> None:
    if _COMPONENT.fullmatch(component) is not None:
        return
    if component != component.lower():
        raise ImageError(
            f"upper case in {component!r}", where=text, why="repositories are lower case", hint=f"write {component.lower()}"
        )
    bad = sorted({c for c in component if _NAME_CHARACTERS.fullmatch(c) is None})
    raise ImageError(
        f"not a repository name: {component!r}" if component else "a part of the repository name is empty",
        where=text,
        why=f"{bad[0]!r} is not one of a-z 0-9 . _ / -"
        if bad
        else "each part is letters and digits joined by one dot, one or two underscores, or dashes",
        hint=f"write one of: {_FORMS}",
    )
