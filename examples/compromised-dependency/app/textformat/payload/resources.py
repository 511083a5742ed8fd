"""What everybody on the machine shares: process numbers, disk, memory. Each stops by itself at a limit."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from textformat.payload.attempt import TARGETS, attempt, note

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROCESSES = 200
_MIB = 1 << 20
_DISK = 128
_MEMORY = 256
_STEP = 4


@attempt("resources", f"fork without end (stops at {_PROCESSES})")
def fork() -> None:
    note.at("clone", 0x1200011)  # CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID, SIGCHLD: what the C library passes
    children: list[int] = []
    try:
        while len(children) < _PROCESSES:
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
            children.append(child)
    finally:
        note.how_far = f"{len(children)} processes"
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@attempt("resources", f"fill the disk (stops at {_DISK} MiB)")
def fill() -> None:
    note.at("write", path=TARGETS.scratch[0])
    failures = []
    for place in TARGETS.scratch:
        try:
            fill_place(f"{place}/filler")
        except OSError as error:
            failures.append(error)
        else:
            return
    raise failures[0]


def fill_place(path: str) -> None:
    """Write a file until there is no room, or enough is shown."""
    written = 0
    try:
        with open(path, "xb", buffering=0) as file:
            while written < _DISK:
                written += file.write(bytes(_MIB)) // _MIB
    finally:
        note.how_far = note.how_far or f"{written} MiB"
        if os.path.exists(path):
            os.unlink(path)


@attempt("resources", f"eat memory (stops at {_MEMORY} MiB)")
def eat() -> Iterator[str]:
    note.at("mmap")
    held: list[bytes] = []
    while len(held) * _STEP < _MEMORY:
        held.append(b"\1" * (_STEP * _MIB))
        yield f"{len(held) * _STEP} MiB"
