"""What /proc and /etc say, as values: mounts, control groups, id maps, subordinate ids, process status.

Every parser takes text and can be tested without a kernel; `read` is the one place that opens a file. See proc(5), cgroups(7),
user_namespaces(7), subuid(5).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

# A /proc file or an /etc table of more than this is not one that we want to understand.
MAX_BYTES = 8 * 1024 * 1024
PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of mountinfo. root: the directory inside its filesystem; options: of the superblock (v1: the controllers)."""

    root: str
    at: str
    kind: str
    options: frozenset[str]


def read(path: str) -> str:
    """The text of a small file; "" when it is absent or may not be read. Undecodable bytes stay distinguishable.

    It is read in pieces: /proc/sys answers ENOMEM to a read(2) of 4 MiB or more.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    content = b""
    try:
        while len(content) < MAX_BYTES and (piece := os.read(descriptor, PIECE)):
            content += piece
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return content.decode(errors="surrogateescape")


def parse_mountinfo(text: str) -> tuple[MountEntry, ...]:
    """Mounts in the order of /proc/self/mountinfo: a later one at the same place hides an earlier one."""
    entries = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if separator and len(fields) >= 5 and len(rest) >= 3:  # noqa: PLR2004
            entries.append(MountEntry(_unescape(fields[3]), _unescape(fields[4]), rest[0], frozenset(rest[2].split(","))))
    return tuple(entries)


def _unescape(name: str) -> str:
    """The kernel writes space, tab, newline and backslash in octal."""
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        name = name.replace(escaped, plain)
    return name


def parse_cgroup(text: str) -> dict[str, str]:
    """Controller → the process's cgroup in that hierarchy, from /proc/self/cgroup; the v2 hierarchy has the name ""."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, separator, path = rest.partition(":")
        if separator and hierarchy.isdigit():
            found.update(dict.fromkeys(controllers.split(","), path))
    return found


def parse_id_map(text: str) -> tuple[range, ...]:
    """The ids that exist in this user namespace, from /proc/self/uid_map (first inside, first outside, count)."""
    rows = [line.split() for line in text.splitlines()]
    return tuple(range(int(row[0]), int(row[0]) + int(row[2])) for row in rows if len(row) == 3)  # noqa: PLR2004


def parse_subordinate(text: str) -> tuple[tuple[str, range], ...]:
    """Owner (a name or a number) and range of each line of /etc/subuid or /etc/subgid; other lines are skipped."""
    found = []
    for line in text.splitlines():
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if first.isdecimal() and count.isdecimal():
            found.append((owner, range(int(first), int(first) + int(count))))
    return tuple(found)


def parse_account_ids(text: str) -> tuple[int, ...]:
    """The third field of each line of /etc/passwd or /etc/group."""
    rows = [line.split(":") for line in text.splitlines()]
    return tuple(int(row[2]) for row in rows if len(row) > 2 and row[2].isdecimal())  # noqa: PLR2004


def parse_status(text: str) -> dict[str, str]:
    """/proc/PID/status as name → value: {"CapEff": "000001ffffffffff", …}."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, separator, value in pairs if separator}
