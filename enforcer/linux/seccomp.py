"""System calls: libseccomp compiles what `plan.seccomp` decided. Nothing is loaded here; the launch program does that.

Compiling takes 5 to 25 ms and loading pyseccomp 50 ms, so the bytes are cached by the policy's digest and neither happens in
most launches.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from enforcer.errors import HostError
from enforcer.oci.syscalls import X32_BIT
from enforcer.plan import bpf, bpf_check, bpf_join, seccomp

if TYPE_CHECKING:
    from types import ModuleType

CTL_OPTIMIZE_BINARY_TREE = 2  # seccomp_attr_set(3), SCMP_FLTATR_CTL_OPTIMIZE


def assemble(decided: seccomp.Filter) -> bytes:
    """Compile a filter to the instructions that seccomp(2) loads, and check that they decide what the policy says.

    Raises HostError when libseccomp or pyseccomp is missing or older than 2.5, when the filter is larger than the kernel
    loads, and when the compiled filter and the policy differ on any call that was tried.
    """
    library = _library()
    try:
        code = bpf_join.join(decided, {abi: _plain(library, decided, abi) for abi in decided.abis})
    except (OSError, ValueError) as error:
        raise HostError(
            "the system call filter cannot be compiled",
            where="libseccomp",
            why=str(error),
            hint="grant fewer system calls with argument conditions, or install libseccomp 2.5",
        ) from error
    difference = bpf_check.difference(decided, code)
    if difference:
        raise HostError(
            "the compiled system call filter does not decide what the policy says",
            where="libseccomp",
            why=difference,
            hint="this libseccomp compiles wrongly; install another version, and report this policy",
        )
    return code


def _library() -> ModuleType:
    try:
        import pyseccomp  # noqa: PLC0415 it costs 50 ms and starts ldconfig; most launches take the filter from the cache
    except (ImportError, RuntimeError, AttributeError) as error:
        raise HostError(
            "system call filters cannot be compiled here",
            where="libseccomp",
            why=str(error),
            hint="apt-get install libseccomp2, and pip install pyseccomp",
        ) from error
    module: ModuleType = pyseccomp
    return module


def _plain(library: ModuleType, decided: seccomp.Filter, abi: str) -> bytes:
    """Have the calls of one ABI compiled that need no look at their arguments, by number, as if they were native."""
    made = library.SyscallFilter(decided.default)
    made.set_attr(library.Attr.ACT_BADARCH, bpf.SECCOMP_RET_KILL_PROCESS)
    made.set_attr(library.Attr.CTL_OPTIMIZE, CTL_OPTIMIZE_BINARY_TREE)
    bit = X32_BIT if abi == "x32" else 0
    for number, rule in seccomp.numbered(decided.rules, abi).items():
        if rule.plain:
            made.add_rule_exactly(library.ALLOW, number - bit)
    refused = library.ERRNO(seccomp.ENOSYS)
    for number in seccomp.numbered(decided.tried_first, abi) if refused != decided.default else ():
        made.add_rule_exactly(refused, number - bit)
    return _export(made)


def _export(made: Any) -> bytes:  # noqa: ANN401 pyseccomp has no types
    with os.fdopen(os.memfd_create("seccomp", os.MFD_CLOEXEC), "rb") as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read()
