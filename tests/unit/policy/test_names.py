from __future__ import annotations

import errno
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from enforcer.policy.names import CAPABILITIES, constants, errnos

if TYPE_CHECKING:
    from pathlib import Path

HEADERS = (
    "sys/socket.h",
    "linux/sched.h",
    "sys/prctl.h",
    "sys/ioctl.h",
    "termios.h",
    "sys/mman.h",
    "netinet/in.h",
    "linux/netlink.h",
    "linux/seccomp.h",
    "linux/capability.h",
)


def test_errors_are_those_of_the_system() -> None:
    assert dict(errnos()) == {name: getattr(errno, name) for name in dir(errno) if name.startswith("E")}


def test_capabilities_are_all_there() -> None:
    assert len(set(CAPABILITIES)) == 41
    assert CAPABILITIES.index("SYS_ADMIN") == 21
    assert CAPABILITIES[-1] == "CHECKPOINT_RESTORE"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_constants_are_those_of_the_headers(tmp_path: Path) -> None:
    words = [*constants(), *(f"CAP_{name}" for name in CAPABILITIES)]
    lines = [f"#include <{header}>" for header in HEADERS]
    lines += ["#include <stdio.h>", "int main(void) {"]
    for word in words:
        # A macro the headers here do not have yet is not printed; enum members that no macro stands for are.
        guard = word not in {"SOCK_STREAM", "IPPROTO_TCP"}
        show = f'printf("%s %llu\\n", "{word}", (unsigned long long)(unsigned int)({word}));'
        lines += [f"#ifdef {word}", show, "#endif"] if guard else [show]
    source = tmp_path / "constants.c"
    source.write_text("\n".join([*lines, "return 0; }"]))
    subprocess.run(["gcc", "-w", "-o", str(tmp_path / "constants"), str(source)], check=True)
    output = subprocess.run([str(tmp_path / "constants")], check=True, capture_output=True, text=True).stdout
    found = {name: int(number) for name, number in (line.split() for line in output.splitlines())}
    known = {**constants(), **{f"CAP_{name}": number for number, name in enumerate(CAPABILITIES)}}
    assert len(found) > 180
    assert {name: known[name] & 0xFFFFFFFF for name in found} == found
