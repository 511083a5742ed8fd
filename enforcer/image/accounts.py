"""The accounts of an image."""

from __future__ import annotations

import re

from enforcer.errors import ImageError
from enforcer.image.stack import read_file
from enforcer.oci.user import ACCOUNTS_LIMIT, home_of, resolve_user

_NUMBERS = re.compile("[0-9]+:[0-9]+")


def image_user(layers: tuple[str, ...], spec: str) -> tuple[int, int, tuple[int, ...]]:
    """Resolve a USER with the image's own accounts: (uid, gid, supplementary gids). See `resolve_user`.

    layers: as in `Image`, the top-most first.
    Raises ImageError when the user is not there, or the accounts cannot be read safely. Two numbers need no accounts.
    """
    if _NUMBERS.fullmatch(spec):
        return resolve_user(spec, b"", b"")
    return resolve_user(spec, read_file(layers, "etc/passwd", ACCOUNTS_LIMIT), read_file(layers, "etc/group", ACCOUNTS_LIMIT))


def image_home(layers: tuple[str, ...], uid: int) -> str:
    """Return the home directory of a uid by the image's own accounts, "/" when they give none that can be read safely."""
    try:
        return home_of(uid, read_file(layers, "etc/passwd", ACCOUNTS_LIMIT))
    except ImageError:
        return "/"
