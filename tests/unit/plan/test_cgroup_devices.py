from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.plan.cgroup_devices import DEFAULT_DEVICES, DeviceRule, attach_attr, load_attr, program

KIND = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}
# Small numbers, so that rules and requests meet.
numbers = st.integers(0, 4)
rules = st.builds(
    DeviceRule, st.sampled_from("bc"), numbers, st.none() | numbers, st.sampled_from(["r", "w", "m", "rw", "rm", "rwm"])
)


def run(code: bytes, kind: str, access: int, major: int, minor: int) -> int:
    """The few instructions of eBPF that the program uses, by the standard's table of opcodes."""
    context = (access << 16 | KIND[kind], major, minor)
    registers = [0] * 11
    at = 0
    instructions = list(struct.iter_unpack("<BBhi", code))
    while True:
        operation, both, offset, constant = instructions[at]
        to, source = both & 15, both >> 4
        at += 1
        match operation:
            case 0x61:
                assert source == 1
                registers[to] = context[offset // 4]
            case 0xBF:
                registers[to] = registers[source]
            case 0xB7:
                registers[to] = constant
            case 0x57:
                registers[to] &= constant
            case 0x77:
                registers[to] >>= constant
            case 0x55:
                at += offset if registers[to] != constant else 0
            case 0x95:
                return registers[0]
            case _:
                pytest.fail(f"unexpected instruction {operation:#x}")


def allows(rule: DeviceRule, kind: str, access: int, major: int, minor: int) -> bool:
    granted = sum(ACCESS[letter] for letter in rule.access)
    return rule.kind == kind and access & ~granted == 0 and rule.major == major and rule.minor in (None, minor)


@given(st.lists(rules, max_size=5), st.sampled_from("bc"), st.integers(1, 7), numbers, numbers)
def test_the_program_decides_as_the_rules_say(
    granted: list[DeviceRule], kind: str, access: int, major: int, minor: int
) -> None:
    expected = any(allows(rule, kind, access, major, minor) for rule in granted)
    assert run(program(tuple(granted)), kind, access, major, minor) == expected


@pytest.mark.parametrize(
    ("kind", "major", "minor", "passes"),
    [
        ("c", 1, 3, True),
        ("c", 5, 2, True),
        ("c", 136, 7, True),
        ("c", 143, 0, False),
        ("c", 1, 1, False),
        ("c", 1, 11, False),
        ("b", 1, 3, False),
        ("c", 144, 0, False),
        ("c", 10, 229, False),
        ("b", 254, 0, False),
    ],
)
def test_every_container_gets_the_harmless_devices_and_no_others(kind: str, major: int, minor: int, *, passes: bool) -> None:
    assert run(program(DEFAULT_DEVICES), kind, 6, major, minor) == passes


def test_no_rules_let_nothing_pass() -> None:
    assert run(program(()), "c", 2, 1, 3) == 0


def test_groups_below_cannot_override_the_program() -> None:
    """BPF_F_ALLOW_MULTI: programs of groups below run as well, and all must agree; BPF_F_ALLOW_OVERRIDE would replace ours."""
    assert struct.unpack("<IIII", attach_attr(3, 4)) == (3, 4, 6, 2)


def test_the_structure_that_loads_the_program_has_its_pointers_where_the_steps_put_them() -> None:
    attr = load_attr(9, 0x1111, 0x2222)
    assert struct.unpack_from("<IIQQ", attr) == (15, 9, 0x1111, 0x2222)
    assert struct.unpack_from("<I", attr, 68) == (6,)
    assert len(attr) == 72
