"""Random policies over system calls, compiled by libseccomp and run by the simulator."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from enforcer.errors import ProfileError
from enforcer.linux.seccomp import assemble
from enforcer.oci.seccomp import read
from enforcer.oci.syscalls import NUMBERS
from enforcer.plan import bpf, bpf_check, seccomp
from enforcer.policy.from_oci import granted
from enforcer.policy.profile import MAX_U64, ArgumentCondition, SyscallGrant, Syscalls

NAMES = sorted(NUMBERS["x86_64"])[::12]
VALUES = st.one_of(
    st.integers(0, 20),
    st.sampled_from((0x5412, 0x7E020000, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 5, 1 << 63, MAX_U64)),
    st.integers(0, MAX_U64),
)


@st.composite
def conditions(draw: st.DrawFn) -> ArgumentCondition:
    op = draw(st.sampled_from(("==", "!=", "<", "<=", ">", ">=", "&==")))
    mask = draw(VALUES) if op == "&==" else MAX_U64
    return ArgumentCondition(draw(st.integers(0, 5)), op, draw(VALUES) & mask, mask)


MATCHES = st.lists(conditions(), max_size=4).map(tuple)
GRANTS = st.frozensets(MATCHES, min_size=1, max_size=4).map(SyscallGrant)
POLICIES = st.builds(
    Syscalls,
    st.dictionaries(st.sampled_from(NAMES), GRANTS, max_size=6),
    st.frozensets(st.sampled_from(("x86", "x32", "arm"))),
    st.sampled_from(("errno EPERM", "errno ENOSYS", "kill", "complain")),
)


@settings(max_examples=40, deadline=None)
@given(POLICIES, st.sampled_from(("x86_64", "aarch64")), st.lists(st.lists(VALUES, min_size=6, max_size=6), max_size=8))
def test_a_filter_decides_what_the_policy_says(policy: Syscalls, machine: str, extra: list[list[int]]) -> None:
    decided = seccomp.decide(policy, machine)
    code = assemble(decided)
    for rule in decided.rules:
        for abi, nr in rule.numbers:
            arch = seccomp.AUDIT_ARCH[abi]
            for args in (*bpf_check.tried(rule), *extra):
                assert bpf.run(code, bpf.seccomp_data(nr, arch, args)) == seccomp.evaluate(decided, arch, nr, args)


@settings(max_examples=25, deadline=None)
@given(POLICIES)
def test_nothing_is_reachable_that_is_not_named(policy: Syscalls) -> None:
    decided = seccomp.decide(policy, "x86_64")
    code = assemble(decided)
    for abi in ("x86_64", "x32", "x86"):
        numbers = NUMBERS[abi].values()
        answers = bpf.decisions(code, seccomp.AUDIT_ARCH[abi], numbers)
        reachable = {nr for nr, actions in answers.items() if bpf.SECCOMP_RET_ALLOW in actions}
        assert reachable <= (set(seccomp.numbered(decided.rules, abi)) if abi in decided.abis else set())


@settings(max_examples=25, deadline=None)
@given(POLICIES.filter(lambda policy: policy.violation != "complain"), st.sampled_from(("x86_64", "aarch64")))
def test_a_document_that_is_read_again_says_the_same(policy: Syscalls, machine: str) -> None:
    decided = seccomp.decide(policy, machine)
    try:
        document = seccomp.document(decided)
    except ProfileError:  # conditions on one argument that the document has no room for
        assume(condition=False)
    again = seccomp.decide(granted(read(document, "config.json")), machine)
    for rule in decided.rules:
        for abi, nr in rule.numbers:
            for args in bpf_check.tried(rule):
                arch = seccomp.AUDIT_ARCH[abi]
                assert seccomp.evaluate(again, arch, nr, args) == seccomp.evaluate(decided, arch, nr, args)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_bytes_that_are_no_filter_are_a_value_error(code: bytes) -> None:
    try:
        answer = bpf.run(code, bytes(64))
    except ValueError:
        with pytest.raises(ValueError, match=r"[a-z]"):
            bpf.disassemble(code)
    else:
        assert 0 <= answer < 2**32
        assert len(bpf.disassemble(code)) == len(code) // 8
