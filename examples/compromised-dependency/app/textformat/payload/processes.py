"""Other people's processes: seeing, reading, tracing, signalling them, and typing into their terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal

from textformat.payload.attempt import TARGETS, NothingError, attempt, library, note
from textformat.payload.files import steal

_PTRACE_SEIZE = 0x4206
_TIOCSTI = 0x5412
_NAME = b"payroll-service"


@attempt("processes", "find other processes in /proc")
def find() -> None:
    note.at("getdents64", path="/proc")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            if file.read().startswith(_NAME):
                return
    raise NothingError("not listed")


@attempt("processes", "read another process's environment")
def environ() -> None:
    steal(f"/proc/{TARGETS.victim}/environ")


@attempt("processes", "read another process's memory")
def memory() -> None:
    note.at("openat", path=f"/proc/{TARGETS.victim}/maps")
    with open(f"/proc/{TARGETS.victim}/maps", encoding="ascii") as maps:
        address = int(maps.readline().split("-")[0], 16)
    with open(f"/proc/{TARGETS.victim}/mem", "rb", buffering=0) as file:
        file.seek(address)
        file.read(16)


@attempt("processes", "trace another process")
def trace() -> None:
    library("ptrace", _PTRACE_SEIZE, TARGETS.victim, None, None)


@attempt("processes", "signal another process")
def kill() -> None:
    note.at("kill", TARGETS.victim, signal.SIGUSR1)
    os.kill(TARGETS.victim, signal.SIGUSR1)


@attempt("processes", "type into the caller's terminal (TIOCSTI)")
def type_in() -> None:
    note.at("ioctl", 0, _TIOCSTI)
    fcntl.ioctl(0, _TIOCSTI, b"#")
