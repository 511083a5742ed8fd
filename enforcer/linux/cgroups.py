"""Removes the control groups of a container, and ends what is still in them.

On the launch path: it imports next to nothing. Only groups named `enforcer-…` are ever touched. See cgroups(7).
"""

from __future__ import annotations

import os
from time import sleep

from enforcer.errors import HostError
from enforcer.linux.syscalls import call

TYPE_CHECKING = False  # typing would cost a launch 5 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "enforcer-"
SIGKILL = 9
# The whole of a removal takes at most about two seconds; a group is busy for some milliseconds after its last process.
TRIES = 200
PAUSE = 0.01
# The order of removal: with pids.max at 0 nothing forks any more while the rest is ended.
ORDER = ("pids", "freezer", "memory", "cpu", "devices")


def paths_of(cgroups: Mapping[str, str], container: str, unified: str = "") -> list[str]:
    """Every directory that may be a group of this container, in the order in which to remove them.

    cgroups: HostFacts.cgroups; unified: HostFacts.cgroup_v2. Not all of them need to exist.
    """
    parents = [unified, *(cgroups.get(controller, "") for controller in ORDER)]
    return [f"{parent}/{PREFIX}{container}" for parent in dict.fromkeys(parents) if parent]


def remove(directory: str) -> None:
    """Kill every process in a group and the groups below it, and remove them. A group that is gone already is fine.

    Raises HostError for a directory that is not one of ours, and for a group that could not be emptied in two seconds.
    """
    if not os.path.basename(directory).startswith(PREFIX) or not os.path.isabs(directory) or "/../" in directory:
        raise HostError(f"refused to remove {directory}", why=f"only control groups named {PREFIX}… are enforcer's own")
    _write(f"{directory}/pids.max", b"0")
    failure: OSError | None = None
    for attempt in range(TRIES):
        _kill(directory)
        try:
            _remove_tree(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            failure = error
            sleep(PAUSE if attempt else 0.001)
        else:
            return
    raise HostError(f"the control group {directory} is still in use", why=str(failure), hint=f"cat {directory}/cgroup.procs")


def remove_all(directories: Iterable[str]) -> None:
    """`remove` each. Raises the first HostError after all have been tried."""
    failures = []
    for directory in directories:
        try:
            remove(directory)
        except HostError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _kill(directory: str) -> None:
    """cgroup.kill takes the whole subtree at once (v2, Linux 5.14); elsewhere each process of each group gets SIGKILL."""
    if _write(f"{directory}/cgroup.kill", b"1"):
        return
    # A group that its freezer stopped would not act on the signal.
    _write(f"{directory}/freezer.state", b"THAWED") or _write(f"{directory}/cgroup.freeze", b"0")
    for group in [directory, *_below(directory)]:
        for pid in _processes(group):
            _kill_member(group, pid)


def _kill_member(group: str, pid: int) -> None:
    """Kill by a pidfd, and only when the process it stands for is still in the group: a pid can be another's by now."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if pid in _processes(group):
            call("pidfd_send_signal", process, SIGKILL, None, 0)
    except OSError:
        pass  # it ended by itself
    finally:
        os.close(process)


def _processes(group: str) -> list[int]:
    """The processes of a group. 0 stands for one outside our pid namespace, and is nothing we could name."""
    try:
        descriptor = os.open(f"{group}/cgroup.procs", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    content = b""
    try:
        while part := os.read(descriptor, 65536):
            content += part
    except OSError:
        pass  # ENODEV: removed meanwhile
    finally:
        os.close(descriptor)
    return [int(word) for word in content.split() if word != b"0" and int(word) != os.getpid()]


def _below(directory: str) -> list[str]:
    """Groups below a group, parents first."""
    try:
        with os.scandir(directory) as entries:
            children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [group for child in children for group in (child, *_below(child))]


def _remove_tree(directory: str) -> None:
    for group in reversed([directory, *_below(directory)]):
        os.rmdir(group)


def _write(path: str, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.write(descriptor, content) == len(content)
    except OSError:
        return False
    finally:
        os.close(descriptor)
