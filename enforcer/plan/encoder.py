"""A list of steps becomes bytes, laid out as `encoding` describes. Not on the launch path: it runs when a plan is made."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from enforcer.oci.syscalls import NUMBERS
from enforcer.plan import encoding
from enforcer.plan.step import Filter, Packed, Ref, Slot, Strings, Text

if TYPE_CHECKING:
    from enforcer.plan.step import Arg, Step


def encode(steps: tuple[Step, ...], machine: str) -> bytes:
    """Lay the program out as `encoding` describes it, with the call numbers of `machine` ("x86_64", "aarch64").

    Raises ValueError for a reference to a result that no earlier step makes, and for a call that the machine does not have:
    both are mistakes of the planner, never of its input.
    """
    return _Encoder(machine).encode(steps)


class _Encoder:
    def __init__(self, machine: str) -> None:
        self.numbers = {**NUMBERS[machine], **encoding.PSEUDO_CALLS}
        self.results: dict[str, int] = {}
        self.slots: dict[str, int] = {}
        self.args: list[bytes] = []
        self.heap = bytearray()
        self.places: dict[bytes, int] = {}

    def encode(self, steps: tuple[Step, ...]) -> bytes:
        records = [self._step(step) for step in steps]
        texts = [text for step in steps for text in (step.call, step.clause, step.note)] + list(self.results) + list(self.slots)
        text = "\0".join(texts).encode()
        header = encoding.HEADER.pack(
            len(records), len(self.args), len(self.results), len(self.slots), len(self.heap), len(text)
        )
        return b"".join((encoding.MAGIC, header, *records, *self.args, bytes(self.heap), text))

    def _step(self, step: Step) -> bytes:
        words = [self._arg(arg) for arg in step.args]
        first = len(self.args)
        self.args.extend(words)
        unknown = [name for name in step.needs if name not in self.results]
        if unknown:
            raise ValueError(f"no earlier step makes the result {unknown[0]!r}")
        needs = [self.results[name] for name in step.needs] + [-1, -1]
        tolerate = [getattr(errno, name) for name in step.tolerate] + [0, 0]
        if step.result:
            self.results.setdefault(step.result, len(self.results))
        return encoding.STEP.pack(
            self.numbers[step.call],
            encoding.INIT if step.where == "init" else encoding.LAUNCHER,
            len(words),
            self.results.get(step.result, -1),
            needs[0],
            needs[1],
            tolerate[0],
            tolerate[1],
            encoding.ANY_RESULT if step.expect is None else step.expect,
            first,
        )

    def _arg(self, arg: Arg) -> bytes:  # noqa: C901, PLR0911  (one case a kind)
        match arg:
            case int():
                return encoding.ARG.pack(encoding.INT, 0, arg - 2**64 if arg >= 2**63 else arg)
            case bytes():
                return self._bytes(encoding.BYTES, arg)
            case Ref(name):
                if name not in self.results:
                    raise ValueError(f"no earlier step makes the result {name!r}")
                return encoding.ARG.pack(encoding.REF, 0, self.results[name])
            case Slot(name):
                return encoding.ARG.pack(encoding.SLOT, 0, self.slots.setdefault(name, len(self.slots)))
            case Strings(slot):
                return encoding.ARG.pack(encoding.STRINGS, 0, self.slots.setdefault(slot, len(self.slots)))
            case Filter(code):
                return self._bytes(encoding.FILTER, code)
            case Text(parts):
                return self._group(encoding.TEXT, [self._arg(part) for part in parts])
            case Packed(template, patches):
                words = [self._arg(template)]
                for offset, size, source in patches:
                    words += [self._arg(offset << 8 | size), self._arg(source)]
                return self._group(encoding.PACKED, words)

    def _bytes(self, kind: int, value: bytes) -> bytes:
        if value not in self.places:
            self.places[value] = len(self.heap)
            self.heap += value + b"\0"
        return encoding.ARG.pack(kind, self.places[value], len(value))

    def _group(self, kind: int, words: list[bytes]) -> bytes:
        first = len(self.args)
        self.args.extend(words)
        return encoding.ARG.pack(kind, first, len(words))
