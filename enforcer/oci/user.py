"""The USER of an image (or of `run.user`), made numbers by the image's own passwd and group files. Pure."""

from __future__ import annotations

import re

from enforcer.errors import ImageError

ID_LIMIT = (1 << 31) - 1  # 2^31 and more turn negative or into "no change" in other hands (CVE-2024-40635)
GROUPS_LIMIT = 1024
ACCOUNTS_LIMIT = 1 << 20  # bytes of passwd, and of group (CVE-2026-47262)

_NUMBER = re.compile(r"0|[1-9][0-9]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,254}\$?")


def resolve_user(spec: str, passwd: bytes, group: bytes) -> tuple[int, int, tuple[int, ...]]:
    """Return (uid, gid, supplementary gids without gid, sorted).

    spec: "", "user", "user:group"; each a name or a number, as Docker takes them: "" is root; without a group it is the user's
    own from passwd, with the groups that list the user; a uid that passwd does not know has group 0. A number is never looked
    up as a name, whatever passwd calls its users (CVE-2016-3697).
    Raises ImageError for anything else: never a nearby id.
    """
    user, colon, group_name = spec.partition(":")
    if spec and (not user or (colon and not group_name)):
        raise _refuse(spec, "the part before or after the colon is empty")
    for content, file in ((passwd, "passwd"), (group, "group")):
        if len(content) > ACCOUNTS_LIMIT:
            raise ImageError(f"the image's /etc/{file} is larger than {ACCOUNTS_LIMIT} bytes", where=f"user {spec[:80]!a}")
    uid, name, gid = _user(user or "0", passwd, spec)
    if colon:
        return uid, _group(group_name, group, spec), ()
    groups = _memberships(name, group, spec) - {gid}
    return uid, gid, tuple(sorted(groups))


def home_of(uid: int, passwd: bytes) -> str:
    """The home directory that passwd gives to the first account with this uid; "/" when it gives none that is absolute."""
    for fields in _lines(passwd, 6):
        if fields[2] == b"%d" % uid:
            home = fields[5].decode("utf-8", "replace")
            usable = home.startswith("/") and "\0" not in home and "\ufffd" not in home
            return home if usable else "/"
    return "/"


def _refuse(spec: str, why: str) -> ImageError:
    return ImageError(
        f"not a user: {spec[:80]!a}",
        where="the image's USER",
        why=why,
        hint="set run.user in the profile to numbers, like 10001:10001",
    )


def _identifier(text: str, spec: str) -> int | None:
    """Return the number that `text` is, None if it is a name."""
    if _NUMBER.fullmatch(text):
        if len(text) > 10 or int(text) > ID_LIMIT:  # noqa: PLR2004  digits of 2^31
            raise _refuse(spec, f"{text[:40]} is beyond 2^31 - 1")
        return int(text)
    if _NAME.fullmatch(text) is None:
        raise _refuse(spec, f"{text[:80]!a} is neither a decimal number without sign or leading zeros nor an account's name")
    return None


def _user(text: str, passwd: bytes, spec: str) -> tuple[int, bytes, int]:
    number = _identifier(text, spec)
    for fields in _lines(passwd, 4):
        if number is None and fields[0] == text.encode():
            return _field(fields[2], spec), fields[0], _field(fields[3], spec)
        if number is not None and fields[2] == b"%d" % number:
            return number, fields[0], _field(fields[3], spec)
    if number is None:
        raise _refuse(spec, f"the image's /etc/passwd has no user {text!a}")
    return number, b"", 0


def _group(text: str, group: bytes, spec: str) -> int:
    number = _identifier(text, spec)
    if number is not None:
        return number
    for fields in _lines(group, 3):
        if fields[0] == text.encode():
            return _field(fields[2], spec)
    raise _refuse(spec, f"the image's /etc/group has no group {text!a}")


def _memberships(name: bytes, group: bytes, spec: str) -> set[int]:
    if not name:
        return set()
    groups = {_field(fields[2], spec) for fields in _lines(group, 4) if name in fields[3].split(b",")}
    if len(groups) > GROUPS_LIMIT:
        raise _refuse(spec, f"it is in more than {GROUPS_LIMIT} groups")
    return groups


def _lines(content: bytes, least: int) -> list[list[bytes]]:
    """Split lines of passwd(5) or group(5); comments and lines without enough fields are not accounts."""
    lines = (line.split(b":") for line in content.split(b"\n") if not line.startswith((b"#", b"+", b"-")))
    return [fields for fields in lines if len(fields) >= least and fields[0]]


def _field(field: bytes, spec: str) -> int:
    text = field.decode("ascii", "replace")
    if _NUMBER.fullmatch(text) is None or len(text) > 10 or int(text) > ID_LIMIT:  # noqa: PLR2004  digits of 2^31
        raise _refuse(spec, f"the image's account file says its id is {text[:40]!a}")
    return int(text)
