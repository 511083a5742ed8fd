"""Permissions given on the command line: one more profile, under the same ceiling (profile.md, rule 2)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from enforcer.policy.addresses import cidr, host, is_address, port
from enforcer.policy.places import mount_point, normalised
from enforcer.policy.profile import Access, Clause, Egress, Mount, Network, Profile, WrittenFilesystem
from enforcer.policy.source import Scalar, quoted, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence as Values

PLACE = "command line"
NAME = "command-line"


def from_command_line(
    allow_net: Values[str] = (),
    allow_read: Values[str] = (),
    allow_write: Values[str] = (),
    *,
    directory: str = "",
) -> Profile:
    """Build the profile of `--allow-net`, `--allow-read` and `--allow-write`.

    allow_net: HOST:PORT, CIDR:PORT, ADDRESS:PORT; IPv6 in brackets, "[2001:db8::]:443"; the port may be "53/udp".
    allow_read, allow_write: paths of the host, bound at the same place; relative ones start from `directory`, the caller's
    absolute working directory.
    Raises ProfileError, placed at "command line".
    """
    mounts = dict(_mounts(allow_read, "read", directory))
    mounts |= dict(_mounts(allow_write, "write", directory))
    egress = frozenset(_egress(f"network.egress[{index}]", text) for index, text in enumerate(dict.fromkeys(allow_net)))
    clause = Clause("", PLACE)
    return Profile(
        source=PLACE,
        name=NAME,
        filesystem=WrittenFilesystem(mounts=frozenset(mounts.values()), root_clause=clause) if mounts else None,
        network=Network(egress, frozenset(), share_clause=clause) if egress else None,
        sections=MappingProxyType({"": clause}),
    )


def _mounts(paths: Values[str], access: Access, directory: str) -> Iterator[tuple[str, Mount]]:
    for index, path in enumerate(paths):
        absolute = path if path.startswith("/") or not path or not directory else f"{directory}/{path}"
        tidy = absolute if ".." in absolute.split("/") else normalised(absolute)
        node = _node(f"filesystem.mounts[{index}]", f"--allow-{access} {path}", tidy)
        at = mount_point(node)
        yield at, Mount("bind", at, at, access, clause=Clause(f"--allow-{access}", PLACE))


def _egress(path: str, text: str) -> Egress:
    whole = _node(path, f"--allow-net {text}", text)
    target, colon, number = text.rpartition(":")
    if not colon or not target:
        raise whole.refuse(f"{quoted(text)} names no port", hint="write HOST:PORT, for example pypi.org:443")
    ports = frozenset({port(_node(path, f"--allow-net {text}", number, len(target) + 1))})
    bare = target[1:-1] if target.startswith("[") and target.endswith("]") else target
    node = _node(path, f"--allow-net {text}", bare, int(bare != target))
    clause = Clause("--allow-net", PLACE)
    if is_address(bare):
        return Egress("cidr", cidr(_node(path, f"--allow-net {text}", f"{bare}/{128 if ':' in bare else 32}")), ports, clause)
    if "/" in bare:
        return Egress("cidr", cidr(node), ports, clause)
    return Egress("host", host(node), ports, clause)


def _node(path: str, argument: str, value: str, skip: int = 0) -> Scalar:
    """A value of an argument, which begins `skip` characters behind the option's name."""
    column = argument.index(" ") + 2 + skip
    source = source_of(PLACE, argument, numbered=False)
    return Scalar(source, path, 1, column, (1, column), value, value, plain=True)
