"""What the probe finds: each kind of leak, filter, bound and identity put there on purpose, and then not there."""

from __future__ import annotations

import ctypes
import os
import platform
import pty
import shutil
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kernel import probing
from tests.kernel.probing import one

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

root = pytest.mark.skipif(not probing.is_root(), reason="it takes root with CAP_SYS_ADMIN to set this up")
pytestmark = [
    pytest.mark.skipif(not shutil.which("gcc"), reason="gcc builds the probe"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the probe enters the kernel by x86-64's three entries"),
]
CANARY = "PROBE_TEST_CANARY"


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
