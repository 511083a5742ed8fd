"""Control groups on the real kernel: a program of the plan's own steps is executed, and its init tries to exceed its bounds."""

from __future__ import annotations

import errno
import os
import signal
import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from enforcer.errors import HostError
from enforcer.linux import cgroups as doing
from enforcer.linux import probe
from enforcer.linux.executor import Execution, StepFailed
from enforcer.plan import cgroups
from enforcer.plan.cgroup_devices import DeviceRule
from enforcer.plan.encoder import encode
from enforcer.plan.encoding import INIT, Program
from enforcer.plan.namespaces import CLONE_INTO_CGROUP
from enforcer.plan.step import Packed, Ref, Slot, Step
from enforcer.policy.profile import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from enforcer.plan.host import HostFacts

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make control groups here")

MIB = 2**20
KMSG = DeviceRule("c", 1, 11, "r")


@pytest.fixture(scope="module", name="facts")
def measured_facts() -> HostFacts:
    return probe.host_facts("/var/lib/enforcer")


@pytest.fixture(scope="module", name="v2")
def v2_facts(facts: HostFacts) -> HostFacts:
    """The v2 tree of this host, without the controllers that it does not have in a hybrid layout."""
    if not facts.cgroup_v2:
        pytest.skip("no v2 hierarchy")
    if facts.cgroup_layout == "v2":
        return facts
    return replace(facts, cgroup_layout="v2", cgroups=MappingProxyType({"devices": facts.cgroup_v2}))


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    init: int
    groups: list[str]

    def read(self, file: str) -> str:
        """The content of a file of the first group that has it."""
        path = next(f"{group}/{file}" for group in self.groups if os.path.exists(f"{group}/{file}"))
        with open(path) as opened:
            return opened.read().strip()

    def status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.init, 0)[1])


@contextmanager
def confined(
    facts: HostFacts, resources: Resources, payload: Callable[[], int], rules: tuple[DeviceRule, ...] = ()
) -> Iterator[Container]:
    """Launch `payload` as the init of a container that has nothing but its control groups; they are removed at the end."""
    name = f"test{os.getpid()}x{time.monotonic_ns()}"
    groups = [f"{parent}/enforcer-{name}" for parent in cgroups.directories(resources, facts)]
    inside = cgroups.born_inside(resources, facts)
    clone_args = struct.pack("<11Q", CLONE_INTO_CGROUP if inside else 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    group = ((80, 8, Ref("cgroup")),) if inside else ()
    steps = (
        *cgroups.before(resources, rules, facts),
        Step("launcher", "clone3", (Packed(clone_args, group), len(clone_args)), "", result="init"),
        *cgroups.let_go(resources, facts),
        *cgroups.enter(resources, facts),
        Step("launcher", "write", (Slot("go"), b"x", 1), ""),
        Step("init", "read", (Slot("wait"), Packed(bytes(8)), 1), "", expect=1),
        Step("init", "write", (Slot("inside"), b"x", 1), ""),
    )
    wait, go = os.pipe()
    entered, inside_end = os.pipe()
    program = Program(encode(steps, os.uname().machine))
    execution = Execution(program, {"id": name.encode(), "go": go, "wait": wait, "inside": inside_end}, {})
    try:
        execution.run()
        if execution.process == INIT:
            status = 99
            try:
                status = payload()
            finally:
                os._exit(status)
        os.read(entered, 1)
        yield Container(name, execution.results[program.result_index("init")], groups)
    finally:
        doing.remove_all(groups)
        for end in (wait, go, entered, inside_end):
            os.close(end)


def sleep() -> int:
    time.sleep(20)
    return 0


def test_made_groups_have_their_limits_and_init_is_in_them(facts: HostFacts) -> None:
    with confined(facts, Resources(memory=64 * MIB, pids=7, cpus=500), sleep) as container:
        found = {
            container.read("memory.limit_in_bytes" if facts.cgroup_layout != "v2" else "memory.max"),
            container.read("pids.max"),
        }
        assert found == {str(64 * MIB), "7"}
        for group in container.groups:
            with open(f"{group}/cgroup.procs") as procs:
                assert procs.read().split() == [str(container.init)]
        os.kill(container.init, signal.SIGKILL)
        assert container.status() == -signal.SIGKILL


def test_a_fork_bomb_is_bounded(facts: HostFacts) -> None:
    def bomb() -> int:
        for made in range(40):
            try:
                if os.fork() == 0:
                    sleep()
            except OSError as error:
                return made if error.errno == errno.EAGAIN else 90
        return 91

    with confined(facts, Resources(pids=6), bomb) as container:
        assert container.status() == 5


def hog(amount: int) -> int:
    kept = bytearray(amount)
    kept[::4096] = b"x" * len(kept[::4096])
    return 0


def test_a_memory_hog_is_killed_alone(facts: HostFacts) -> None:
    with (
        confined(facts, Resources(memory=48 * MIB), sleep) as neighbour,
        confined(facts, Resources(memory=48 * MIB), lambda: hog(160 * MIB)) as container,
    ):
        assert container.status() == -signal.SIGKILL
        assert os.waitpid(neighbour.init, os.WNOHANG) == (0, 0)
        os.kill(neighbour.init, signal.SIGKILL)
        neighbour.status()


def test_memory_below_the_limit_is_there(facts: HostFacts) -> None:
    with confined(facts, Resources(memory=64 * MIB), lambda: hog(16 * MIB)) as container:
        assert container.status() == 0


def test_processor_time_is_bounded(facts: HostFacts) -> None:
    def spin() -> int:
        end = time.monotonic() + 0.8
        while time.monotonic() < end:
            pass
        return min(90, round(100 * time.process_time() / 0.8))

    with confined(facts, Resources(cpus=200), spin) as container:
        assert container.status() <= 45


def opening(path: str, flags: int = os.O_RDONLY) -> int:
    """0 or the errno, as an exit status."""
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError as error:
        return error.errno or 90
    return 0


@pytest.fixture(name="kmsg")
def own_kmsg_node(tmp_path: Path) -> str:
    """A device node that no mount option keeps from being opened: /dev/kmsg under another name."""
    node = str(tmp_path / "kmsg")
    os.mknod(node, 0o20600, os.makedev(1, 11))
    if opening(node) != 0:
        pytest.skip("device nodes in the temporary directory cannot be opened (nodev)")
    return node


@pytest.mark.parametrize("version", ["facts", "v2"])
def test_a_device_that_is_not_granted_cannot_be_opened(version: str, kmsg: str, request: pytest.FixtureRequest) -> None:
    facts = request.getfixturevalue(version)
    with confined(facts, Resources(), lambda: opening(kmsg)) as container:
        assert container.status() == errno.EPERM
    with confined(facts, Resources(), lambda: opening("/dev/null", os.O_RDWR)) as container:
        assert container.status() == 0


@pytest.mark.parametrize("version", ["facts", "v2"])
def test_a_granted_device_opens_as_far_as_granted(version: str, kmsg: str, request: pytest.FixtureRequest) -> None:
    facts = request.getfixturevalue(version)
    with confined(facts, Resources(), lambda: opening(kmsg), (KMSG,)) as container:
        assert container.status() == 0
    with confined(facts, Resources(), lambda: opening(kmsg, os.O_RDWR), (KMSG,)) as container:
        assert container.status() == errno.EPERM


@pytest.mark.parametrize("version", ["facts", "v2"])
def test_a_node_for_a_device_that_is_not_granted_cannot_be_made(
    version: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def make() -> int:
        try:
            os.mknod(tmp_path / "disk", 0o60600, os.makedev(7, 0))
        except OSError as error:
            return error.errno or 90
        return 0

    with confined(request.getfixturevalue(version), Resources(), make) as container:
        assert container.status() == errno.EPERM
    assert not os.path.exists(tmp_path / "disk")


@pytest.mark.parametrize("version", ["facts", "v2"])
def test_removal_ends_what_is_left_and_leaves_nothing(version: str, request: pytest.FixtureRequest) -> None:
    def family() -> int:
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                sleep()
        return 0

    with confined(request.getfixturevalue(version), Resources(), family) as container:
        assert container.status() == 0
        left = container.read("cgroup.procs").split()
        assert len(left) == 3
        os.mkdir(f"{container.groups[0]}/nested")
        doing.remove_all(container.groups)
        assert not any(os.path.exists(group) for group in container.groups)
        assert not any(os.path.exists(f"/proc/{pid}/exe") for pid in left)


def test_a_group_that_does_not_empty_is_an_error(facts: HostFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doing, "TRIES", 3)
    with confined(facts, Resources(pids=5), sleep) as container:
        with monkeypatch.context() as spared:
            spared.setattr(doing, "_kill", lambda _directory: None)
            with pytest.raises(HostError, match="still in use"):
                doing.remove_all(container.groups)
        os.kill(container.init, signal.SIGKILL)
        container.status()


@pytest.mark.parametrize("name", ["process_api", "", "enforcer", "../enforcer-x", "x-enforcer-"])
def test_only_groups_of_our_own_are_removed(facts: HostFacts, name: str) -> None:
    parent = facts.cgroups.get("pids", facts.cgroup_v2)
    with pytest.raises(HostError, match="refused to remove"):
        doing.remove(f"{parent}/{name}")


def test_a_group_that_is_gone_is_removed(facts: HostFacts) -> None:
    for path in doing.paths_of(facts.cgroups, "nowhere", facts.cgroup_v2):
        doing.remove(path)


def test_the_group_of_another_is_never_joined(facts: HostFacts) -> None:
    """The id is taken: the launch fails at mkdirat, before there is an init."""
    resources = Resources(pids=5)
    with confined(facts, resources, sleep) as container:
        program = Program(encode(cgroups.before(resources, (), facts), os.uname().machine))
        with pytest.raises(StepFailed) as failed:
            Execution(program, {"id": container.name.encode()}, {}).run()
        assert failed.value.errno == errno.EEXIST
        os.kill(container.init, signal.SIGKILL)
        container.status()
