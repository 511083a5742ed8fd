"""Which images a profile is for: entries of `match`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enforcer.errors import ImageError
from enforcer.oci.reference import parse_reference
from enforcer.policy.profile import ImageMatch
from enforcer.policy.shape import fields, text
from enforcer.policy.source import describe, quoted

if TYPE_CHECKING:
    from enforcer.policy.source import Node

# Images that come from this machine are matched by their whole reference; `host` has no path.
LOCAL_TRANSPORTS = ("rootfs", "oci", "oci-archive", "docker-archive")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG_GLOB = re.compile(r"[A-Za-z0-9_*?][A-Za-z0-9._*?-]{0,127}")


def image_match(node: Node) -> ImageMatch:
    """Read one entry: {image: REPOSITORY[:TAG-GLOB]}, {image: host}, {image: rootfs:/DIR} or {digest: sha256:…}."""
    found = fields(node, ("image", "digest"))
    if len(found) != 1:
        raise node.refuse("an entry of match has either image or digest", hint="write two entries for two images")
    if "digest" in found:
        return ImageMatch(digest=_digest(found["digest"]), clause=node.clause)
    return ImageMatch(image=_image(found["image"]), clause=node.clause)


def is_local(reference: str) -> bool:
    """Whether an image is one of this machine: "host", "rootfs:/DIR", "oci:/DIR" and so on."""
    return reference == "host" or reference.partition(":")[0] in LOCAL_TRANSPORTS


def split_tag(image: str) -> tuple[str, str]:
    """("registry.example:5000/a", "1.*") of "registry.example:5000/a:1.*"; the tag is empty when none is written."""
    head, slash, last = image.rpartition("/")
    name, _, tag = last.partition(":")
    return head + slash + name, tag


def repository(name: str) -> str:
    """The full name of a repository, by Docker Hub's rules: "nginx" is "docker.io/library/nginx".

    Raises ImageError.
    """
    return parse_reference("docker://" + name).repository


def _digest(node: Node) -> str:
    digest = text(node)
    if _DIGEST.fullmatch(digest) is None:
        raise node.refuse(f"{quoted(digest)} is not a digest", why="a digest is 'sha256:' and 64 digits of 0-9 a-f")
    return digest


def _image(node: Node) -> str:
    image = text(node)
    _check_ascii(node, image)
    if is_local(image):
        if image != "host":
            _check_local(node, image)
        return image
    if "@" in image:
        raise node.refuse("a digest does not belong into image", hint=f"write digest: {image.partition('@')[2]}")
    name, tag = split_tag(image)
    if image.endswith(":") or (tag and _TAG_GLOB.fullmatch(tag) is None):
        why = "a tag is letters, digits and . _ -, with * and ? as wildcards"
        raise node.refuse(f"{quoted(tag)} is not a tag", why=why)
    if "*" in name or "?" in name:
        raise node.refuse(
            "a wildcard in the repository", why="only the tag may have wildcards: a repository is a trust decision"
        )
    _check_repository(node, name)
    return image


def _check_ascii(node: Node, image: str) -> None:
    for position, character in enumerate(image, 1):
        if not "!" <= character <= "~":
            why = "only ASCII is accepted in image names: other characters can look like these and mean another image"
            raise node.refuse(f"character {position} is {describe(character)}", why=why, hint="type the name again by hand")


def _check_local(node: Node, image: str) -> None:
    transport, _, path = image.partition(":")
    if not path.startswith("/"):
        hint = f"write {transport}:/DIRECTORY, or docker.io/library/{image} for the registry's image of that name"
        raise node.refuse(f"the path {quoted(path)} is not absolute", hint=hint)
    if ".." in path.split("/") or "//" in path or path.endswith("/"):
        raise node.refuse(
            f"the path {quoted(path)} is not in its normal form", why="an image of this machine is matched by its whole path"
        )


def _check_repository(node: Node, name: str) -> None:
    try:
        repository(name)
    except ImageError as error:
        hint = error.hint if not error.hint.startswith("write one of") else "write it as registry.example/shop/web"
        raise node.refuse(error.what, why=error.why, hint=hint) from None
