from __future__ import annotations

import json

import pytest

from enforcer.errors import ProfileError
from enforcer.oci.filter_shape import SIZE_LIMIT
from enforcer.oci.seccomp import Argument, Condition, parse, read

READ = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}


def _document(*entries: object, **rest: object) -> bytes:
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": entries} | rest).encode()


def test_a_document_as_docker_writes_it() -> None:
    found = parse(
        _document(
            READ | {"args": None, "includes": {}, "comment": "plain"},
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
                "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]},
            },
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            defaultErrnoRet=1,
            archMap=[
                {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
                {"architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_S390"]},
                {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": None},
            ],
        ),
        "docker.json",
    )
    assert (found.default, found.default_errno, found.architectures) == ("errno", 1, None)
    assert found.foreign == {"x86_64": {"x86", "x32"}}
    plain, clone, ptrace, clone3 = found.entries
    assert (plain.names, plain.action, plain.args) == (("read",), "allow", ())
    assert clone.args == (Argument(0, "&==", 2114060288, 0),)
    assert clone.excludes == Condition(frozenset({"SYS_ADMIN"}), frozenset({"s390", "s390x"}))
    assert ptrace.includes.minimum_kernel == (4, 8)
    assert (clone3.action, clone3.where) == ("errno", "docker.json: syscalls[3]")


def test_a_section_as_the_runtime_spec_writes_it() -> None:
    found = read(
        {
            "defaultAction": "SCMP_ACT_KILL_PROCESS",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_MIPS"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [
                {
                    "names": ["socket"],
                    "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
                }
            ],
        },
        "config.json",
    )
    assert (found.default, found.architectures) == ("kill", {"x86_64", "x86"})
    assert found.entries[0].args == (Argument(0, "==", 1, 0),)


def test_the_old_single_name_and_names_of_other_machines() -> None:
    found = parse(_document({"name": "read", "action": "SCMP_ACT_ALLOW"}, READ | {"names": ["riscv_hwprobe", "read"]}), "x")
    assert [entry.names for entry in found.entries] == [("read",), ("riscv_hwprobe", "read")]


def _argument(**changes: object) -> dict[str, object]:
    return READ | {"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"} | changes]}


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        (b"", "f", "not JSON"),
        (b"\xff", "f", "not JSON"),
        (b"[" * 100_000, "f", "not JSON"),
        (b'{"defaultAction": NaN}', "f", "not JSON"),
        (b'{"defaultAction": "SCMP_ACT_ERRNO", "defaultAction": "SCMP_ACT_ALLOW"}', "f", "not JSON"),
        (b" " * (SIZE_LIMIT + 1), "f", "larger than"),
        (b"[]", "f", "an object is expected"),
        (b"{}", "f", "'defaultAction' is missing"),
        (_document(sycalls=[]), "f", "unknown key 'sycalls'"),
        (_document(listenerPath="/run/agent"), "f", "unknown key 'listenerPath'"),
        (_document(defaultAction="SCMP_ACT_ALLOW"), "f: defaultAction", "this filter allows by default"),
        (_document(defaultAction="SCMP_ACT_LOG"), "f: defaultAction", "this filter allows by default"),
        (_document(defaultAction="SCMP_ACT_TRACE"), "f: defaultAction", "this filter allows by default"),
        (_document(defaultAction="SCMP_ACT_NOTIFY"), "f: defaultAction", "this filter allows by default"),
        (_document(defaultAction="SCMP_ACT_TRAP"), "f: defaultAction", "with a signal"),
        (_document(defaultAction="SCMP_ACT_EPERM"), "f: defaultAction", "unknown action"),
        (_document(defaultAction=1), "f: defaultAction", "a string is expected"),
        (_document(defaultErrnoRet=0), "f: defaultErrnoRet", "a number from 1"),
        (_document(defaultErrnoRet=4096), "f: defaultErrnoRet", "a number from 1 to 4095"),
        (_document(defaultErrnoRet=True), "f: defaultErrnoRet", "a number from 1"),
        (_document(defaultErrnoRet="EPERM"), "f: defaultErrnoRet", "a number from 1"),
        (_document(flags=["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]), "f: flags", "not supported"),
        (_document(architectures=["x86_64"]), "f: architectures", "unknown architecture 'x86_64'"),
        (_document(archMap=[{"subArchitectures": []}]), "f: archMap[0]", "'architecture' is missing"),
        (
            _document(archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_Z80"]}]),
            "f: archMap[0]: sub",
            "Z80",
        ),
        (_document(syscalls={}), "f: syscalls", "a list is expected"),
        (_document("read"), "f: syscalls[0]", "an object is expected"),
        (_document({"names": ["read"]}), "f: syscalls[0]", "'action' is missing"),
        (_document({"names": [], "action": "SCMP_ACT_ALLOW"}), "f: syscalls[0]", "names no system call"),
        (_document(READ | {"names": ["raed"]}), "f: syscalls[0]", "unknown system call 'raed'"),
        (_document(READ | {"names": [0]}), "f: syscalls[0]: names[0]", "a string is expected"),
        (_document(READ | {"action": "ALLOW"}), "f: syscalls[0]: action", "unknown action 'ALLOW'"),
        (_document(READ | {"action": "SCMP_ACT_NOTIFY"}), "f: syscalls[0]: action", "cannot be said"),
        (_document(READ | {"action": "SCMP_ACT_LOG"}), "f: syscalls[0]: action", "cannot be said"),
        (_document(READ | {"errnoRet": -1}), "f: syscalls[0]: errnoRet", "a number from 1"),
        (_document(READ | {"priority": 1}), "f: syscalls[0]", "unknown key 'priority'"),
        (_document(READ, _argument(index=6)), "f: syscalls[1]: args[0]: index", "a number from 0 to 5"),
        (_document(_argument(index=0.0)), "f: syscalls[0]: args[0]: index", "a number from 0 to 5"),
        (_document(_argument(value=2**64)), "f: syscalls[0]: args[0]: value", "a number from 0"),
        (_document(_argument(value=-1)), "f: syscalls[0]: args[0]: value", "a number from 0"),
        (_document(_argument(valueTwo="0")), "f: syscalls[0]: args[0]: valueTwo", "a number from 0"),
        (_document(_argument(op="==")), "f: syscalls[0]: args[0]: op", "unknown comparison '=='"),
        (_document(_argument(mask=1)), "f: syscalls[0]: args[0]", "unknown key 'mask'"),
        (_document(READ | {"includes": {"capabilities": []}}), "f: syscalls[0]: includes", "unknown key"),
        (_document(READ | {"includes": {"minKernel": "four"}}), "f: syscalls[0]: includes: minKernel", "not a kernel version"),
        (_document(READ | {"excludes": {"caps": "CAP_KILL"}}), "f: syscalls[0]: excludes: caps", "a list is expected"),
    ],
)
def test_what_is_not_understood_is_refused_where_it_stands(data: bytes, where: str, what: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse(data, "f")
    assert caught.value.where.startswith(where)
    assert what in caught.value.what
