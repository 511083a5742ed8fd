"""The image store: content-addressed, private to its owner, changed only by renaming finished things into place.

    STORE/blobs/sha256/HEX     documents and layers as they came, named by their digest
    STORE/layers/sha256/HEX/   unpacked layers, named by the digest of the uncompressed tar (diff_id)
    STORE/layers/sha256/HEX.json   what of the layer was not put on disk (devices, setuid bits, …)
    STORE/host/sha256/HEX/     skeletons of the image `host`
    STORE/tmp/                 unfinished work; only the holder of the lock has any, so the next holder clears it
    STORE/lock                 taken (flock) by who adds or removes; readers need no lock

0700 and owned by the caller, checked at each opening: a store that others can walk into gives them the setuid programs of
every image (CVE-2021-41091, CVE-2021-41103).
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from enforcer.errors import HostError, ImageError
from enforcer.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOMS = ("blobs/sha256", "layers/sha256", "host/sha256", "tmp")
_PRIVATE = 0o700
_SYNCFS = 306 if syscalls.MACHINE == "x86_64" else 267  # unistd.h, asm-generic/unistd.h


def open_store(path: str, uid: int) -> str:
    """Return the absolute path of the store, made if it is missing.

    Raises HostError when the directory, or one of its rooms, is not the caller's own with mode 0700.
    """
    path = os.path.realpath(path)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _private_directory(path, uid)
        for room in _ROOMS:
            _private_directory(os.path.join(path, room.split("/", maxsplit=1)[0]), uid)
            _private_directory(os.path.join(path, room), uid)
        _clear(path)
    except OSError as error:
        raise HostError(f"the image store cannot be used: {error.strerror}", where=error.filename or path) from None
    return path


def _private_directory(path: str, uid: int) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        with suppress(FileExistsError):  # another enforcer may make it just now
            os.mkdir(path, _PRIVATE)
        found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise HostError("the image store is not a directory", where=path)
    if found.st_uid != uid:
        raise HostError(
            "the image store belongs to someone else", where=path, why=f"its owner is uid {found.st_uid}, you are uid {uid}"
        )
    if stat.S_IMODE(found.st_mode) != _PRIVATE:
        raise HostError(
            f"the image store has mode {stat.S_IMODE(found.st_mode):04o}",
            where=path,
            why="others could reach the programs and data of every image in it",
            hint=f"chmod 0700 {path}",
        )


@contextmanager
def locked(store: str) -> Iterator[None]:
    """Hold the store alone. Clears what an interrupted holder left in tmp/."""
    lock = _open_lock(store)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _clear_tmp(store)
        yield
    finally:
        os.close(lock)  # releases the lock


def _open_lock(store: str) -> int:
    return os.open(os.path.join(store, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _clear(store: str) -> None:
    """Clear what an interrupted holder left, unless somebody holds the lock and so is at work."""
    if not os.listdir(os.path.join(store, "tmp")):
        return
    lock = _open_lock(store)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear_tmp(store)
    finally:
        os.close(lock)


def _clear_tmp(store: str) -> None:
    for name in os.listdir(os.path.join(store, "tmp")):
        discard(os.path.join(store, "tmp", name))


@contextmanager
def unfinished(store: str, name: str) -> Iterator[str]:
    """Give a path in tmp/ to make something at; what is still there at the end is removed. The caller holds the lock."""
    path = os.path.join(store, "tmp", name)
    try:
        yield path
    finally:
        discard(path)


def discard(path: str) -> None:
    """Remove a file or tree of the store, without following any link. Missing is fine."""
    parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _remove(os.path.basename(path), parent)
    finally:
        os.close(parent)


def _remove(name: str, parent: int) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        pass
    else:
        return
    directory = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{directory}", _PRIVATE)  # its own mode may shut us out
        with os.scandir(f"/proc/self/fd/{directory}") as entries:
            names = [entry.name for entry in entries]
        for child in names:
            _remove(child, directory)
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=parent)


def publish(path: str, final: str) -> None:
    """Put a finished file or tree at its name: everything of it is on disk before the name is, and the name after."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            _syncfs(descriptor, path)  # one flush for the tree: fsync on each of 100,000 files takes minutes
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(path, final)
    parent = os.open(os.path.dirname(final), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _syncfs(descriptor: int, path: str) -> None:
    error = -syscalls.raw(_SYNCFS, descriptor)
    if error > 0:
        raise OSError(error, os.strerror(error), path)


def blob_path(store: str, digest: str) -> str:
    """Where the blob with this (already checked) digest is or will be."""
    return os.path.join(store, "blobs", "sha256", _hex(digest))


def layer_path(store: str, diff_id: str) -> str:
    """Where the unpacked layer with this (already checked) diff_id is or will be."""
    return os.path.join(store, "layers", "sha256", _hex(diff_id))


def host_path(store: str, digest: str) -> str:
    """Where the skeleton with this digest is or will be."""
    return os.path.join(store, "host", "sha256", _hex(digest))


def _hex(digest: str) -> str:
    algorithm, _, name = digest.partition(":")
    if algorithm != "sha256" or len(name) != 64 or not name.isalnum():  # noqa: PLR2004  sha256 in hexadecimal
        raise ImageError(f"not a digest: {digest[:80]!r}")
    return name
