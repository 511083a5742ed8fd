"""Runs a launch program: makes the system calls of its steps, in order, and knows no policy.

The two processes of a launch run the same list. `Execution.run` walks it from where it stands and makes the steps of its own
process; after the `clone3` step the child goes on as init. This module is on the launch path.
"""

from __future__ import annotations

import os

from enforcer.linux import syscalls
from enforcer.plan import encoding

TYPE_CHECKING = False  # typing would cost a launch 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enforcer.plan.encoding import Program

Value = int | bytes | list[bytes]


class StepFailed(Exception):  # noqa: N818  (a message between two processes, not an error that people see)
    """A step did not succeed: its index in the program and the errno (0: an unexpected result)."""

    def __init__(self, index: int, errno: int) -> None:
        super().__init__(index, errno)
        self.index = index
        self.errno = errno


class Execution:
    """One run of one program.

    slots:  a value for every slot the program names.
    system: makes one call, as `syscalls.raw`; tests inject faults here.
    pseudo: what to do for the steps that are more than one system call, by their (negative) number.

    process is LAUNCHER or INIT: which of the two this process is. child is init's pid in the launcher, 0 before clone3.
    """

    def __init__(
        self,
        program: Program,
        slots: Mapping[str, Value],
        pseudo: Mapping[int, Callable[..., int]],
        system: Callable[..., int] = syscalls.raw,
    ) -> None:
        self.program = program
        self.results = [-1] * program.result_count
        self._slots = [slots[name] for name in program.slot_names]
        self._pseudo = pseudo
        self._system = system
        self._next = 0
        self._keep: list[syscalls.Buffer] = []
        self.process = encoding.LAUNCHER
        self.child = 0

    def run(self) -> None:
        """Make every step of this process up to the program's end. Raises StepFailed at the first that fails."""
        clone3 = syscalls.number("clone3")
        steps = self.program.steps
        while self._next < len(steps):
            index, self._next = self._next, self._next + 1
            record = steps[index]
            if record[1] != self.process or self._skipped(record):
                continue
            result = self._make(index, record)
            if record[0] == clone3:
                self.child = result
                self.process = encoding.LAUNCHER if result else encoding.INIT

    def _skipped(self, record: tuple[int, ...]) -> bool:
        return any(need >= 0 and self.results[need] < 0 for need in record[4:6])

    def _make(self, index: int, record: tuple[int, ...]) -> int:
        number, _, count, name, _, _, tolerated, also_tolerated, expected, first = record
        args = [self._argument(word) for word in self.program.args[first : first + count]]
        result = self._pseudo[number](*args) if number < 0 else self._system(number, *args)
        self._keep.clear()
        if result < 0:
            if -result not in (tolerated, also_tolerated):
                raise StepFailed(index, -result)
            result = -1
        elif expected not in (encoding.ANY_RESULT, result):
            raise StepFailed(index, 0)
        if name >= 0:
            self.results[name] = result
        return result

    def _argument(self, word: tuple[int, int, int]) -> Value | syscalls.Buffer:  # noqa: PLR0911  (one line a kind)
        kind, offset, value = word
        if kind == encoding.INT:
            return value
        if kind == encoding.BYTES:
            return self.program.heap[offset : offset + value]
        if kind == encoding.REF:
            return self.results[value]
        if kind == encoding.SLOT:
            return self._slots[value]
        if kind == encoding.TEXT:
            return b"".join(map(self._text, self.program.args[offset : offset + value]))
        if kind == encoding.PACKED:
            return self._packed(self.program.args[offset : offset + value])
        if kind == encoding.FILTER:
            return self._filter(self.program.heap[offset : offset + value])
        return self._strings(self._slots[value])

    def _text(self, word: tuple[int, int, int]) -> bytes:
        part = self._argument(word)
        return str(part).encode() if isinstance(part, int) else bytes(part)  # type: ignore[arg-type]

    def _packed(self, words: list[tuple[int, int, int]]) -> syscalls.Buffer:
        structure = bytearray(self._text(words[0]))
        for place, source in zip(words[1::2], words[2::2], strict=True):
            offset, size = place[2] >> 8, place[2] & 0xFF
            field = self._argument(source)
            number = field if isinstance(field, int) else self._pointer(field)
            structure[offset : offset + size] = (number & (1 << 8 * size) - 1).to_bytes(size, "little")
        return self._held(bytes(structure))

    def _filter(self, code: bytes) -> syscalls.Buffer:
        count = (len(code) // 8).to_bytes(8, "little")
        return self._held(count + self._pointer(code).to_bytes(8, "little"))

    def _strings(self, strings: Value) -> syscalls.Buffer:
        if not isinstance(strings, list):
            raise TypeError("this slot holds a list of strings")
        pointers = [self._pointer(text + b"\0") for text in strings]
        return self._held(b"".join(pointer.to_bytes(8, "little") for pointer in [*pointers, 0]))

    def _pointer(self, content: Value | syscalls.Buffer) -> int:
        return syscalls.address(self._held(content) if isinstance(content, bytes) else content)  # type: ignore[arg-type]

    def _held(self, content: bytes) -> syscalls.Buffer:
        memory = syscalls.buffer(content)
        self._keep.append(memory)
        return memory


def reason(errno: int) -> str:
    """The kernel's answer in words: "EPERM, Operation not permitted"."""
    import errno as names  # noqa: PLC0415  (only for messages: not on the path of a launch that works)

    return f"{names.errorcode.get(errno, errno)}, {os.strerror(errno)}"
