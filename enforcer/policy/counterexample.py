"""What one policy allows and another does not, in words and as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enforcer.policy.profile import Clause

Value = str | int | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Counterexample:
    """One concrete access that shows how a section is wider.

    section: as the profile language spells it: "syscalls", "filesystem.mounts", "resources.memory".
    clause:  the line that grants the access.
    what:    a noun phrase: "the system call socket(16, 3, 0)", "TCP to pypi.org port 443".
    example: the same as data, of strings, integers and tuples of integers: {"name": "socket", "args": (16, 3, 0, 0, 0, 0)}.
    """

    section: str
    clause: Clause
    what: str
    example: Mapping[str, Value] = field(hash=False, default_factory=lambda: MappingProxyType({}))


def wider(section: str, clause: Clause, what: str, **example: Value) -> Counterexample:
    """A counter-example whose data are the keyword arguments."""
    return Counterexample(section, clause, what, MappingProxyType(example))
