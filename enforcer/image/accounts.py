"""The accounts of an image."""

from __future__ import annotations

from enforcer.image.stack import read_file
from enforcer.oci.user import ACCOUNTS_LIMIT, home_of, resolve_user


def image_user(layers: tuple[str, ...], spec: str) -> tuple[int, int, tuple[int, ...]]:
    """Resolve a USER with the image's own accounts: (uid, gid, supplementary gids). See `resolve_user`.

    layers: as in `Image`, the top-most first.
    Raises ImageError when the user is not there, or the accounts cannot be read safely.
    """
    return resolve_user(spec, read_file(layers, "etc/passwd", ACCOUNTS_LIMIT), read_file(layers, "etc/group", ACCOUNTS_LIMIT))


def image_home(layers: tuple[str, ...], uid: int) -> str:
    """Return the home directory of a uid by the image's own accounts, "/" when they give none.

    Raises ImageError when the accounts cannot be read safely.
    """
    return home_of(uid, read_file(layers, "etc/passwd", ACCOUNTS_LIMIT))
