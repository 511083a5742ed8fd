"""One attempt: a name, what it does, and what came of it.

Nothing here does harm. An attempt goes as far as shows that the harm could be done (a descriptor is opened, a decoy is read, a
module loader has refused nonsense as nonsense) and stops; those that exhaust something stop at a limit of their own.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Act = Callable[[], Iterable[str] | None]

SECONDS = 5
# What has no function in the C library: numbers on x86-64 and on aarch64.
NUMBERS = {
    "bpf": (321, 280),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "perf_event_open": (298, 241),
}
_libc = ctypes.CDLL(None, use_errno=True)


class ImpossibleError(Exception):
    """This machine has no such thing: the attempt says nothing about the confinement."""


class NothingError(Exception):
    """Nothing was refused by an errno; what was looked for is not there. The argument says what is not."""


@dataclass
class Note:
    """What an attempt is about: the system call, its arguments where a filter may look at them, its path, how far it got."""

    call: str = ""
    args: tuple[int, ...] = ()
    path: str = ""
    access: int = os.R_OK
    how_far: str = ""

    def at(self, call: str, *args: int, path: str = "", access: int = os.R_OK) -> None:
        """Say which call comes next; access: what of the path it needs, as access(2) takes it."""
        self.call, self.args, self.path, self.access = call, args, path, access


@dataclass
class Targets:
    """Where things are, as an attacker would find out; the demo says it, so that no refusal is a matter of not knowing."""

    canary: str
    home: str
    scratch: list[str]
    victim: int
    metadata: str
    attacker: str
    loopback: int
    abstract: str
    descriptor: int
    disk: str
    disk_number: int

    @staticmethod
    def load() -> Targets:
        """Read what the demo wrote beside this file."""
        with open(os.path.join(os.path.dirname(__file__), "targets.json"), encoding="utf-8") as file:
            return Targets(**json.load(file))


@dataclass
class Attempt:
    """name: what is tried, as the table says it. act: returns when it got through; OSError and NothingError say it did not."""

    group: str
    name: str
    act: Act


ATTEMPTS: list[Attempt] = []
TARGETS = Targets.load()
note = Note()


def attempt(group: str, name: str) -> Callable[[Act], Act]:
    """Enter a function in the list of attempts."""

    def enter(act: Act) -> Act:
        ATTEMPTS.append(Attempt(group, name, act))
        return act

    return enter


def check(result: int) -> int:
    """What a function of the C library returned; OSError when that is -1."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def library(name: str, *args: Any) -> int:  # noqa: ANN401  (whatever the function takes)
    """Call a function of the C library that is one system call of the same name."""
    note.at(name, *(argument for argument in args if isinstance(argument, int)))
    return check(getattr(_libc, name)(*args))


def system(name: str, *args: Any) -> int:  # noqa: ANN401  (whatever the call takes)
    """Make a system call by its number."""
    note.at(name, *(argument for argument in args if isinstance(argument, int)))
    number = NUMBERS[name][platform.machine() == "aarch64"]
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in args]
    return check(_libc.syscall(ctypes.c_long(number), *words))


def make(entry: Attempt) -> dict[str, Any]:
    """Make an attempt in a child, since some end the process that makes them. Returns what came of it, for JSON."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.alarm(SECONDS)
        _in_child(entry, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = [json.loads(line) for line in pipe.read().splitlines()]
    _, status = os.waitpid(child, 0)
    result: dict[str, Any] = {
        "id": entry.act.__name__,
        "group": entry.group,
        "name": entry.name,
        "reached": False,
        "answer": "",
        **vars(Note()),
    }
    for part in said:
        result |= part
    if os.WIFSIGNALED(status):
        result["answer"] = signal.Signals(os.WTERMSIG(status)).name
    return result


def _in_child(entry: Attempt, write: int) -> None:
    try:
        said = _outcome(entry, write)
        os.write(write, json.dumps(vars(note) | said).encode() + b"\n")
    finally:
        os._exit(0)


def _outcome(entry: Attempt, report: int) -> dict[str, Any]:
    try:
        for far in entry.act() or ():  # what may be killed says on its way how far it got
            note.how_far = far
            os.write(report, json.dumps(vars(note)).encode() + b"\n")
    except ImpossibleError as error:
        return {"impossible": str(error)}
    except NothingError as error:
        return {"answer": str(error)}
    except OSError as error:
        # access(2) looks at the file's mode and at its mount. Landlock is not asked by it.
        permitted = bool(note.path) and os.access(note.path, note.access)
        return {"answer": errno.errorcode.get(error.errno or 0, str(error)), "permitted": permitted}
    return {"reached": True}
