"""Which ids a caller may give to containers: a range of the host's own for root, subordinate ids for others.

See user_namespaces(7), subuid(5), newuidmap(1).
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from enforcer.linux import procfs
from enforcer.linux.attempt import holds, start_in_user_namespace, stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BLOCK = 65536
# Above systemd's ranges for its containers (524288 to 1879048191), below those it keeps for foreign images (2147352576).
PREFERRED = range(0x70000000, 0x78000000)
# Ids from 2**31 on are negative to programs that keep them in an int.
LAST = 2**31
PATHS = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin")
NONE = (0, 0)


def container_ids() -> tuple[int, int]:
    """(first, count) of host ids for rootful containers; (0, 0) when this user namespace has none to spare."""
    maps = [procfs.parse_id_map(procfs.read(f"/proc/self/{name}")) for name in ("uid_map", "gid_map")]
    taken = [block for name in ("subuid", "subgid") for _, block in procfs.parse_subordinate(procfs.read(f"/etc/{name}"))]
    for name in ("passwd", "group"):
        taken += [range(one, one + 1) for one in procfs.parse_account_ids(procfs.read(f"/etc/{name}"))]
    return choose(_common(*maps), taken)


def choose(mapped: Iterable[range], taken: Sequence[range]) -> tuple[int, int]:
    """(first, count), both multiples of 65536: the preferred range where it is free, else the largest free one.

    The first 65536 ids belong to the host's accounts, whether /etc/passwd lists them or a directory service does.
    """
    occupied = sorted([range(BLOCK), *taken], key=lambda block: block.start)
    free = [gap for block in mapped for gap in _gaps(range(block.start, min(block.stop, LAST)), occupied)]
    if any(gap.start <= PREFERRED.start and PREFERRED.stop <= gap.stop for gap in free):
        return PREFERRED.start, len(PREFERRED)
    aligned = [range(-(-gap.start // BLOCK) * BLOCK, gap.stop // BLOCK * BLOCK) for gap in free]
    best = max(aligned, key=len, default=range(0))
    return (best.start, min(len(best), len(PREFERRED))) if best else NONE


def _gaps(block: range, occupied: Sequence[range]) -> list[range]:
    """What is left of a range without the occupied ones, which are sorted by their start."""
    gaps, at = [], block.start
    for other in occupied:
        if gap := range(at, min(other.start, block.stop)):
            gaps.append(gap)
        at = max(at, other.stop)
    return [*gaps, range(at, block.stop)] if at < block.stop else gaps


def _common(uids: Iterable[range], gids: Sequence[range]) -> list[range]:
    """Ids that exist both as a user and as a group."""
    both = [range(max(u.start, g.start), min(u.stop, g.stop)) for u in uids for g in gids]
    return [block for block in both if block]


def subordinate(file: str, uid: int) -> tuple[int, int]:
    """(first, count) of the largest range that /etc/subuid or /etc/subgid gives to a user, by name or number."""
    try:
        names = {str(uid), pwd.getpwuid(uid).pw_name}
    except KeyError:
        names = {str(uid)}
    ranges = [block for owner, block in procfs.parse_subordinate(procfs.read(file)) if owner in names]
    best = max(ranges, key=len, default=range(0))
    return (best.start, len(best)) if best else NONE


def mapper(name: str, own: int, block: tuple[int, int]) -> str:
    """The absolute path of newuidmap or newgidmap; "" when it is missing or does not map this caller's subordinate ids.

    It fails without its set-user-id bit or file capability, on a nosuid mount and under no_new_privs.
    """
    path = next((f"{directory}/{name}" for directory in PATHS if os.access(f"{directory}/{name}", os.X_OK)), "")
    return path if path and (block == NONE or _maps(path, own, block)) else ""


def _maps(path: str, own: int, block: tuple[int, int]) -> bool:
    try:
        child = start_in_user_namespace()
    except OSError:
        return False
    try:
        words = [path, str(child), "0", str(own), "1", "1", *map(str, block)]
        return holds(lambda: _execute(words))
    finally:
        stop(child)


def _execute(words: list[str]) -> None:
    """Become a program that says nothing."""
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.execv(words[0], words)  # noqa: S606  (an absolute path, no shell)
