"""The launch program as bytes: what is cached, digested and executed.

The form is one that a small program in C could walk: two tables of fixed records (steps, arguments) and a heap. Reading it
needs nothing but `struct`, since this module is on the launch path.

    header   magic, counts of steps, arguments, results, slots; length of heap and of texts
    steps    number, process, argument count, result, two needs, two tolerated errnos, expected result, first argument
    args     kind, offset, value
    heap     the bytes that arguments point to
    texts    for each step "call NUL clause NUL note", then the names of results and slots; read only for messages
"""

from __future__ import annotations

import struct

MAGIC = b"ENFORCER-PROGRAM-1\n"
HEADER = struct.Struct("<IIIIII")
STEP = struct.Struct("<iBBhhhHHqI")
ARG = struct.Struct("<BxxxIq")

LAUNCHER, INIT = 0, 1
INT, BYTES, REF, SLOT, TEXT, PACKED, FILTER, STRINGS = range(8)
ANY_RESULT = -(2**62)
PSEUDO_CALLS = {"newuidmap": -2, "newgidmap": -3, "reap": -4, "execvpe": -5}


class Program:
    """A decoded program. steps and args are tuples as the records above lay them out; heap is one bytes object."""

    __slots__ = ("_texts", "args", "encoded", "heap", "result_count", "slot_names", "steps")

    def __init__(self, encoded: bytes) -> None:
        """Raises ValueError when the bytes are not a program of this version or are cut short."""
        if not encoded.startswith(MAGIC):
            raise ValueError("not a launch program of this version")
        at = len(MAGIC)
        if len(encoded) < at + HEADER.size:
            raise ValueError("the launch program is cut short")
        steps, args, results, slots, heap, texts = HEADER.unpack_from(encoded, at)
        at += HEADER.size
        if len(encoded) != at + steps * STEP.size + args * ARG.size + heap + texts:
            raise ValueError("the launch program is cut short")
        self.encoded = encoded
        end = at + steps * STEP.size
        self.steps = list(STEP.iter_unpack(encoded[at:end]))
        at, end = end, end + args * ARG.size
        self.args = list(ARG.iter_unpack(encoded[at:end]))
        self.heap = encoded[end : end + heap]
        self._texts = encoded[end + heap :].split(b"\0")
        self.result_count = results
        first = 3 * steps + results
        self.slot_names = [name.decode() for name in self._texts[first : first + slots]]

    def describe(self, index: int) -> tuple[str, str, str]:
        """Call, clause and note of one step."""
        call, clause, note = self._texts[3 * index : 3 * index + 3]
        return call.decode(), clause.decode(), note.decode()

    def result_index(self, name: str) -> int:
        """Where a named result is kept. Raises ValueError when no step makes it."""
        first = 3 * len(self.steps)
        return self._texts[first : first + self.result_count].index(name.encode())
