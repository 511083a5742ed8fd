import re
from pathlib import Path

import pytest

from enforcer.oci.syscalls import NUMBERS, X32_BIT, known

HEADERS = Path("/usr/include/x86_64-linux-gnu/asm")


@pytest.mark.parametrize(("abi", "header"), [("x86_64", "unistd_64.h"), ("x86", "unistd_32.h"), ("x32", "unistd_x32.h")])
def test_the_kernel_headers_of_this_machine_say_the_same(abi: str, header: str) -> None:
    path = HEADERS / header
    if not path.exists():
        pytest.skip(f"{path}: linux-libc-dev is not installed")
    said = {
        name: int(number) + (X32_BIT if bit else 0)
        for name, bit, number in re.findall(r"#define __NR_(\w+) \(?(__X32_SYSCALL_BIT \+ )?(\d+)\)?\n", path.read_text())
    }
    assert len(said) > 300
    assert {name: NUMBERS[abi].get(name) for name in said} == said


def test_generic_header_agrees_on_aarch64() -> None:
    path = Path("/usr/include/asm-generic/unistd.h")
    if not path.exists():
        pytest.skip(f"{path}: linux-libc-dev is not installed")
    said = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)\n", path.read_text())}
    table = NUMBERS["aarch64"]
    differ = {name for name, number in said.items() if name in table and table[name] != number}
    assert not differ
    # What the header has and aarch64 lacks: the placeholders, 32-bit calls, and another spelling of sync_file_range.
    lacking = {name for name in said if name not in table and not name.endswith("64")}
    assert lacking == {"syscalls", "arch_specific_syscall", "sync_file_range2"}


@pytest.mark.parametrize(
    ("abi", "name", "number"),
    [
        ("x86_64", "read", 0),
        ("x86_64", "uretprobe", 335),
        ("x86_64", "file_setattr", 469),
        ("x86", "socketcall", 102),
        ("x86", "futex_time64", 422),
        ("x86", "mseal", 462),
        ("x32", "execve", X32_BIT + 520),
        ("x32", "open_tree_attr", X32_BIT + 467),
        ("aarch64", "openat", 56),
        ("aarch64", "clone3", 435),
        ("aarch64", "setxattrat", 463),
        ("arm", "set_tls", 0xF0005),
        ("arm", "sync_file_range2", 341),
        ("arm", "arm_sync_file_range", 341),
        ("arm", "statmount", 457),
    ],
)
def test_numbers(abi: str, name: str, number: int) -> None:
    assert NUMBERS[abi][name] == number


def test_one_name_one_number_except_the_alias_of_arm() -> None:
    for abi, table in NUMBERS.items():
        assert len(table) - len(set(table.values())) == (1 if abi == "arm" else 0), abi


def test_known_names() -> None:
    assert known("socketcall")
    assert known("set_tls")
    assert not known("sokcet")
    assert not known("")


def test_an_unknown_abi_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        NUMBERS["mips"]
    assert "mips" not in NUMBERS
    assert set(NUMBERS) == {"x86_64", "x86", "x32", "aarch64", "arm"}
