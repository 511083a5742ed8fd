from __future__ import annotations

import sys

import pytest

from enforcer.errors import HostError
from enforcer.linux.seccomp import assemble
from enforcer.plan import bpf, seccomp
from enforcer.policy.profile import Syscalls


def test_without_libseccomp_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    with pytest.raises(HostError) as caught:
        assemble(seccomp.decide(Syscalls(), "x86_64"))
    assert "apt-get install libseccomp2" in caught.value.hint


def test_a_policy_that_grants_nothing_reaches_nothing() -> None:
    code = assemble(seccomp.decide(Syscalls(), "x86_64"))
    for nr in range(600):
        assert bpf.SECCOMP_RET_ALLOW not in bpf.outcomes(code, nr, bpf.AUDIT_ARCH_X86_64)
