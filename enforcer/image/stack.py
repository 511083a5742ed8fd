"""What overlayfs would show at a name of an image, read from its layers without mounting them. No symbolic link is followed."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from enforcer.errors import ImageError
from enforcer.linux.syscalls import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

_STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV


def open_path(layers: tuple[str, ...], name: str) -> int | None:
    """Return an O_PATH descriptor of what is at `name`, None when nothing is. The caller closes it.

    layers: absolute directories, the top-most first. name: relative, without "..".
    Raises ImageError when `name`, or a part of it, is a symbolic link.
    """
    for layer in layers:
        root = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            descriptor, hidden = _look(root, name, layer)
        finally:
            os.close(root)
        if descriptor is not None or hidden:
            return descriptor
    return None


def read_file(layers: tuple[str, ...], name: str, limit: int) -> bytes:
    """Read a file of the image: at most `limit` bytes, b"" when it is missing.

    Raises ImageError when it is larger, not a regular file, or behind a symbolic link.
    """
    path = open_path(layers, name)
    if path is None:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(path).st_mode):
            raise ImageError("not a regular file in the image", where=f"/{name}")
        with open(f"/proc/self/fd/{path}", "rb") as source:  # the same file: the descriptor is what is opened again
            content = source.read(limit + 1)
    finally:
        os.close(path)
    if len(content) > limit:
        raise ImageError(f"the file is larger than {limit} bytes", where=f"/{name} of the image")
    return content


def _look(root: int, name: str, layer: str) -> tuple[int | None, bool]:
    """Look into one layer: (descriptor, whether the layers below are hidden at this name)."""
    parts = name.split("/")
    opaque = False
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        try:
            descriptor = openat2(root, path, os.O_PATH | os.O_NOFOLLOW, resolve=_STRICT)
        except FileNotFoundError:
            return None, opaque
        mode = os.fstat(descriptor).st_mode
        last = depth == len(parts)
        if last and not stat.S_ISLNK(mode) and not _is_whiteout(descriptor, mode):
            return descriptor, True
        hides = not stat.S_ISDIR(mode)
        opaque = opaque or (not hides and _attribute(descriptor, "user.overlay.opaque") == b"y")
        os.close(descriptor)
        if stat.S_ISLNK(mode):
            raise ImageError("a symbolic link in the image", where=f"{layer}: /{path}", why="it is read without following any")
        if hides:
            return None, True  # a whiteout, or something that is no directory: nothing is below it, in any layer
    return None, opaque


def _is_whiteout(descriptor: int, mode: int) -> bool:
    if stat.S_ISREG(mode):
        return _attribute(descriptor, "user.overlay.whiteout") is not None
    return stat.S_ISCHR(mode) and os.fstat(descriptor).st_rdev == 0


def _attribute(descriptor: int, name: str) -> bytes | None:
    with suppress(OSError):
        return os.getxattr(f"/proc/self/fd/{descriptor}", name)
    return None
