"""The exact instructions of one filter: a change of our compiler, of libseccomp or of the list shows as a difference."""

from __future__ import annotations

import os
from pathlib import Path

from enforcer.linux.seccomp import assemble
from enforcer.plan import bpf, seccomp
from tests import shipped

GOLDEN = Path(__file__).parent / "seccomp-minimal-x86_64.txt"


def test_minimal_on_x86_64_is_these_instructions() -> None:
    code = assemble(seccomp.decide(shipped.policy("base/minimal").syscalls, "x86_64"))
    text = "".join(f"{line}\n" for line in bpf.disassemble(code))
    if os.environ.get("ENFORCER_WRITE_GOLDEN") == "1":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "make golden writes the new instructions; read what changed"
