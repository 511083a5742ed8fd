"""The image `rootfs:DIR`: a directory as it stands. Nothing is copied, so what is in it is not content-addressed."""

from __future__ import annotations

import hashlib
import os
import stat

from enforcer.errors import ImageError


def find_rootfs(path: str, uid: int) -> tuple[str, str]:
    """Return (absolute directory without symbolic links, a digest of which directory it is).

    The digest says which directory, on which filesystem, is meant; it does not change with what is in it.
    Raises ImageError unless the directory and those above it belong to root or to the caller, and nobody else can write there.
    """
    directory = os.path.realpath(path)
    _check(directory, uid, path)
    above = directory
    while above != "/":
        above = os.path.dirname(above)
        _check(above, uid, path)
    found = os.stat(directory)
    name = os.fsencode(f"enforcer rootfs 1\n{directory}\n{found.st_dev}:{found.st_ino}\n")
    return directory, f"sha256:{hashlib.sha256(name).hexdigest()}"


def _check(directory: str, uid: int, path: str) -> None:
    where = directory if directory == path else f"rootfs:{path}: {directory}"
    try:
        found = os.lstat(directory)
    except OSError as error:
        raise ImageError(f"the directory cannot be used: {error.strerror}", where=where) from None
    if not stat.S_ISDIR(found.st_mode):
        raise ImageError("not a directory", where=where, hint="for a file use oci-archive: or docker-archive:")
    if found.st_uid not in {0, uid}:
        raise ImageError(
            "the directory belongs to someone else",
            where=where,
            why=f"its owner is uid {found.st_uid}, who could change the image while it runs; only root or uid {uid} may own it",
        )
    if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
        raise _writable(where)
    if found.st_mode & stat.S_IWOTH and os.path.realpath(path) == directory:
        raise _writable(where)


def _writable(where: str) -> ImageError:
    return ImageError(
        "everybody can write to the directory",
        where=where,
        why="others could change the image while it runs",
        hint=f"chmod o-w {where}",
    )
