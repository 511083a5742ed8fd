"""Paths and names as the profile language takes them: absolute, in their normal form, with nothing left to interpret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enforcer.policy.shape import meant, text
from enforcer.policy.source import quoted

if TYPE_CHECKING:
    from enforcer.policy.source import Node

PATH_LIMIT = 4095  # PATH_MAX without the terminating byte
NAME_LIMIT = 255  # NAME_MAX

# What the launcher itself mounts; a grant over it would replace the masks (CVE-2023-27561 and its kin).
_KERNEL_TREES = ("/proc", "/sys", "/dev")
_OPEN_IN_KERNEL_TREES = "/dev/shm"  # noqa: S108  a path in the container  # nosec B108
_VOLUME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def absolute(node: Node) -> str:
    """Read an absolute path that is its own normal form: no "..", ".", "//" or slash at the end."""
    path = text(node)
    if not path.startswith("/"):
        raise node.refuse(f"the path {quoted(path)} is not absolute", hint=f"write /{path}" if path else "write a path from /")
    _check_form(node, path)
    return path


def host_path(node: Node) -> str:
    """Read a path on the host: absolute, or relative to the profile's own directory ("./data", "data")."""
    path = text(node)
    if path.startswith("/"):
        return absolute(node)
    if path.startswith("~"):
        raise node.refuse(f"{quoted(path)} is not expanded", why="~ belongs to the shell", hint="write the absolute path")
    if not path:
        raise node.refuse("the path is empty")
    relative = path.removeprefix("./") or "."
    if relative != ".":
        _check_form(node, relative)
    return "./" + relative if relative != "." else "."


def mount_point(node: Node) -> str:
    """Read where something is mounted: not / itself, nor in the trees that the launcher prepares."""
    path = absolute(node)
    if path == "/":
        raise node.refuse("a mount cannot replace the root", hint="use filesystem.root")
    inside = [tree for tree in _KERNEL_TREES if path == tree or path.startswith(tree + "/")]
    if inside and path != _OPEN_IN_KERNEL_TREES and not path.startswith(_OPEN_IN_KERNEL_TREES + "/"):
        raise node.refuse(f"a mount cannot cover {path}", why=f"{inside[0]} is prepared and masked by the launcher")
    return path


def device(node: Node) -> str:
    """Read a device by its path under /dev."""
    path = absolute(node)
    if not path.startswith("/dev/"):
        raise node.refuse(f"{quoted(path)} is not under /dev", hint="name the node, for example /dev/fuse")
    return path


def volume(node: Node) -> str:
    """Read a volume's or secret's name."""
    name = text(node)
    if _VOLUME.fullmatch(name) is None:
        raise node.refuse(f"{quoted(name)} is not a name", why="a name is [a-z0-9][a-z0-9._-]*, at most 64 characters")
    return name


def secret_source(node: Node) -> str:
    """Read where a secret comes from: "env:NAME" or "file:/absolute/path"."""
    written = text(node)
    kind, colon, rest = written.partition(":")
    if not colon or kind not in {"env", "file"}:
        raise node.refuse(
            f"{quoted(written)} is not a source of a secret",
            why="it is env:NAME or file:/PATH",
            hint=meant(kind, ("env", "file")),
        )
    if kind == "env" and ENVIRONMENT_NAME.fullmatch(rest) is None:
        raise node.refuse(f"{quoted(rest)} is not an environment name", why=WHY_ENVIRONMENT_NAME)
    if kind == "file":
        if not rest.startswith("/"):
            raise node.refuse(f"the path {quoted(rest)} is not absolute", hint="write file:/PATH")
        _check_form(node, rest)
    return written


ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
WHY_ENVIRONMENT_NAME = "a name is letters, digits and _, starts with no digit, and has at most 128 characters"


def environment_name(node: Node) -> str:
    """Read the name of an environment variable."""
    name = text(node)
    if ENVIRONMENT_NAME.fullmatch(name) is None:
        raise node.refuse(f"{quoted(name)} is not an environment name", why=WHY_ENVIRONMENT_NAME)
    return name


def normalised(path: str) -> str:
    """The normal form of an absolute or relative path without "..": one slash between names, none at the end."""
    names = [name for name in path.split("/") if name not in {"", "."}]
    return ("/" if path.startswith("/") else "") + "/".join(names)


def _check_form(node: Node, path: str) -> None:
    names = path.split("/")
    if ".." in names:
        why = "where '..' leads depends on links that can change after the check"
        raise node.refuse(f"the path {quoted(path)} holds '..'", why=why, hint="write the path it leads to")
    if "\n" in path or "\t" in path or "\r" in path:
        raise node.refuse(f"the path {quoted(path)} holds a control character")
    if path != normalised(path):
        raise node.refuse(f"the path {quoted(path)} is not in its normal form", hint=f"write {normalised(path)}")
    if len(path.encode()) > PATH_LIMIT or any(len(name.encode()) > NAME_LIMIT for name in names):
        raise node.refuse("the path is too long", why=f"PATH_MAX is {PATH_LIMIT + 1}, NAME_MAX is {NAME_LIMIT}")
