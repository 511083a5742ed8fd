"""What a launch program is made of: a flat list of system calls, each with the clause it enforces.

Two processes run it, in one order: the *launcher* (outside) and *init* (the process that becomes the container). The first
`clone3` makes init; from there on each process runs its own steps and waits for the other where a step reads from a pipe.
Everything that can be computed beforehand already is: arguments are integers, bytes, structures, results of earlier steps, or
slots that are bound for each launch (the container's id, its first host id, its command line).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["launcher", "init"]


@dataclass(frozen=True, slots=True)
class Ref:
    """The result of an earlier step, by its name: a descriptor or a process id."""

    name: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A value that is bound at launch: an int or bytes."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A NUL-terminated string put together at launch; integers are written in decimal: ("/proc/", Ref("init"), "/ns/user")."""

    parts: tuple[bytes | Ref | Slot, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """A structure whose integer fields at (offset, size in bytes) are filled with results or slots, little-endian.

    Where the patch is bytes or another structure, the field becomes a pointer to it.
    """

    template: bytes
    patches: tuple[tuple[int, int, Ref | Slot | bytes | Packed], ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """A struct sock_fprog that points to these classic BPF instructions."""

    code: bytes


@dataclass(frozen=True, slots=True)
class Strings:
    """A NULL-terminated array of the strings in a slot (argv, envp)."""

    slot: str


Arg = int | bytes | Ref | Slot | Text | Packed | Filter | Strings


@dataclass(frozen=True, slots=True)
class Step:
    """One system call.

    where:    which process runs it.
    call:     the system call's name, as the manual spells it.
    args:     up to six; bytes are passed as a pointer and always end in NUL.
    clause:   the path of the clause that it enforces ("resources.memory"); for what every container gets, the path that the
              language implies ("user_namespace", "filesystem.root", "capabilities", "syscalls", "run.user", …).
    result:   a name under which the returned value is kept.
    tolerate: errno names after which the program goes on; the result is then -1.
    needs:    names of results; the step is skipped when one of them is negative.
    expect:   the only result that is a success; None accepts every one that is no error.
    note:     why the step is there, for people.
    """

    where: Where
    call: str
    args: tuple[Arg, ...]
    clause: str
    result: str = ""
    tolerate: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    expect: int | None = None
    note: str = ""
