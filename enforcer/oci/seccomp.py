"""The filter documents of the OCI runtime spec (config.json's linux.seccomp) and of Docker and Podman, read and written.

Sources: opencontainers/runtime-spec config-linux.md, "Seccomp"; Docker's and containers-common's default profiles, which add
archMap, includes and excludes, and the errnos' names. Read strictly: what is not known here is an error, since a filter that is
half understood allows or refuses something that nobody wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from enforcer.errors import ProfileError
from enforcer.oci.filter_shape import decode, integer, items, members, text, texts
from enforcer.oci.syscalls import known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_U64 = 2**64 - 1
_MAX_ERRNO = 4095  # MAX_ERRNO, linux/err.h

Kind = Literal["allow", "errno", "kill", "trap", "trace", "log", "notify"]
_ACTIONS: Mapping[str, Kind] = {
    "SCMP_ACT_ALLOW": "allow",
    "SCMP_ACT_ERRNO": "errno",
    "SCMP_ACT_KILL": "kill",
    "SCMP_ACT_KILL_PROCESS": "kill",
    "SCMP_ACT_KILL_THREAD": "kill",
    "SCMP_ACT_TRAP": "trap",
    "SCMP_ACT_TRACE": "trace",
    "SCMP_ACT_LOG": "log",
    "SCMP_ACT_NOTIFY": "notify",
}
OPERATORS = {
    "SCMP_CMP_NE": "!=",
    "SCMP_CMP_LT": "<",
    "SCMP_CMP_LE": "<=",
    "SCMP_CMP_EQ": "==",
    "SCMP_CMP_GE": ">=",
    "SCMP_CMP_GT": ">",
    "SCMP_CMP_MASKED_EQ": "&==",
}
# What an ABI is called in the spec, and in the conditions of Docker's documents (Go's GOARCH).
ARCHITECTURES: Mapping[str, str] = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "x86",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_AARCH64": "aarch64",
    "SCMP_ARCH_ARM": "arm",
}
GOARCH: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}
_OTHER_ARCHITECTURES = tuple(
    f"SCMP_ARCH_{name}"
    for name in """MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64
LOONGARCH64 M68K SH SHEB""".split()
)
# Names in published filters that none of our ABIs has: of other machines, and two that no kernel has.
_FOREIGN_NAMES = frozenset(
    """riscv_flush_icache riscv_hwprobe s390_guarded_storage s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr
s390_sthyi spu_create spu_run subpage_prot swapcontext switch_endian sys_debug_setcontext rtas multiplexer cachectl
sysmips syscall timerfd""".split()
)
_FLAGS = frozenset({"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"})


@dataclass(frozen=True, slots=True)
class Argument:
    """One comparison of an argument: op as in seccomp_rule_add(3), "==" for SCMP_CMP_EQ; for "&==" (value & mask) == value_two.

    For SCMP_CMP_MASKED_EQ the document's `value` is the mask and `valueTwo` what the masked argument must be.
    """

    index: int
    op: str
    value: int
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """When an entry counts (includes) or does not (excludes). minimum_kernel: (major, minor), () when it is not asked for."""

    capabilities: frozenset[str] = frozenset()
    arches: frozenset[str] = frozenset()
    minimum_kernel: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `syscalls`; `where` is its place ("filter.json: syscalls[3]"). All of `args` must hold."""

    names: tuple[str, ...]
    action: Kind
    args: tuple[Argument, ...]
    includes: Condition
    excludes: Condition
    where: str


@dataclass(frozen=True, slots=True)
class Seccomp:
    """A filter document. default: "errno" with its number, or "kill". architectures: None when the document names none.

    foreign: native ABI → the other ABIs that Docker's archMap enters with it.
    """

    default: Literal["errno", "kill"]
    default_errno: int
    architectures: frozenset[str] | None
    foreign: Mapping[str, frozenset[str]]
    entries: tuple[Entry, ...]
    source: str


def parse(data: bytes, source: str) -> Seccomp:
    """Read a filter document, named `source` in errors.

    Raises ProfileError for anything that is not understood: no JSON, duplicate or unknown keys, unknown system calls, actions,
    architectures and comparisons, numbers out of range, and a filter that allows by default.
    """
    return read(decode(data, source), source)


def read(value: object, source: str) -> Seccomp:
    """Read a filter that is already decoded, as linux.seccomp of a config.json is. Raises as `parse`."""
    document = members(
        value,
        source,
        "defaultAction defaultErrnoRet defaultErrno archMap architectures flags syscalls",
        required=("defaultAction",),
    )
    default, errno = _default(document, source)
    _check_flags(document, source)
    entries = tuple(
        _entry(item, f"{source}: syscalls[{index}]") for index, item in enumerate(items(document, "syscalls", source))
    )
    return Seccomp(default, errno, _architectures(document, source), _foreign(document, source), entries, source)


def _default(document: Mapping[str, Any], source: str) -> tuple[Literal["errno", "kill"], int]:
    action = _action(document["defaultAction"], f"{source}: defaultAction")
    if action not in {"errno", "kill"}:
        raise ProfileError(
            "this filter allows by default" if action != "trap" else "this filter answers refused calls with a signal",
            where=f"{source}: defaultAction",
            why=f"{document['defaultAction']} is neither SCMP_ACT_ERRNO nor SCMP_ACT_KILL_PROCESS",
            hint="list what is allowed, and let the rest be SCMP_ACT_ERRNO",
        )
    return ("kill", 0) if action == "kill" else ("errno", _errno(document, "defaultErrnoRet", source))


def _errno(document: Mapping[str, Any], key: str, where: str) -> int:
    """Read an errno, EPERM when it is left out. The errno's name, which Podman writes beside it, adds nothing."""
    if document.get(key) is None:
        return 1
    return integer(document[key], f"{where}: {key}", 1, _MAX_ERRNO)


def _check_flags(document: Mapping[str, Any], source: str) -> None:
    for flag in texts(document, "flags", source):
        if flag not in _FLAGS:
            raise ProfileError(
                f"the flag {flag} is not supported",
                where=f"{source}: flags",
                why="it weakens the filter or hands its decisions to another process",
                hint="remove it; supported are " + ", ".join(sorted(_FLAGS)),
            )


def _architectures(document: Mapping[str, Any], source: str) -> frozenset[str] | None:
    if document.get("architectures") is None:
        return None
    return _abis(texts(document, "architectures", source), f"{source}: architectures")


def _foreign(document: Mapping[str, Any], source: str) -> Mapping[str, frozenset[str]]:
    found = {}
    for index, item in enumerate(items(document, "archMap", source)):
        where = f"{source}: archMap[{index}]"
        entry = members(item, where, "architecture subArchitectures", required=("architecture",))
        native = _abis([text(entry["architecture"], f"{where}: architecture")], where)
        foreign = _abis(texts(entry, "subArchitectures", where), f"{where}: subArchitectures")
        found.update(dict.fromkeys(native, foreign))
    return found


def _abis(names: Iterable[str], where: str) -> frozenset[str]:
    """Return the ABIs that we know of these; those of other machines are understood and left out."""
    names = list(names)
    for name in names:
        if name not in ARCHITECTURES and name not in _OTHER_ARCHITECTURES:
            raise ProfileError(f"unknown architecture {name[:80]!r}", where=where, hint="write it as SCMP_ARCH_X86_64")
    return frozenset(ARCHITECTURES[name] for name in names if name in ARCHITECTURES)


def _entry(value: object, where: str) -> Entry:
    entry = members(value, where, "names name action errnoRet errno args comment includes excludes", required=("action",))
    names = (*texts(entry, "names", where), *([] if entry.get("name") is None else [text(entry["name"], f"{where}: name")]))
    if not names:
        raise ProfileError("an entry names no system call", where=where, hint="add names, or remove the entry")
    for name in names:
        if not known(name) and name not in _FOREIGN_NAMES:
            raise ProfileError(f"unknown system call {name[:80]!r}", where=where, why="no architecture has it")
    action = _action(entry["action"], f"{where}: action")
    if action not in {"allow", "errno", "kill"}:
        raise ProfileError(
            f"{entry['action']} cannot be said in a profile",
            where=f"{where}: action",
            why="a call is allowed or refused; tracing, logging and asking another process are not decisions of a filter here",
            hint="write SCMP_ACT_ALLOW or SCMP_ACT_ERRNO",
        )
    _errno(entry, "errnoRet", where)
    args = tuple(_argument(item, f"{where}: args[{index}]") for index, item in enumerate(items(entry, "args", where)))
    includes, excludes = (_condition(entry.get(key), f"{where}: {key}") for key in ("includes", "excludes"))
    return Entry(names, action, args, includes, excludes, where)


def _action(value: object, where: str) -> Kind:
    name = text(value, where)
    if name not in _ACTIONS:
        raise ProfileError(f"unknown action {name[:80]!r}", where=where, hint="one of " + ", ".join(_ACTIONS))
    return _ACTIONS[name]


def _argument(value: object, where: str) -> Argument:
    found = members(value, where, "index value valueTwo op", required=("index", "value", "op"))
    op = text(found["op"], f"{where}: op")
    if op not in OPERATORS:
        raise ProfileError(f"unknown comparison {op[:80]!r}", where=f"{where}: op", hint="one of " + ", ".join(OPERATORS))
    two = 0 if found.get("valueTwo") is None else integer(found["valueTwo"], f"{where}: valueTwo", 0, _MAX_U64)
    return Argument(
        integer(found["index"], f"{where}: index", 0, 5),
        OPERATORS[op],
        integer(found["value"], f"{where}: value", 0, _MAX_U64),
        two,
    )


def _condition(value: object, where: str) -> Condition:
    if value is None:
        return Condition()
    found = members(value, where, "caps arches minKernel")
    kernel = "" if found.get("minKernel") is None else text(found["minKernel"], f"{where}: minKernel")
    parts = kernel.split(".") if kernel else []
    if parts and (len(parts) not in {2, 3} or not all(part.isascii() and part.isdecimal() for part in parts)):
        raise ProfileError(f"{kernel[:80]!r} is not a kernel version", where=f"{where}: minKernel", hint="write it as 4.8")
    return Condition(
        frozenset(name.removeprefix("CAP_") for name in texts(found, "caps", where)),
        frozenset(texts(found, "arches", where)),
        tuple(int(part) for part in parts[:2]),
    )
