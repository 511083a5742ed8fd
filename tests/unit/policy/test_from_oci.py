from __future__ import annotations

import json

import pytest

from enforcer.errors import ProfileError
from enforcer.policy.from_oci import syscalls_of_filter
from enforcer.policy.profile import ALWAYS, ArgumentCondition, Clause, Syscalls

EQ = "SCMP_CMP_EQ"


def _entry(*names: str, action: str = "SCMP_ACT_ALLOW", **rest: object) -> dict[str, object]:
    return {"names": names, "action": action} | rest


def _arg(value: int, *, op: str = EQ, index: int = 0, two: int = 0) -> dict[str, object]:
    return {"index": index, "value": value, "valueTwo": two, "op": op}


def _granted(*entries: object, capabilities: tuple[str, ...] = (), **rest: object) -> Syscalls:
    document = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": entries} | rest
    return syscalls_of_filter(json.dumps(document).encode(), "f", capabilities=capabilities)


def test_entries_are_grants_and_their_arguments_matches() -> None:
    found = _granted(
        _entry("read", "write"), _entry("socket", args=[_arg(1)]), _entry("socket", args=[_arg(2), _arg(1, index=1)])
    )
    assert found.allowed["read"].matches == {ALWAYS}
    one, two = ArgumentCondition(0, "==", 1), ArgumentCondition(0, "==", 2)
    assert found.allowed["socket"].matches == {(one,), (two, ArgumentCondition(1, "==", 1))}
    assert found.violation == "errno EPERM"
    assert found.architectures == frozenset()


def test_a_masked_comparison_has_its_mask_first() -> None:
    found = _granted(_entry("clone", args=[_arg(0xF0, op="SCMP_CMP_MASKED_EQ", two=0x10)]))
    assert found.allowed["clone"].matches == {(ArgumentCondition(0, "&==", 0x10, 0xF0),)}


def test_the_clause_is_the_filter_or_the_line_that_names_it() -> None:
    assert _granted(_entry("read")).allowed["read"].clause == Clause("syscalls", "f")
    line = Clause("syscalls.base", "web.yaml:4:3")
    data = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [_entry("read")]}).encode()
    assert syscalls_of_filter(data, "f", clause=line).allowed["read"].clause == line


def test_conditions_on_capabilities() -> None:
    mount = _entry("mount", includes={"caps": ["CAP_SYS_ADMIN"]})
    clone = _entry("clone", args=[_arg(0)], excludes={"caps": ["CAP_SYS_ADMIN"]})
    assert set(_granted(mount, clone).allowed) == {"clone"}
    assert set(_granted(mount, clone, capabilities=("SYS_ADMIN",)).allowed) == {"mount"}
    assert not _granted(_entry("mount", includes={"caps": ["CAP_SYS_ADMIN", "CAP_KILL"]}), capabilities=("KILL",)).allowed


def test_conditions_on_machines_hold_where_they_make_no_difference() -> None:
    found = _granted(
        _entry("arch_prctl", includes={"arches": ["amd64", "x32"]}),
        _entry("clone", args=[_arg(0, index=1)], includes={"arches": ["s390", "s390x"]}),
        _entry("dup", excludes={"arches": ["s390x"]}),
    )
    assert set(found.allowed) == {"arch_prctl", "dup"}
    with pytest.raises(ProfileError, match="another machine"):
        _granted(_entry("read", includes={"arches": ["amd64"]}))


def test_conditions_on_kernels_hold_where_every_supported_kernel_has_them() -> None:
    assert set(_granted(_entry("ptrace", includes={"minKernel": "4.8"})).allowed) == {"ptrace"}
    assert not _granted(_entry("ptrace", excludes={"minKernel": "4.8"})).allowed
    for key in ("includes", "excludes"):
        with pytest.raises(ProfileError, match="another kernel"):
            _granted(_entry("ptrace", **{key: {"minKernel": "6.1"}}))


def test_a_refusal_goes_before_a_grant() -> None:
    assert not _granted(_entry("setns"), _entry("setns", action="SCMP_ACT_ERRNO", errnoRet=1)).allowed
    kept = _granted(_entry("socket", args=[_arg(1)]), _entry("socket", action="SCMP_ACT_ERRNO", args=[_arg(16)]))
    assert set(kept.allowed) == {"socket"}
    with pytest.raises(ProfileError, match="both allowed and refused"):
        _granted(_entry("socket"), _entry("socket", action="SCMP_ACT_KILL", args=[_arg(16)]))


def test_the_default_is_the_violation() -> None:
    assert _granted(defaultAction="SCMP_ACT_KILL").violation == "kill"
    assert _granted(defaultErrnoRet=38).violation == "errno ENOSYS"
    with pytest.raises(ProfileError, match="4000"):
        _granted(defaultErrnoRet=4000)


def test_architectures() -> None:
    mapped = [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]
    assert _granted(archMap=mapped).architectures == {"x86"}
    assert _granted(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]).architectures == {"x32"}
    assert _granted(architectures=["SCMP_ARCH_AARCH64"]).architectures == frozenset()
    with pytest.raises(ProfileError, match="no machine"):
        _granted(architectures=["SCMP_ARCH_X86"])


def test_names_that_only_other_machines_have_are_left_out() -> None:
    assert set(_granted(_entry("read", "riscv_hwprobe")).allowed) == {"read"}
