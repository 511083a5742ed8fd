from __future__ import annotations

import errno
from dataclasses import replace
from functools import cache

import pytest

from enforcer.errors import HostError, PlanError
from enforcer.linux import seccomp as libseccomp
from enforcer.oci.seccomp import read
from enforcer.oci.syscalls import NUMBERS, X32_BIT
from enforcer.plan import bpf, bpf_check, bpf_join, seccomp
from enforcer.plan.step import Filter as FilterProgram
from enforcer.policy.from_oci import granted
from enforcer.policy.profile import ALWAYS, ArgumentCondition, Match, SyscallGrant, Syscalls
from tests import shipped

ALLOW = bpf.SECCOMP_RET_ALLOW
KILL = bpf.SECCOMP_RET_KILL_PROCESS
EPERM = bpf.SECCOMP_RET_ERRNO | errno.EPERM
ENOSYS = bpf.SECCOMP_RET_ERRNO | errno.ENOSYS
MACHINES = ("x86_64", "aarch64")
ARCHES = sorted(set(seccomp.AUDIT_ARCH.values()))


def _syscalls(*names: str, architectures: tuple[str, ...] = (), violation: str = "errno EPERM", **judged: Match) -> Syscalls:
    matches = dict.fromkeys(names, ALWAYS) | judged
    return Syscalls(
        {name: SyscallGrant(frozenset({match})) for name, match in matches.items()}, frozenset(architectures), violation
    )


def _decide(*names: str, machine: str = "x86_64", **rest: object) -> seccomp.Filter:
    return seccomp.decide(_syscalls(*names, **rest), machine)  # type: ignore[arg-type]


def _if(op: str, value: int, index: int = 0, mask: int = 2**64 - 1) -> ArgumentCondition:
    return ArgumentCondition(index, op, value, mask)  # type: ignore[arg-type]


# --- what the policy says


def test_a_granted_call_is_allowed_and_another_is_refused() -> None:
    decided = _decide("read")
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, 0) == ALLOW
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, 1) == EPERM


@pytest.mark.parametrize(
    ("violation", "answer"),
    [("errno EPERM", EPERM), ("errno ENOSYS", ENOSYS), ("kill", KILL), ("complain", bpf.SECCOMP_RET_LOG)],
)
def test_a_violation_is_answered_as_written(violation: str, answer: int) -> None:
    assert seccomp.evaluate(_decide("read", violation=violation), bpf.AUDIT_ARCH_X86_64, 1) == answer


@pytest.mark.parametrize(
    ("machine", "arch", "number"),
    [
        ("x86_64", bpf.AUDIT_ARCH_I386, 3),
        ("x86_64", bpf.AUDIT_ARCH_X86_64, X32_BIT + 0),
        ("x86_64", bpf.AUDIT_ARCH_AARCH64, 63),
        ("aarch64", bpf.AUDIT_ARCH_ARM, 3),
        ("aarch64", bpf.AUDIT_ARCH_X86_64, 0),
    ],
)
@pytest.mark.parametrize("violation", ["errno EPERM", "complain"])
def test_an_abi_that_is_not_granted_ends_the_process_even_for_a_granted_call(
    machine: str, arch: int, number: int, violation: str
) -> None:
    assert seccomp.evaluate(_decide("read", machine=machine, violation=violation), arch, number) == KILL


def test_a_granted_abi_has_its_own_numbers() -> None:
    decided = _decide("read", "socketcall", architectures=("x86", "x32", "arm"))
    assert decided.foreign == ("x86", "x32")
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_I386, 3) == ALLOW
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_I386, 102) == ALLOW
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_I386, 0) == EPERM
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, X32_BIT) == ALLOW
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, X32_BIT + 1) == EPERM


def test_arguments_have_32_bits_on_a_32_bit_abi_and_64_on_the_others() -> None:
    """A process that is 64-bit enters by int 0x80 with upper halves that the call itself does not see."""
    decided = _decide(architectures=("x86", "x32"), socket=(_if("!=", 16),))
    high = 1 << 32
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, 41, (16,)) == EPERM
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, 41, (high | 16,)) == ALLOW
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, X32_BIT + 41, (high | 16,)) == ALLOW
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_I386, NUMBERS["x86"]["socket"], (high | 16,)) == EPERM


def test_calls_that_are_tried_first_and_unknown_numbers_get_enosys() -> None:
    decided = _decide("read", violation="kill")
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, NUMBERS["x86_64"]["clone3"]) == ENOSYS
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, NUMBERS["x86_64"]["openat2"]) == ENOSYS
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, NUMBERS["x86_64"]["mseal"]) == KILL
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, seccomp.last_number("x86_64") + 1) == ENOSYS
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, 512) == ENOSYS  # x32's own numbers, without its bit
    assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, -1) == ENOSYS


def test_a_policy_that_grants_a_call_tried_first_means_it() -> None:
    number = NUMBERS["x86_64"]["clone3"]
    assert seccomp.evaluate(_decide("clone3"), bpf.AUDIT_ARCH_X86_64, number) == ALLOW
    judged = _decide(clone3=(_if("==", 1),))
    assert seccomp.evaluate(judged, bpf.AUDIT_ARCH_X86_64, number, (2,)) == EPERM


def test_complaining_refuses_nothing_of_the_native_abi() -> None:
    decided = _decide("read", violation="complain")
    for number in (1, NUMBERS["x86_64"]["clone3"], 900, -1):
        assert seccomp.evaluate(decided, bpf.AUDIT_ARCH_X86_64, number) == bpf.SECCOMP_RET_LOG


def test_a_machine_without_numbers_is_refused() -> None:
    with pytest.raises(PlanError, match="riscv64"):
        seccomp.decide(_syscalls("read"), "riscv64")


def test_loading_is_one_step_of_init_for_the_clause_syscalls() -> None:
    (step,) = seccomp.steps(b"12345678")
    assert (step.where, step.call, step.clause) == ("init", "seccomp", "syscalls")
    assert step.args == (1, 0, FilterProgram(b"12345678"))


# --- what libseccomp makes of it


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", shipped.NAMES)
def test_shipped_filters_decide_exactly_as_their_policy_says(name: str, machine: str) -> None:
    """Every number of x86-64, i386, x32, aarch64 and arm, and every condition at its edges."""
    decided, code = _compiled(name, machine)
    calls = 0
    for arch in ARCHES:
        for nr in sorted(bpf_check.numbers(arch)):
            rule = next((rule for rule in decided.rules if (seccomp.abi_of(machine, arch, nr), nr) in rule.numbers), None)
            for args in bpf_check.tried(rule):
                calls += 1
                said = seccomp.evaluate(decided, arch, nr, args)
                assert bpf.run(code, bpf.seccomp_data(nr, arch, args)) == said, (hex(arch), nr, args)
    assert calls > 3000


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", shipped.NAMES)
def test_no_other_abi_of_a_shipped_filter_leads_anywhere(name: str, machine: str) -> None:
    decided, code = _compiled(name, machine)
    assert decided.foreign == ()
    for arch in ARCHES:
        if arch != seccomp.AUDIT_ARCH[machine]:
            assert set(bpf.decisions(code, arch, bpf_check.numbers(arch)).values()) == {frozenset({KILL})}
    if machine == "x86_64":
        x32 = range(X32_BIT, seccomp.last_number("x32") + 64)
        assert set(bpf.decisions(code, bpf.AUDIT_ARCH_X86_64, x32).values()) == {frozenset({KILL})}


@pytest.mark.parametrize("name", shipped.NAMES)
def test_exactly_the_named_calls_are_reachable(name: str) -> None:
    syscalls = shipped.policy(name).syscalls
    _, code = _compiled(name, "x86_64")
    decided = bpf.decisions(code, bpf.AUDIT_ARCH_X86_64, bpf_check.numbers(bpf.AUDIT_ARCH_X86_64))
    reachable = {nr for nr, answers in decided.items() if ALLOW in answers}
    assert reachable == {NUMBERS["x86_64"][name] for name in syscalls.allowed if name in NUMBERS["x86_64"]}


@pytest.mark.parametrize("violation", ["errno EPERM", "errno ENOSYS", "kill", "complain"])
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("names", [(), ("read",), ("clone3", "socketcall"), tuple(NUMBERS["x86_64"])], ids=len)
def test_small_large_and_foreign_filters(machine: str, violation: str, names: tuple[str, ...]) -> None:
    decided = _decide(*names, machine=machine, violation=violation, architectures=("x86", "x32", "arm"))
    assert bpf_check.difference(decided, libseccomp.assemble(decided)) == ""


def test_every_abi_and_comparison_at_once() -> None:
    decided = _decide(
        "read",
        architectures=("x86", "x32"),
        socket=(_if("==", 16), _if("!=", 9, 2)),
        ioctl=(_if("&==", 0x5401, 1, 0xFFFFFFFF),),
        prctl=(_if(">", 3), _if("<=", 77), _if(">=", 1, 1), _if("<", 2**33, 2), _if("!=", 2**33 - 7, 2)),
    )
    code = libseccomp.assemble(decided)
    assert bpf_check.difference(decided, code) == ""
    assert bpf_check.difference(replace(decided, default=KILL), code).startswith("call 0 of x86 with (): the policy")


def test_every_jump_that_goes_the_wrong_way_is_noticed() -> None:
    decided = _decide("read", "write", "close", socket=(_if("==", 1), _if("&==", 1, 1, 0xF)))
    instructions = bpf.unpack(libseccomp.assemble(decided))
    jumps = [index for index, each in enumerate(instructions) if each.jt != each.jf]
    assert len(jumps) > 15
    for index in jumps:
        wrong = list(instructions)
        wrong[index] = wrong[index]._replace(jt=wrong[index].jf, jf=wrong[index].jt)
        assert bpf_check.difference(decided, bpf.pack(wrong)) != "", index


def test_a_filter_that_libseccomp_compiled_wrongly_is_not_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = libseccomp.assemble(_decide("read", "ptrace"))
    monkeypatch.setattr(bpf_join, "join", lambda _decided, _compiled: wrong)
    with pytest.raises(HostError) as caught:
        libseccomp.assemble(_decide("read"))
    assert "call 101 of x86_64 with (): the policy says ERRNO 1, the filter ALLOW" in caught.value.why


def test_a_filter_that_the_kernel_would_not_load_is_refused_with_a_hint() -> None:
    many = Syscalls({"ioctl": SyscallGrant(frozenset((_if("==", value, 1),) for value in range(1000)))})
    with pytest.raises(HostError) as caught:
        libseccomp.assemble(seccomp.decide(many, "x86_64"))
    assert "4096" in caught.value.why
    assert caught.value.hint


def test_a_tree_of_another_form_is_refused() -> None:
    decided = _decide("read")
    code = libseccomp.assemble(decided)
    with pytest.raises(ValueError, match="does not begin"):
        bpf_join.join(decided, {"x86_64": code[8:]})


# --- as a document


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", shipped.NAMES)
def test_the_document_says_what_the_filter_says(name: str, machine: str) -> None:
    decided, code = _compiled(name, machine)
    document = seccomp.document(decided)
    again = seccomp.decide(granted(read(document, "config.json")), machine)
    assert bpf_check.difference(again, code) == ""
    indexes = [[arg["index"] for arg in call.get("args", ())] for call in document["syscalls"]]  # type: ignore[attr-defined]
    assert all(len(each) == len(set(each)) for each in indexes)  # runc takes conditions on one argument for alternatives


def test_the_document_of_a_killing_and_of_a_complaining_policy() -> None:
    assert seccomp.document(_decide(violation="kill"))["defaultAction"] == "SCMP_ACT_KILL_PROCESS"
    assert seccomp.document(_decide("read", violation="complain")) == {
        "defaultAction": "SCMP_ACT_LOG",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}],
    }


# --- what the lists must not grant

NEVER = frozenset(
    """acct add_key afs_syscall bpf chroot clock_adjtime clock_settime clone3 create_module delete_module execveat fanotify_init
fanotify_mark finit_module fsconfig fsmount fsopen fspick get_kernel_syms init_module io_uring_enter io_uring_register
io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl listmount listns lookup_dcookie mbind memfd_create
memfd_secret migrate_pages mincore modify_ldt mount mount_setattr move_mount move_pages name_to_handle_at nfsservctl
open_by_handle_at open_tree open_tree_attr openat2 perf_event_open personality pidfd_getfd pivot_root pkey_alloc
process_madvise process_vm_readv
process_vm_writev ptrace query_module quotactl quotactl_fd reboot remap_file_pages request_key rt_sigqueueinfo
rt_tgsigqueueinfo seccomp set_mempolicy setdomainname setfsuid setgid setgroups sethostname setns settimeofday setuid shmget
statmount swapoff swapon sync syncfs sysfs syslog tee umount2 unshare uselib userfaultfd ustat vhangup vmsplice""".split()
)


@pytest.mark.parametrize("name", ["base/minimal", "base/default"])
def test_what_ordinary_software_does_not_need_is_not_there(name: str) -> None:
    assert not NEVER & shipped.policy(name).syscalls.allowed.keys()


@pytest.mark.parametrize(("name", "most"), [("base/minimal", 60), ("base/default", 175)])
def test_how_many_calls_are_reachable(name: str, most: int) -> None:
    allowed = shipped.policy(name).syscalls.allowed
    assert sum(name in NUMBERS["x86_64"] for name in allowed) <= most


HIGH = 1 << 32
REFUSED: list[tuple[str, tuple[int, ...]]] = [
    ("clone", (0x10000000 | 17,)),  # CLONE_NEWUSER
    ("clone", (0x00020000 | 17,)),  # CLONE_NEWNS
    ("clone", (HIGH | 0x40000000,)),  # CLONE_NEWNET
    ("ioctl", (0, 0x5412)),  # TIOCSTI
    ("ioctl", (0, HIGH | 0x5412)),  # CVE-2019-10063
    ("ioctl", (0, 0x541C)),  # TIOCLINUX
    ("ioctl", (0, 0x5423)),  # TIOCSETD
    ("ioctl", (0, 0xB701)),  # NS_GET_USERNS
    ("open", (0, 0x40, 0o4755)),
    ("openat", (0, 0, 0x40, 0o2755)),
    ("openat", (0, 0, 0x410000, 0o4755)),  # O_TMPFILE
    ("prlimit64", (1, 7, 0)),
    ("arch_prctl", (0x1001,)),  # ARCH_SET_GS
]
REFUSED_BY_DEFAULT: list[tuple[str, tuple[int, ...]]] = [
    ("chmod", (0, 0o4755)),
    ("fchmod", (0, 0o2755)),
    ("fchmodat", (0, 0, 0o6000)),
    ("creat", (0, 0o4755)),
    ("mknod", (0, 0o020666)),
    ("mknodat", (0, 0, 0o060666)),
    ("mknodat", (0, 0, 0o014755)),
    ("socket", (16, 3, 0)),  # AF_NETLINK
    ("socket", (17, 3, 0)),  # AF_PACKET
    ("socket", (38, 5, 0)),  # AF_ALG
    ("socket", (40, 1, 0)),  # AF_VSOCK
    ("socket", (2, 3, 1)),  # raw ICMP
    ("socket", (2, 2, 1)),  # ICMP echo
    ("socket", (10, 1, 132)),  # SCTP
    ("socket", (2, 1, 262)),  # MPTCP
    ("socket", (HIGH | 2, 1, 0)),
    ("socketpair", (2, 1, 0)),
    ("setsockopt", (0, 1, 26)),  # SO_ATTACH_FILTER
    ("setsockopt", (0, 1, 50)),  # SO_ATTACH_BPF
    ("setsockopt", (0, 1, 52)),  # SO_ATTACH_REUSEPORT_EBPF
    ("setsockopt", (0, 1, HIGH | 26)),
    ("setsockopt", (0, 0, 64)),  # IPT_SO_SET_REPLACE
    ("setsockopt", (0, 41, 64)),  # IP6T_SO_SET_REPLACE
    ("setsockopt", (0, 6, 31)),  # TCP_ULP
    ("setsockopt", (0, 17, 100)),  # UDP_ENCAP
    ("setsockopt", (0, 270, 1)),  # SOL_NETLINK
    ("prctl", (22, 2)),  # PR_SET_SECCOMP
    ("prctl", (28,)),  # PR_SET_SECUREBITS
    ("prctl", (35,)),  # PR_SET_MM
    ("prctl", (47, 2)),  # PR_CAP_AMBIENT
    ("prctl", (59,)),  # PR_SET_SYSCALL_USER_DISPATCH
    ("prctl", (0x59616D61,)),  # PR_SET_PTRACER
    ("arch_prctl", (0x1012,)),  # ARCH_SET_CPUID
]
ALLOWED: list[tuple[str, tuple[int, ...]]] = [
    ("clone", (0x3D0F00,)),  # a thread, as glibc starts it
    ("clone", (0x1200011,)),  # fork
    ("ioctl", (1, 0x5401)),
    ("ioctl", (1, 0xFFFFFFFF00005401)),
    ("open", (0, 0x80000, 0xDEAD6000)),  # no O_CREAT, garbage for a mode
    ("openat", (0, 0, 0x241, 0o666)),
    ("prlimit64", (0, 7, 0, 1)),
    ("arch_prctl", (0x1002,)),
]
ALLOWED_BY_DEFAULT: list[tuple[str, tuple[int, ...]]] = [
    ("socket", (1, 1, 0)),
    ("socket", (2, 0x80801, 0)),  # TCP, SOCK_NONBLOCK | SOCK_CLOEXEC
    ("socket", (10, 2, 17)),
    ("socketpair", (1, 1, 0)),
    ("setsockopt", (0, 1, 2)),  # SO_REUSEADDR
    ("setsockopt", (0, 1, 46)),  # SO_BUSY_POLL
    ("setsockopt", (0, 6, 1)),  # TCP_NODELAY
    ("setsockopt", (0, 41, 26)),  # IPV6_V6ONLY
    ("chmod", (0, 0o1777)),
    ("mknodat", (0, 0, 0o010644)),
    ("prctl", (15,)),
    ("prctl", (38, 1)),
    ("ioctl", (0, 0x80045430)),
    ("ioctl", (0, 0xFFFFFFFF80045430)),  # as musl extends it
    ("arch_prctl", (0x1023,)),
    ("prlimit64", (0, 7, 1, 1)),
]


@cache
def _compiled(name: str, machine: str) -> tuple[seccomp.Filter, bytes]:
    decided = seccomp.decide(shipped.policy(name).syscalls, machine)
    return decided, libseccomp.assemble(decided)


def _says(name: str, call: str, args: tuple[int, ...]) -> int:
    return seccomp.evaluate(_compiled(name, "x86_64")[0], bpf.AUDIT_ARCH_X86_64, NUMBERS["x86_64"][call], args)


@pytest.mark.parametrize(("call", "args"), REFUSED)
def test_minimal_and_default_refuse(call: str, args: tuple[int, ...]) -> None:
    assert _says("base/minimal", call, args) == EPERM
    assert _says("base/default", call, args) == EPERM


@pytest.mark.parametrize(("call", "args"), REFUSED_BY_DEFAULT)
def test_default_refuses(call: str, args: tuple[int, ...]) -> None:
    assert _says("base/default", call, args) == EPERM


@pytest.mark.parametrize(("call", "args"), ALLOWED)
def test_minimal_and_default_allow(call: str, args: tuple[int, ...]) -> None:
    assert _says("base/minimal", call, args) == ALLOW
    assert _says("base/default", call, args) == ALLOW


@pytest.mark.parametrize(("call", "args"), ALLOWED_BY_DEFAULT)
def test_default_allows(call: str, args: tuple[int, ...]) -> None:
    assert _says("base/default", call, args) == ALLOW
