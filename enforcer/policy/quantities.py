"""Numbers with a unit: sizes, durations, processors, file modes, and the user a container runs as."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enforcer.policy.shape import scalar, text
from enforcer.policy.source import quoted

if TYPE_CHECKING:
    from enforcer.policy.source import Node

MAX_SIZE = 2**63 - 1  # loff_t
MIN_SIZE = 4096  # one page: less bounds nothing that the kernel counts
MAX_DURATION = 3650 * 86_400_000  # ten years, in milliseconds
MAX_CPUS = 4096  # NR_CPUS_RANGE_END of x86-64 is 8192, of aarch64 4096
MAX_ID = 2**31 - 1  # beyond it a signed reader sees a negative number, and -1 means "unchanged" (CVE-2024-40635)

SIZE_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
DURATION_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_QUANTITY = re.compile(r"(0|[1-9][0-9]{0,18})([A-Za-z]*)")
_CPUS = re.compile(r"(0|[1-9][0-9]{0,4})(?:\.([0-9]{1,3})0*)?")
_MODE = re.compile(r"0?[0-7]{3}")
_ID = re.compile(r"0|[1-9][0-9]*")
_SAME_SIZE = {
    "k": "KiB",
    "kb": "KiB",
    "kib": "KiB",
    "m": "MiB",
    "mb": "MiB",
    "mib": "MiB",
    "g": "GiB",
    "gb": "GiB",
    "gib": "GiB",
}
_SAME_SIZE |= {"t": "TiB", "tb": "TiB", "tib": "TiB", "b": "B"}


def size(node: Node) -> int:
    """Read a size in bytes: 4096, 64KiB, 256MiB, 1GiB, 1TiB."""
    written = scalar(node).text
    found = _QUANTITY.fullmatch(written)
    if found is None or found[2] not in SIZE_UNITS:
        unit = _SAME_SIZE.get(found[2].lower()) if found else None
        hint = f"write {found[1]}{unit}" if found and unit else "write it as 64MiB"
        raise node.refuse(
            f"{quoted(written)} is not a size", why="the units are B, KiB, MiB, GiB and TiB, powers of 1024", hint=hint
        )
    value = int(found[1]) * SIZE_UNITS[found[2]]
    if not MIN_SIZE <= value <= MAX_SIZE:
        raise node.refuse(f"{written} is out of range", why=f"a size is {MIN_SIZE} to {MAX_SIZE} bytes")
    return value


def duration(node: Node) -> int:
    """Read a duration in milliseconds: 500ms, 5s, 10m, 2h, 1d."""
    written = scalar(node).text
    found = _QUANTITY.fullmatch(written)
    if found is None or found[2] not in DURATION_UNITS:
        hint = f"write {written}s for seconds" if found and not found[2] else "write it as 10m"
        raise node.refuse(f"{quoted(written)} is not a duration", why="the units are ms, s, m, h and d", hint=hint)
    value = int(found[1]) * DURATION_UNITS[found[2]]
    if not 1 <= value <= MAX_DURATION:
        raise node.refuse(f"{written} is out of range", why="a duration is 1ms to 3650d")
    return value


def cpus(node: Node) -> int:
    """Read a number of processors, 0.01 to 4096, as millicores."""
    written = scalar(node).text
    found = _CPUS.fullmatch(written)
    if found is None:
        raise node.refuse(
            f"{quoted(written)} is not a number of processors", why="at most three decimals", hint="write it as 0.5 or 2"
        )
    value = int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0"))
    if not 10 <= value <= MAX_CPUS * 1000:  # noqa: PLR2004  the range that the refusal names
        raise node.refuse(f"{written} is out of range", why=f"it must be 0.01 to {MAX_CPUS} processors")
    return value


def mode(node: Node) -> int:
    """Read permission bits: "0400". Unquoted they would be decimal, so they are quoted or written 0o400."""
    found = scalar(node)
    digits = found.text.removeprefix("0o") if found.plain else found.text
    if _MODE.fullmatch(digits) and (not found.plain or found.text.startswith("0o")):
        return int(digits, 8)
    if found.plain and _MODE.fullmatch(digits):
        why = "without quotes YAML reads a decimal number"
        raise node.refuse(f"the mode {found.text} is not quoted", why=why, hint=f'write "0{digits[-3:]}"')
    raise node.refuse(
        f"{quoted(found.text)} is not a file mode", why="it is three octal digits: no setuid, setgid or sticky bit"
    )


def user(node: Node) -> str:
    """Read who the payload is: "uid:gid", "uid" (then gid = uid) or "image". Returns the canonical "uid:gid" or "image"."""
    written = scalar(node).text
    if written == "image":
        return text(node)
    uid, colon, gid = written.partition(":")
    _check_id(node, uid, 0)
    if colon:
        _check_id(node, gid, len(uid) + 1)
    return f"{uid}:{gid if colon else uid}"


def _check_id(node: Node, digits: str, at: int) -> None:
    """Refuse what programs have read as root or as "unchanged": -1, 2^31 and more, signs, spaces, other bases, names."""
    offset = at if scalar(node).plain else at + 1
    if _ID.fullmatch(digits):
        if len(digits) > 10 or int(digits) > MAX_ID:  # noqa: PLR2004  no 32-bit number has more digits
            why = f"an id is 0 to {MAX_ID}: larger ones turn negative or into 'unchanged' in some readers"
            raise node.refuse(f"the id {quoted(digits)} is out of range", why=why, at=offset)
        return
    raise node.refuse(
        f"{quoted(digits)} is not a numeric id", why=_why_not_id(digits), hint="write it as 10001:10001", at=offset
    )


def _why_not_id(digits: str) -> str:
    if digits.startswith("-"):
        return "ids are not negative; -1 means 'unchanged' to setresuid(2)"
    if digits.startswith("+"):
        return "ids have no sign"
    if digits != digits.strip():
        return "ids have no spaces"
    if not digits:
        return "the id is missing"
    if digits[0] == "0":
        return "a leading zero or another base is read differently by different programs"
    return "names depend on the image's own /etc/passwd, which nobody checked; only 'image' takes the image's USER"
