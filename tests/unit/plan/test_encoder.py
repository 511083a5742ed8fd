from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.linux.executor import Execution
from enforcer.oci.syscalls import NUMBERS
from enforcer.plan import encoding
from enforcer.plan.encoder import encode
from enforcer.plan.step import Filter, Packed, Ref, Slot, Step, Strings, Text

CALLS = ("openat", "close", "mount_setattr", "clone3", "execvpe", "reap", "newuidmap")
NAME = st.text("abcdefghijklmnopqrstuvwxyz -", min_size=1, max_size=8)
SIMPLE = st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=20) | st.builds(Slot, NAME)
TEXTS = st.builds(Text, st.lists(st.binary(max_size=8) | st.builds(Slot, NAME), max_size=3).map(tuple))
PATCHES = st.lists(st.tuples(st.integers(0, 200), st.sampled_from([1, 2, 4, 8]), st.binary(max_size=9) | st.builds(Slot, NAME)))
STRUCTURES = st.builds(Packed, st.binary(max_size=32), PATCHES.map(lambda found: tuple(found[:3])))
ARGUMENTS = SIMPLE | TEXTS | STRUCTURES | st.builds(Strings, NAME) | st.builds(Filter, st.binary(min_size=8, max_size=8))
LABEL = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=("Cs",)), max_size=10)


@st.composite
def programs(draw: st.DrawFn) -> tuple[Step, ...]:
    """Steps that may use the results of those before them."""
    steps: list[Step] = []
    made: list[str] = []
    for _ in range(draw(st.integers(1, 6))):
        references = st.builds(Ref, st.sampled_from(made)) if made else st.nothing()
        steps.append(
            Step(
                draw(st.sampled_from(["launcher", "init"])),
                draw(st.sampled_from(CALLS)),
                tuple(draw(st.lists(ARGUMENTS | references, max_size=6))),
                draw(LABEL),
                result=draw(st.just("") | NAME),
                tolerate=tuple(draw(st.lists(st.sampled_from(["ENOENT", "EEXIST"]), max_size=2, unique=True))),
                needs=tuple(draw(st.lists(st.sampled_from(made), max_size=2))) if made else (),
                expect=draw(st.none() | st.integers(-(2**61), 2**62)),
                note=draw(LABEL),
            )
        )
        made += [steps[-1].result] if steps[-1].result else []
    return tuple(steps)


def decoded_argument(program: encoding.Program, word: tuple[int, int, int]) -> object:  # noqa: PLR0911
    """An argument again, results by their number."""
    kind, offset, value = word
    if kind == encoding.INT:
        return value
    if kind == encoding.BYTES:
        return program.heap[offset : offset + value]
    if kind == encoding.REF:
        return ("result", value)
    if kind == encoding.SLOT:
        return Slot(program.slot_names[value])
    if kind == encoding.STRINGS:
        return Strings(program.slot_names[value])
    if kind == encoding.FILTER:
        return Filter(program.heap[offset : offset + value])
    inner = [decoded_argument(program, each) for each in program.args[offset : offset + value]]
    if kind == encoding.TEXT:
        return Text(tuple(inner))  # type: ignore[arg-type]
    places = zip(inner[1::2], inner[2::2], strict=True)
    return Packed(inner[0], tuple((place >> 8, place & 0xFF, source) for place, source in places))  # type: ignore[arg-type,operator]


@given(programs(), st.sampled_from(["x86_64", "aarch64"]))
def test_everything_that_is_executed_survives_encoding(steps: tuple[Step, ...], machine: str) -> None:
    program = encoding.Program(encode(steps, machine))
    numbers = {**NUMBERS[machine], **encoding.PSEUDO_CALLS}
    results: dict[str, int] = {}
    assert len(program.steps) == len(steps)
    for index, (step, record) in enumerate(zip(steps, program.steps, strict=True)):
        number, process, count, result, *conditions, expected, first = record
        assert number == numbers[step.call]
        assert process == (encoding.INIT if step.where == "init" else encoding.LAUNCHER)
        found = [decoded_argument(program, word) for word in program.args[first : first + count]]
        wanted = [("result", results[arg.name]) if isinstance(arg, Ref) else signed(arg) for arg in step.args]
        assert found == wanted
        assert conditions[:2] == [*(results[name] for name in step.needs), -1, -1][:2]
        assert conditions[2:] == [*(getattr(errno, name) for name in step.tolerate), 0, 0][:2]
        assert expected == (encoding.ANY_RESULT if step.expect is None else step.expect)
        if step.result:
            results.setdefault(step.result, len(results))
            assert result == results[step.result] == program.result_index(step.result)
        else:
            assert result == -1
        assert program.describe(index) == (step.call, step.clause, step.note)


def signed(arg: object) -> object:
    """An integer is kept as 64 bits with a sign: the same register content."""
    return arg - 2**64 if isinstance(arg, int) and arg >= 2**63 else arg


def test_bytes_always_end_in_nul() -> None:
    program = encoding.Program(encode((Step("init", "openat", (b"/etc",), "x"),), "x86_64"))
    assert program.heap == b"/etc\0"


def test_equal_bytes_are_kept_once() -> None:
    program = encoding.Program(encode((Step("init", "openat", (b"/etc", b"/etc", b"/x"), "x"),), "x86_64"))
    assert program.heap == b"/etc\0/x\0"


def test_a_result_that_nothing_makes_is_the_planners_mistake() -> None:
    with pytest.raises(ValueError, match="no earlier step makes"):
        encode((Step("init", "close", (Ref("x"),), "x"),), "x86_64")


def test_a_call_that_the_machine_lacks_is_too() -> None:
    with pytest.raises(KeyError):
        encode((Step("init", "open", (b"/",), "x"),), "aarch64")


def test_what_the_executor_hands_to_the_kernel_is_what_was_planned() -> None:
    """Every kind of argument, once, through the encoding and the executor."""
    seen: list[tuple[object, ...]] = []

    def system(_number: int, *args: object) -> int:
        seen.append(tuple(bytes(arg) if hasattr(arg, "raw") else arg for arg in args))  # type: ignore[call-overload]
        return 7

    steps = (
        Step("launcher", "openat", (-100, b"/etc", 2**63), "x", result="file"),
        Step("launcher", "close", (Ref("file"), Slot("number")), "x"),
        Step("launcher", "openat", (Text((b"/proc/", Ref("file"), b"/", Slot("word"))),), "x"),
        Step("launcher", "close", (Packed(bytes(8), ((4, 2, Ref("file")),)),), "x"),
    )
    program = encoding.Program(encode(steps, "x86_64"))
    Execution(program, {"number": 3, "word": b"ns"}, {}, system).run()
    assert seen[0] == (-100, b"/etc", -(2**63))
    assert seen[1] == (7, 3)
    assert seen[2][0] == b"/proc/7/ns"
    assert seen[3][0][:8] == bytes([0, 0, 0, 0, 7, 0, 0, 0])  # type: ignore[index]
