"""The probe program itself: that each kind of attempt reaches where nothing stops it, and fails where something does."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import pytest

from tests.kernel import probing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kernel.probing import Attempt

root = pytest.mark.skipif(
    not (probing.is_root() and shutil.which("ip")), reason="the control needs root with CAP_SYS_ADMIN, and iproute2"
)
pytestmark = [
    pytest.mark.skipif(not shutil.which("gcc"), reason="gcc builds the probe"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the probe enters the kernel by x86-64's three entries"),
]
bubblewrap = pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is the confinement that is compared with")

# How many of each family must get through in the control. Less would mean that the attempts cannot reach at all; more depends
# on what this kernel has compiled in.
REACHED_IN_CONTROL = {
    "f.see_*": 7,
    "f.create_*": 20,
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
