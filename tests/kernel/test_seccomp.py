"""Filters on the real kernel: what it loads, what it answers, and that it agrees with the simulator."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform
import random
import signal
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from enforcer.linux import seccomp as libseccomp
from enforcer.linux import syscalls
from enforcer.oci.syscalls import NUMBERS, X32_BIT
from enforcer.plan import bpf, seccomp
from enforcer.plan.bpf import Instruction
from enforcer.policy.profile import ALWAYS, ArgumentCondition, SyscallGrant, Syscalls
from tests import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the calls are made by x86-64's numbers and instructions"
)

CALLS = NUMBERS["x86_64"]
PR_SET_NO_NEW_PRIVS = 38
NOT_LOADED = -(2**40)
KILLED = "killed by SIGSYS"
PROBE = """
import errno, os, socket, subprocess, sys, threading
def tried(name, act):
    try:
        act()
    except OSError as error:
        print(name, errno.errorcode[error.errno])
    else:
        print(name, "reached")
thread = threading.Thread(target=print, args=("thread ran",))
thread.start()
thread.join()
print(subprocess.run(["/bin/echo", "child ran"], check=True, stdout=subprocess.PIPE).stdout.decode(), end="")
tried("inet", lambda: socket.socket().close())
tried("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close())
tried("alg", lambda: socket.socket(38, 5, 0).close())
tried("mount", lambda: os.chroot("/"))
tried("setuid file", lambda: os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o4755))
tried("plain file", lambda: os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o755)))
tried("setuid bit", lambda: os.chmod(sys.argv[1], 0o4755))
tried("device", lambda: os.mknod(sys.argv[1] + ".null", 0o020666, os.makedev(1, 3)))
"""


def _load(code: bytes) -> int:
    """Load a filter into this process for good: 0 or -errno."""
    assert syscalls.raw(CALLS["prctl"], PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    memory = syscalls.buffer(code)
    program = struct.pack("<H6xQ", len(code) // 8, syscalls.address(memory))
    return syscalls.raw(CALLS["seccomp"], 1, 0, program)


def _under(code: bytes, act: Callable[[], int]) -> int | str:
    """What `act` returns in a child under the filter. The answer comes back by memory: the child may not be able to do more."""
    shared = mmap.mmap(-1, 16)
    child = os.fork()
    if child == 0:
        loaded = _load(code)
        struct.pack_into("<q", shared, 8, act() if loaded == 0 else NOT_LOADED + loaded)
        shared[0] = 1
        while True:
            pass
    try:
        for _ in range(20_000):
            if shared[0]:
                return int(struct.unpack_from("<q", shared, 8)[0])
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                child = 0
                return KILLED if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS else f"status {status}"
            time.sleep(0.0005)
        return "no answer"
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        shared.close()


def _filter(*names: str, architectures: tuple[str, ...] = (), violation: str = "errno EPERM", **judged: object) -> bytes:
    grants = dict.fromkeys(names, ALWAYS) | judged
    policy = Syscalls(
        {name: SyscallGrant(frozenset({match})) for name, match in grants.items()},  # type: ignore[arg-type]
        frozenset(architectures),
        violation,
    )
    return libseccomp.assemble(seccomp.decide(policy, "x86_64"))


def _call(number: int, *args: int) -> Callable[[], int]:
    return lambda: syscalls.raw(number, *args)


# push rbx; mov eax, edi; mov rbx, rsi; int 0x80; pop rbx; ret
_INT80 = bytes.fromhex("53 89 f8 48 89 f3 cd 80 5b c3")


def _int80(number: int, argument: int = 0) -> Callable[[], int]:
    """Enter the kernel as a 32-bit program does, from this 64-bit one; `argument` fills all of rbx."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(_INT80)
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_long, ctypes.c_ulong)(address)

    def enter() -> int:
        assert code.closed is False
        return int(function(number, argument))

    return enter


def test_a_granted_call_works_and_another_gets_the_violation() -> None:
    code = _filter("getppid")
    assert _under(code, _call(CALLS["getppid"])) == os.getpid()
    assert _under(code, _call(CALLS["getuid"])) == -errno.EPERM
    assert _under(_filter("getppid", violation="errno EACCES"), _call(CALLS["getuid"])) == -errno.EACCES
    assert _under(_filter("getppid", violation="kill"), _call(CALLS["getuid"])) == KILLED
    assert _under(_filter("getppid", violation="complain"), _call(CALLS["getuid"])) == os.getuid()


def test_clone3_and_numbers_that_nobody_knows_get_enosys() -> None:
    code = _filter("getppid", violation="kill")
    assert _under(code, _call(CALLS["clone3"], 0, 0)) == -errno.ENOSYS
    assert _under(code, _call(600)) == -errno.ENOSYS
    assert _under(code, _call(-1)) == -errno.ENOSYS
    assert _under(code, _call(CALLS["mseal"])) == KILLED


def test_32_bit_entries_end_the_process_unless_they_are_granted() -> None:
    assert _int80(20)() == os.getpid(), "this kernel has no 32-bit entry to try"
    assert _under(_filter("getpid"), _int80(20)) == KILLED
    assert _under(_filter("getpid", violation="complain"), _int80(20)) == KILLED
    granted = _under(_filter("getpid", architectures=("x86",)), _int80(20))
    assert isinstance(granted, int)
    assert granted > 0
    assert _under(_filter("getpid", architectures=("x86",)), _int80(24)) == -errno.EPERM


def test_a_32_bit_entry_cannot_hide_an_argument_in_the_upper_half() -> None:
    code = _filter(architectures=("x86",), getpgid=(ArgumentCondition(0, "!=", 7),))
    number = NUMBERS["x86"]["getpgid"]
    assert _under(code, _int80(number, 7)) == -errno.EPERM
    assert _under(code, _int80(number, 1 << 32 | 7)) == -errno.EPERM
    assert _under(code, _int80(number, 0)) == os.getpgid(0)


def test_x32_numbers_end_the_process_unless_they_are_granted() -> None:
    number = X32_BIT | CALLS["getpid"]
    assert _under(_filter("getpid"), _call(number)) == KILLED
    granted = _under(_filter("getpid", architectures=("x32",)), _call(number))
    assert granted == -errno.ENOSYS or isinstance(granted, int)  # the kernel may be built without x32
    assert _under(_filter("getpid", architectures=("x32",)), _call(X32_BIT | CALLS["getuid"])) == -errno.EPERM


@pytest.mark.parametrize(
    ("condition", "allowed", "refused"),
    [
        (("==", 5), (5,), (4, 6, 1 << 32 | 5)),
        (("!=", 5), (4, 6, 1 << 32 | 5), (5,)),
        (("<", 1 << 32), (0, 0xFFFFFFFF), (1 << 32, 1 << 63)),
        (("<=", 1 << 32), (1 << 32,), (1 << 32 | 1,)),
        ((">", 1 << 32), (1 << 32 | 1, 2 << 32), (1 << 32, 0xFFFFFFFF)),
        ((">=", 7), (7, 1 << 63), (6,)),
        (("&==", 1, 1 << 40 | 3), (1, 5, 1 << 32 | 1), (0, 3, 1 << 40 | 1)),
    ],
)
def test_conditions_on_the_kernel(condition: tuple[str, int], allowed: tuple[int, ...], refused: tuple[int, ...]) -> None:
    code = _filter(getppid=(ArgumentCondition(2, *condition),))  # type: ignore[arg-type]
    for value in allowed:
        assert _under(code, _call(CALLS["getppid"], 0, 0, value)) == os.getpid(), value
    for value in refused:
        assert _under(code, _call(CALLS["getppid"], 0, 0, value)) == -errno.EPERM, value


def _random_instruction(source: random.Random, opcodes: list[int]) -> Instruction:
    code = source.choice(opcodes)
    jump = code & 0x07 == 0x05
    k = source.choice((0, 1, 2, 3, 4, 7, 8, 15, 16, 20, 31, 32, 60, 63, 64, 0xFFFFFFFF))
    return Instruction(code, source.randrange(4) if jump else 0, source.randrange(4) if jump else 0, k)


def test_the_kernel_loads_exactly_what_the_simulator_takes() -> None:
    source = random.Random(6)
    common = (
        bpf.LD_ABS,
        bpf.LD_IMM,
        bpf.LD_MEM,
        bpf.ST,
        bpf.JA,
        bpf.JEQ,
        bpf.RET_K,
        bpf.DIV,
        bpf.LSH,
        bpf.AND,
        bpf.NEG,
        bpf.TAX,
    )
    opcodes = [*range(256), *common * 120]
    taken = 0
    for _ in range(300):
        length = source.randrange(1, 6)
        code = bpf.pack(
            [_random_instruction(source, opcodes) for _ in range(length)]
            + ([Instruction(bpf.RET_K, 0, 0, bpf.SECCOMP_RET_ALLOW)] if source.random() < 0.9 else [])
        )
        try:
            bpf.unpack(code)
            expected = True
        except ValueError:
            expected = False
        taken += expected
        answer = _under(code, lambda: 0)
        loaded = not (isinstance(answer, int) and answer == NOT_LOADED - errno.EINVAL)
        assert loaded == expected, bpf.unpack(code) if expected else code.hex()
    assert 30 < taken < 270


def test_the_kernel_answers_what_the_simulator_says() -> None:
    """Random arithmetic, jumps and memory over the arguments; what A holds in the end comes back as an errno."""
    source = random.Random(7)
    plain = [
        0x04,
        0x14,
        0x24,
        0x44,
        0x54,
        0xA4,
        0x64,
        0x74,
        bpf.DIV,
        bpf.NEG,
        bpf.TAX,
        bpf.TXA,
        bpf.LDX_IMM,
        bpf.LD_LEN,
        bpf.LDX_LEN,
    ]
    computing = [*plain, *(code | 8 for code in plain[:9])]
    ending = [
        Instruction(0x04, 0, 0, 0),  # for the last jump to skip
        Instruction(bpf.AND, 0, 0, 0x7FF),
        Instruction(0x44, 0, 0, bpf.SECCOMP_RET_ERRNO),
        Instruction(bpf.RET_A, 0, 0, 0),
    ]
    compared = 0
    for _ in range(120):
        body = [Instruction(bpf.LD_ABS, 0, 0, source.choice((16, 20, 24, 28, 32, 36)))]
        for _ in range(source.randrange(1, 8)):
            body.append(_random_instruction(source, computing))
            if source.random() < 0.3:
                body.append(
                    Instruction(
                        source.choice((bpf.JEQ, bpf.JGT, bpf.JGE, bpf.JSET)), *source.choices((0, 1), k=2), source.randrange(64)
                    )
                )
        args = tuple(source.choice((0, 1, 5, 1 << 32, 1 << 63, 2**64 - 1, source.getrandbits(64))) for _ in range(3))
        code = bpf.pack([*body, *ending])
        try:
            answer = bpf.run(code, bpf.seccomp_data(CALLS["getppid"], bpf.AUDIT_ARCH_X86_64, args))
        except ValueError:
            continue
        compared += 1
        signed = [value - (value >> 63 << 64) for value in args]
        expected = KILLED if answer == bpf.SECCOMP_RET_KILL_THREAD else -(answer & 0xFFFF)
        assert _under(code, _call(CALLS["getppid"], *signed)) == expected, bpf.disassemble(code)
    assert compared > 60


@pytest.mark.parametrize("name", shipped.NAMES)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_kernel_loads_every_shipped_filter(name: str, machine: str) -> None:
    """That of another machine too: it then ends the process at its first call."""
    code = libseccomp.assemble(seccomp.decide(shipped.policy(name).syscalls, machine))
    answer = _under(code, _call(CALLS["getpid"]))
    assert (isinstance(answer, int) and answer > 0) if machine == "x86_64" else answer == KILLED


def _program(profile: str, *command: str) -> list[str]:
    """Run a real program under a profile's filter, and return its lines."""
    code = libseccomp.assemble(seccomp.decide(shipped.policy(profile).syscalls, "x86_64"))

    def enter() -> None:
        assert _load(code) == 0

    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, preexec_fn=enter)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_interpreter_under_default_works_and_is_held(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("seccomp") / "made"
    assert _program("base/default", sys.executable, "-I", "-S", "-c", PROBE, str(path)) == [
        "thread ran",
        "child ran",
        "inet reached",
        "netlink EPERM",
        "alg EPERM",
        "mount EPERM",
        "setuid file EPERM",
        "plain file reached",
        "setuid bit EPERM",
        "device EPERM",
    ]
    assert path.stat().st_mode & 0o7777 == 0o755 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_programs_under_minimal() -> None:
    assert _program("base/minimal", "/bin/echo", "dynamic") == ["dynamic"]
    assert _program("base/minimal", "/bin/busybox", "echo", "static") == ["static"]
    pipeline = "for i in a b; do echo $i | /bin/busybox cat; done"
    assert _program("base/minimal", "/bin/busybox", "sh", "-c", pipeline) == ["a", "b"]


def test_an_interpreter_as_reaping_pid_1_under_minimal() -> None:
    reaper = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
child = os.fork()
if child == 0:
    os.execv("/bin/sleep", ["sleep", "30"])
os.kill(os.getpid(), signal.SIGTERM)
print(signal.sigtimedwait({signal.SIGTERM}, 5).si_signo == signal.SIGTERM)
os.kill(child, signal.SIGKILL)
signal.sigtimedwait({signal.SIGCHLD}, 5)
print(os.waitpid(-1, 0) == (child, signal.SIGKILL))
"""
    assert _program("base/minimal", sys.executable, "-I", "-S", "-c", reaper) == ["True", "True"]
