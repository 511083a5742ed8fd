"""The probe program itself: that each kind of attempt reaches where nothing stops it, and fails where something does."""

from __future__ import annotations

import ctypes
import os
import platform
import pty
import shutil
import socket
import subprocess
import sys
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import pytest

from tests.kernel import probing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.kernel.probing import Attempt

root = pytest.mark.skipif(not probing.is_root(), reason="the control needs root with CAP_SYS_ADMIN")
pytestmark = [
    pytest.mark.skipif(not shutil.which("gcc"), reason="gcc builds the probe"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the probe enters the kernel by x86-64's three entries"),
]
bubblewrap = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is the confinement that is compared with")

CANARY = "PROBE_TEST_CANARY"
# How many of each family must get through in the control. Less would mean that the attempts cannot reach at all; more depends
# on what this kernel has compiled in.
REACHED_IN_CONTROL = {
    "f.see_*": 7,
    "f.create_*": 25,
    "f.write_*": 3,
    "f.mknod_*": 15,
    "f.chmod_*": 5,
    "f.setxattr_*": 2,
    "f.exec_*": 4,
    "f.proc_sys_*_w": 35,
    "f.proc_*_r": 20,
    "f.other_*": 14,
    "f.pid1_*": 3,
    "f.sys_*_r": 8,
    "f.sys_*_w": 6,
    "f.cgroup_*": 4,
    "f.mount_*": 20,
    "f.remount_*": 5,
    "f.umount_*": 10,
    "f.fs*": 6,
    "k.unshare_*": 8,
    "k.clone_*": 7,
    "k.clone3_*": 7,
    "k.setns_*": 6,
    "k.bpf_*": 6,
    "k.perf_*": 2,
    "k.ptrace_*": 5,
    "k.vm_*": 3,
    "k.socket_*": 20,
    "k.gate_*": 80,
    "i.set_Cap*": 3,
    "i.bounding_*": 20,
    "i.raise_*": 8,
    "i.securebits_*": 4,
    "i.set*": 5,
    "p.*": 15,
    "n.route_*": 20,
    "n.tcp_*": 4,
    "n.option_*": 5,
    "n.bind_*": 4,
    "r.fill_*": 7,
    "r.*": 20,
}
ALWAYS_REACHED_IN_CONTROL = """
f.create_root f.mkdir_root f.write_passwd f.truncate_passwd f.hard_link_passwd f.see_ssh f.see_aws f.see_home f.see_srv
f.see_run_secrets f.mknod_null f.mknod_open_null f.mknod_mem f.chmod_suid f.chown_other f.setxattr_capability
f.exec_new_file f.exec_memfd f.attr_immutable f.handle_of_root f.handle_open f.proc_sys_core_pattern_w
f.proc_sys_hostname_w f.proc_interrupts_r f.other_environ f.other_root f.other_mem_w f.sys_lo_mtu_w f.cgroup_mkdir
f.cgroup_procs_w f.mount_tmpfs f.mount_proc f.mount_bind_root f.mount_overlay f.remount_rw_root f.umount_proc
f.fsopen_tmpfs f.fsmount_tmpfs f.open_tree_clone f.move_mount f.pivot_root f.mount_flag_root_ro k.unshare_user
k.unshare_net k.clone_user k.clone3_user k.user_then_net k.user_then_mount k.setns_net k.bpf_map k.bpf_socket_filter
k.perf_software k.io_uring k.io_uring_register k.userfaultfd k.add_key_session k.keyctl_session k.ptrace_child_seize
k.ptrace_traceme k.ptrace_pid1 k.vm_read_child k.vm_read_pid1 k.vm_write_child k.kcmp_child k.pidfd_getfd_child
k.settimeofday k.clock_adjtime k.sethostname k.chroot k.chroot_escape k.personality_read_exec k.fanotify_notif
k.syslog_read_all k.seccomp_listener k.socket_packet_raw k.socket_raw_icmp k.socket_netlink_route
k.socket_netlink_netfilter k.gate_mount k.gate_ptrace k.gate_unshare i.set_CapEff i.capget i.raise_sys_admin
i.raise_inheritable i.no_new_privs i.seccomp_mode i.uid_map_root i.setuid_other i.setgroups_other i.user_namespace
i.nice_minus_20 p.env_canary p.environ_of_others p.visible p.signal_finds p.signal_reaches p.session_outside
p.ns_user_initial n.interfaces n.interfaces_by_number n.addresses n.route_metadata n.route_internet n.route_internet_v6
n.tcp_metadata n.tcp_internet n.dns_google n.proc_net_dev n.option_mark n.nf_tables n.rtnetlink_set n.lo_flags n.bind_80
r.processes r.threads r.memory r.memfd r.sysv_shm r.fill_tmp r.fill_dev_shm r.fill_everywhere r.realtime_fifo r.deadline
r.mlock_64_mib r.core_dumps
""".split()


CONFINED_BY_BUBBLEWRAP = """
f.see_* f.create_root f.write_* f.mknod_open_mem f.mount_tmpfs f.mount_bind_* f.remount_* f.pivot_root
i.set_Cap* i.raise_* i.bounding_* i.no_new_privs i.setuid_other n.route_* n.tcp_* n.nf_tables n.option_mark
k.ptrace_pid1 k.settimeofday k.socket_packet_raw p.ns_user_initial p.session_outside r.fill_tmp r.realtime_*
""".split()


@pytest.fixture(scope="module")
def control() -> dict[str, Attempt]:
    return probing.run_control("--canary", "PLANTED_CANARY", "--hostname", platform.node())


@pytest.fixture(scope="module")
def names() -> list[str]:
    listed = subprocess.run([probing.build_probe(), "--list", "--network"], check=True, capture_output=True, text=True)
    return listed.stdout.split()


def only(attempts: Mapping[str, Attempt]) -> Attempt:
    (attempt,) = attempts.values()
    return attempt


def one(name: str, *options: str, prefix: tuple[str, ...] = (), **more: object) -> Attempt:
    return only(probing.run_probe(prefix, "--only", name, *options, **more))  # type: ignore[arg-type]


def jail(directory: Path, *options: str) -> tuple[str, ...]:
    """Bubblewrap with namespaces of its own, a plain read-only root and no capability."""
    tree = probing.rootfs(directory)
    spaces = ("--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--as-pid-1")
    files = ("--ro-bind", str(tree), "/", "--proc", "/proc", "--dev", "/dev", "--size", "67108864", "--tmpfs", "/tmp")
    return ("bwrap", *spaces, "--die-with-parent", "--new-session", "--clearenv", *files, *options)


@pytest.fixture(scope="module")
def jailed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Attempt]:
    prefix = jail(tmp_path_factory.mktemp("jail"))
    return probing.run_probe(prefix, "--network", "--skip", "r.memory", "--skip", "r.memfd", program="/bin/probe")


class TestTheList:
    def test_names_are_unique_and_at_least_400_are_strict(self, names: list[str]) -> None:
        assert len(names) == len(set(names))
        assert len(names) >= 400
        assert {name.split(".")[0] for name in names} == set(probing.GROUPS)

    def test_options_choose(self, names: list[str]) -> None:
        command = [str(probing.build_probe()), "--list", "--group", "i", "--only", "i.set*", "--skip", "i.set_Cap*"]
        chosen = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert chosen == [name for name in names if fnmatch(name, "i.set*") and not fnmatch(name, "i.set_Cap*")]

    def test_safe_leaves_out_what_touches_the_outside(self) -> None:
        command = [str(probing.build_probe()), "--list", "--safe"]
        safe = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert "k.ptrace_child_seize" in safe
        assert not {"k.ptrace_pid1", "f.mount_tmpfs", "k.sethostname", "r.memory", "n.tcp_internet"} & set(safe)

    def test_an_unknown_option_is_refused(self) -> None:
        assert subprocess.run([probing.build_probe(), "--what"], check=False, capture_output=True).returncode == 2


@root
class TestControl:
    def test_each_attempt_answers_once(self, control: dict[str, Attempt], names: list[str]) -> None:
        assert list(control) == names

    def test_each_family_reaches(self, control: dict[str, Attempt]) -> None:
        got = {
            family: sum(bool(attempt.reached) for name, attempt in control.items() if fnmatch(name, family))
            for family in REACHED_IN_CONTROL
        }
        assert {family: count for family, count in got.items() if count < REACHED_IN_CONTROL[family]} == {}

    def test_what_every_kernel_has_reaches(self, control: dict[str, Attempt]) -> None:
        failed = [control[name] for name in ALWAYS_REACHED_IN_CONTROL if not control[name].reached]
        assert not failed, probing.describe(failed)

    def test_more_than_half_of_the_strict_ones_reach(self, control: dict[str, Attempt]) -> None:
        strict = [attempt for attempt in control.values() if attempt.strict]
        assert len(strict) >= 490
        assert len(probing.reached(control)) > len(strict) / 2

    def test_almost_every_call_passes_without_a_filter(self, control: dict[str, Attempt]) -> None:
        calls = control["k.calls_x86_64"].calls
        assert calls is not None
        assert len(calls) > 330
        assert {0, 1, 59, 101, 231, 321} <= set(calls)


@root
@bubblewrap
class TestAgainstBubblewrap:
    @pytest.mark.parametrize("family", CONFINED_BY_BUBBLEWRAP)
    def test_what_it_confines_is_refused(self, jailed: dict[str, Attempt], control: dict[str, Attempt], family: str) -> None:
        tried = [attempt for name, attempt in jailed.items() if fnmatch(name, family)]
        assert tried
        assert not probing.reached({attempt.name: attempt for attempt in tried}), probing.describe(tried)
        assert any(attempt.reached for name, attempt in control.items() if fnmatch(name, family))

    def test_a_directory_that_it_inherits_leads_out(self, tmp_path: Path) -> None:
        """As CVE-2024-21626: bubblewrap closes nothing, and the descriptor's parents are the host's."""
        attempts = ("--only", "f.fd_leak_directory", "--only", "f.fd_chdir_out")
        prefix = jail(tmp_path / "tree")
        directory = os.open("/usr/bin", os.O_RDONLY | os.O_DIRECTORY)
        try:
            leaking = probing.run_probe(prefix, *attempts, program="/bin/probe", inherit=[directory])
        finally:
            os.close(directory)
        assert [attempt.reached for attempt in leaking.values()] == [True, True], probing.describe(leaking.values())
        closed = probing.run_probe(prefix, *attempts, program="/bin/probe")
        assert [attempt.reached for attempt in closed.values()] == [False, False], probing.describe(closed.values())

    def test_what_it_leaves_open_is_reached(self, jailed: dict[str, Attempt]) -> None:
        for name in ("k.calls_i386", "k.unshare_user", "k.io_uring", "i.seccomp_mode", "r.processes", "k.gate_bpf"):
            assert jailed[name].reached, jailed[name]


@root
class TestLeftovers:
    def test_nothing_stays_in_a_directory_that_can_be_written(self, tmp_path: Path) -> None:
        prefix = ("unshare", "--mount", "--fork", "sh", "-c", 'cd "$0"; exec "$@"', str(tmp_path))
        # those that write to the machine's own tree are left out
        elsewhere = ("--skip", "f.create_*", "--skip", "f.mkdir_*", "--skip", "f.mknod*")
        made = probing.run_probe(prefix, "--safe", "--group", "f", *elsewhere)
        assert made["f.exec_new_file"].reached
        assert list(tmp_path.iterdir()) == []


class TestWhatTheCallerKnows:
    """Attempts that look for a thing of the caller's: found where it leaks, not found where it does not."""

    def test_environment(self) -> None:
        leaks, closed = {**os.environ, CANARY: "1"}, {"PATH": os.environ["PATH"]}
        assert one("p.env_canary", "--canary", CANARY, environment=leaks).reached is True
        assert one("p.env_canary", "--canary", CANARY, environment=closed).reached is False
        assert one("p.env_canary").reached is None

    def test_environment_names_that_sound_like_secrets(self) -> None:
        assert one("p.env_secret_names", environment={"MY_API_KEY": "x"}).reached is True
        assert one("p.env_secret_names", environment={"VALUE": "TOKEN"}).reached is False

    def test_descriptors(self, tmp_path: Path) -> None:
        directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            leak = one("f.fd_leak_directory", inherit=[directory])
        finally:
            os.close(directory)
        assert leak.reached is True
        assert str(tmp_path) in leak.detail
        assert one("f.fd_leak_directory").reached is False

    def test_host_path(self, tmp_path: Path) -> None:
        assert one("f.host_path_seen", "--host-path", str(tmp_path)).reached is True
        assert one("f.host_path_written", "--host-path", str(tmp_path)).reached is True
        assert one("f.host_path_seen", "--host-path", str(tmp_path / "none")).reached is False

    def test_host_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
            assert one("n.host_port", "--host-port", port).reached is True
        assert one("n.host_port", "--host-port", port).reached is False

    def test_abstract_socket(self) -> None:
        name = f"probe-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"\0{name}")
            server.listen()
            assert one("p.abstract_host", "--host-abstract", name).reached is True
            assert one("p.abstract_seen").reached is True
        assert one("p.abstract_host", "--host-abstract", name).reached is False

    def test_process(self) -> None:
        assert one("p.signal_host_pid", "--host-pid", "2", "--host-pid", str(os.getpid())).reached is True
        assert one("p.signal_host_pid", "--host-pid", "4194304").reached is False

    def test_hostname(self) -> None:
        assert one("p.hostname", "--hostname", platform.node()).reached is True
        assert one("p.hostname", "--hostname", "another").reached is False

    def test_key(self) -> None:
        script = (
            "import ctypes, os, sys; call = ctypes.CDLL(None).syscall; call(250, 1, 0)\n"  # KEYCTL_JOIN_SESSION_KEYRING
            "assert call(248, b'user', b'probe-test', b'x', 1, -3) > 0; os.execv(sys.argv[1], sys.argv[1:])"
        )
        if ctypes.CDLL(None).syscall(250, 0, -3, 0) == -1:
            pytest.skip("this session may not use keyctl(2)")
        key = ("--key", "probe-test")
        found = one("k.key_of_launcher_session", *key, prefix=(sys.executable, "-c", script))
        assert found.reached is True
        assert one("k.key_of_launcher_session", *key).reached is False

    @root
    def test_system_v_segment(self) -> None:
        make = "import ctypes, os, sys; ctypes.CDLL(None).shmget(0, 4096, 0o1600); os.execv(sys.argv[1], sys.argv[1:])"
        alone = ("unshare", "--ipc", "--fork")
        assert one("p.sysv_shm_seen", prefix=(*alone, sys.executable, "-c", make)).reached is True
        assert one("p.sysv_shm_seen", prefix=alone).reached is False

    def test_terminal(self) -> None:
        child, master = pty.fork()
        if child == 0:
            os.execv(probing.build_probe(), ["probe", "--only", "p.tty_controlling", "--only", "k.tiocsti_*"])
        answers = probing.parse(_read_all(master))
        os.close(master)
        assert os.waitpid(child, 0)[1] == 0
        assert answers["p.tty_controlling"].reached is True
        assert answers["k.tiocsti_tty"].reached or answers["k.tiocsti_tty"].errno == "EIO"  # dev.tty.legacy_tiocsti is off
        assert one("p.tty_controlling", prefix=("setsid", "--wait")).reached is False


def _read_all(descriptor: int) -> str:
    return b"".join(_blocks(descriptor)).decode()


def _blocks(descriptor: int) -> Iterator[bytes]:
    try:
        while block := os.read(descriptor, 65536):
            yield block
    except OSError:  # EIO: the other side is closed
        return


FILTER = """
import os, sys
import pyseccomp as seccomp
action, names, program = sys.argv[1], sys.argv[2].split(","), sys.argv[3:]
refuse = seccomp.KILL_PROCESS if action == "kill" else seccomp.ERRNO(1)
rules = seccomp.SyscallFilter(seccomp.ERRNO(1) if action == "errno" else refuse)
rules.set_attr(seccomp.Attr.ACT_BADARCH, refuse)
for name in names:
    rules.add_rule(seccomp.ALLOW, name)
rules.load()
os.execv(program[0], program)
"""
# What the probe itself needs, static and started by execve; with seccomp it may judge by a filter of its own.
NEEDED = """
execve brk mmap munmap mprotect arch_prctl set_tid_address set_robust_list rseq prlimit64 readlink readlinkat getrandom
fstat newfstatat read write close open openat clone wait4 exit exit_group rt_sigprocmask rt_sigaction setpgid alarm
clock_gettime clock_nanosleep nanosleep kill getpid getppid gettid prctl uname
""".split()


def filtered(action: str, allowed: list[str]) -> tuple[str, ...]:
    return (sys.executable, "-c", FILTER, action, ",".join(allowed))


class TestTheGate:
    """The count of calls is exact where the probe may install a filter, and never too low where it may not."""

    @pytest.mark.parametrize("action", ["errno", "kill"])
    def test_exactly_what_a_filter_allows_passes(self, action: str) -> None:
        allowed = [*NEEDED, "seccomp"]
        found = probing.run_probe(filtered(action, allowed), "--only", "k.calls_*", "--only", "k.gate_*")
        numbers = sorted(_number(name) for name in allowed)
        assert sorted(found["k.calls_x86_64"].calls or ()) == numbers
        assert found["k.calls_i386"].reached is False
        assert found["k.calls_x32"].reached is False
        passed = {attempt.name for attempt in found.values() if attempt.reached}
        assert passed == {"k.gate_seccomp"}

    def test_without_a_filter_of_its_own_errors_tell(self) -> None:
        allowed = [name for name in NEEDED if name != "prctl"]
        found = probing.run_probe(filtered("errno", allowed), "--only", "k.calls_*")
        assert found["k.calls_x86_64"].detail.endswith("by errno")
        got = set(found["k.calls_x86_64"].calls or ())
        assert got <= {_number(name) for name in allowed}
        assert {_number(name) for name in ("mmap", "openat", "newfstatat", "wait4")} <= got
        assert found["k.calls_i386"].reached is False

    def test_the_probe_stands_where_a_filter_kills_for_what_it_likes_to_call(self) -> None:
        """Each attempt would look refused if the probe's own alarm were what it died of."""
        spared = [name for name in NEEDED if name not in {"alarm", "setpgid", "kill", "prctl"}]
        prefix = filtered("kill", spared)
        found = probing.run_probe(prefix, "--canary", "PATH", *("--only", "p.env_canary", "--only", "k.gate_*"))
        assert found["p.env_canary"].reached is True
        assert found["k.gate_mount"].detail == "refused (SIGSYS)"

    def test_a_killed_attempt_is_refused(self) -> None:
        killed = one("k.unshare_user", prefix=filtered("kill", NEEDED))
        assert (killed.reached, killed.detail) == (False, "refused (SIGSYS)")


def _number(name: str) -> int:
    import pyseccomp  # noqa: PLC0415 -- its import runs ldconfig: only for these tests

    return int(pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, name))


class TestBounds:
    """Each bound, set to where it must be hit."""

    @root
    def test_processes_and_threads(self) -> None:
        prefix = ("setpriv", "--reuid", "61234", "--clear-groups", "prlimit", "--nproc=60", "--")
        for name in ("r.processes", "r.threads"):
            bounded = one(name, prefix=prefix)
            assert (bounded.reached, bounded.errno) == (False, "EAGAIN")

    def test_memory(self) -> None:
        assert one("r.memory", prefix=("prlimit", f"--as={300 << 20}")).reached is False

    @pytest.mark.parametrize(
        ("name", "limit"),
        [
            ("r.open_files", "--nofile=256"),
            ("r.limit_open_files", "--nofile=256"),
            ("r.core_dumps", "--core=0"),
            ("r.limit_core", "--core=0"),
            ("r.fill_dev_shm", "--fsize=1048576"),
        ],
    )
    def test_limits(self, name: str, limit: str) -> None:
        assert one(name, prefix=("prlimit", limit)).reached is False

    @root
    def test_rights_to_run_first(self) -> None:
        prefix = ("setpriv", "--reuid", "61234", "--clear-groups")
        names = ("r.realtime_fifo", "r.realtime_rr", "r.deadline", "r.io_realtime", "i.nice_minus_20", "r.pipe_2_mib")
        found = probing.run_probe(prefix, *(word for name in names for word in ("--only", name)))
        assert not probing.reached(found), probing.describe(found.values())


@root
class TestIdentity:
    """What no control run carries by itself, put there on purpose."""

    def test_supplementary_groups(self) -> None:
        assert one("i.groups", prefix=("setpriv", "--groups", "61235")).reached is True
        assert one("i.groups", prefix=("setpriv", "--clear-groups")).reached is False

    def test_inheritable_and_ambient_capabilities(self) -> None:
        with_raw = ("setpriv", "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw")
        for name in ("i.set_CapInh", "i.set_CapAmb"):
            assert one(name, prefix=with_raw).reached is True
            assert one(name, prefix=("setpriv", "--inh-caps", "-all", "--ambient-caps", "-all")).reached is False

    def test_locked_securebits(self) -> None:
        bits = "+noroot,+noroot_locked,+no_setuid_fixup,+no_setuid_fixup_locked,+keep_caps_locked"
        for name in ("i.securebits_noroot", "i.securebits_no_setuid_fixup", "i.securebits_keep_caps_locked"):
            assert one(name).reached is True
            assert one(name, prefix=("setpriv", "--securebits", bits)).reached is False

    def test_becoming_root_again(self) -> None:
        drop = ("setpriv", "--reuid", "61234", "--regid", "61234", "--clear-groups", "--bounding-set", "-all")
        attempts = ("--only", "i.set*", "--only", "i.raise_*", "--only", "i.capget")
        found = probing.run_probe(drop, *attempts)
        assert found["i.setuid_root"].errno == "EPERM"
        assert not probing.reached(found), probing.describe(found.values())
