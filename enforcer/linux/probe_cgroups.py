"""Where this caller can make control groups, measured by making one, limiting it, moving a child in and removing it.

v1: below the caller's own group of each hierarchy, so that the caller's limits go on bounding what it starts. v2: below the
nearest ancestor of the caller's group that may pass controllers on, since a group with processes may not (cgroups(7), "no
internal processes"); the hierarchy's root is exempt. Whether the caller is root or was delegated a subtree makes no difference
to the measuring: the kernel answers.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Literal

from enforcer.linux import procfs
from enforcer.linux.attempt import start, stop, write
from enforcer.linux.syscalls import address, buffer, call
from enforcer.plan import cgroup_devices, cgroups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enforcer.linux.procfs import MountEntry

Layout = Literal["v1", "hybrid", "v2", "none"]
# What shows that a controller works: a file of it, and a value that limits nothing we do in the trial.
V1_TRIALS = {
    "memory": ("memory.limit_in_bytes", "1073741824"),
    "pids": ("pids.max", "100"),
    "cpu": ("cpu.cfs_period_us", "100000"),
    "devices": ("devices.deny", "a"),
    "freezer": ("freezer.state", "THAWED"),
}
V2_TRIALS = {
    "memory": ("memory.max", "1073741824"),
    "pids": ("pids.max", "100"),
    "cpu": ("cpu.max", "100000 100000"),
    "freezer": ("cgroup.freeze", "0"),
}


def measure() -> tuple[Layout, dict[str, str], str]:
    """HostFacts.cgroup_layout, .cgroups and .cgroup_v2."""
    mounts = procfs.parse_mountinfo(procfs.read("/proc/self/mountinfo"))
    own = procfs.parse_cgroup(procfs.read("/proc/self/cgroup"))
    layout, directories, unified = locate(mounts, own)
    if layout == "v2":
        usable, directory = _measure_v2(*unified)
        return layout, dict.fromkeys(sorted(usable), directory), directory
    found = {name: at for name, at in directories.items() if _trial(at, {name: V1_TRIALS[name]}) == {name}}
    return layout, found, unified[1] if unified[1] and _trial(unified[1], {}) is not None else ""


def locate(mounts: tuple[MountEntry, ...], own: Mapping[str, str]) -> tuple[Layout, dict[str, str], tuple[str, str]]:
    """The layout; the caller's own v1 directory for each controller; the v2 tree's top and the caller's own directory there."""
    directories: dict[str, str] = {}
    unified = ("", "")
    for mount in mounts:
        if mount.kind == "cgroup2" and "" in own:
            unified = mount.at, _directory(mount, own[""])
        elif mount.kind == "cgroup":
            names = [name for name in V1_TRIALS if name in mount.options and name in own]
            directories.update({name: _directory(mount, own[name]) for name in names})
    directories = {name: at for name, at in directories.items() if at}
    layout: Layout = "hybrid" if directories and unified[1] else "v1" if directories else "v2" if unified[1] else "none"
    return layout, directories, unified


def _directory(mount: MountEntry, group: str) -> str:
    """Where a group of /proc/self/cgroup lies below a mount that may show only a part of the hierarchy; "" when outside it."""
    root = mount.root.rstrip("/")
    inside = group == root or group.startswith(root + "/")
    return os.path.normpath(mount.at + "/" + group[len(root) :]) if inside and "/.." not in group else ""


def _measure_v2(top: str, own: str) -> tuple[set[str], str]:
    """The controllers and the directory of the first place that has most of them: the caller's ancestors, nearest first."""
    best: tuple[set[str], str] = (set(), "")
    directory = own
    while True:
        usable = _trial_v2(directory)
        if usable is not None and (not best[1] or len(usable) > len(best[0])):
            best = usable, directory
        if directory == top or not directory.startswith(top):
            return best
        directory = os.path.dirname(directory)


def _trial_v2(directory: str) -> set[str] | None:
    """A trial with every controller that this directory can pass on; what had to be switched on is switched off again.

    Where it holds processes, the threaded controllers (pids, cpu) can be switched on but no process can enter a group below
    it any more: then it is tried without any.
    """
    enabled = procfs.read(f"{directory}/cgroup.subtree_control").split()
    wanted = [name for name in procfs.read(f"{directory}/cgroup.controllers").split() if name in V2_TRIALS]
    switched = [name for name in wanted if name not in enabled and _switch(directory, f"+{name}")]
    try:
        found = _trial(directory, V2_TRIALS, device_program=True)
    finally:
        for name in switched:
            _switch(directory, f"-{name}")
    return found if found is not None or not switched else _trial(directory, V2_TRIALS, device_program=True)


def _switch(directory: str, word: str) -> bool:
    return _write(f"{directory}/cgroup.subtree_control", word)


def _trial(parent: str, files: Mapping[str, tuple[str, str]], *, device_program: bool = False) -> set[str] | None:
    """Names of `files` that could be written in a new group that a child could be moved to; None when it could not."""
    directory = f"{parent}/{cgroups.PREFIX}probe-{os.getpid()}"
    try:
        os.mkdir(directory, 0o755)
    except OSError:
        return None
    child = start(signal.pause)
    try:
        usable = {name for name, (file, value) in files.items() if _write(f"{directory}/{file}", value)}
        if device_program and _attach_device_program(directory):
            usable.add("devices")
        return usable if _write(f"{directory}/cgroup.procs", str(child)) else None
    finally:
        stop(child)
        _remove(directory)


def _write(path: str, text: str) -> bool:
    try:
        write(path, text)
    except OSError:
        return False
    return True


def _attach_device_program(directory: str) -> bool:
    """Load a program that decides about devices and attach it. It ends with the group."""
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        program = attach_device_program(group, cgroup_devices.program(cgroup_devices.DEFAULT_DEVICES))
    except OSError:
        return False
    else:
        os.close(program)
        return True
    finally:
        os.close(group)


def attach_device_program(group: int, code: bytes) -> int:
    """bpf(2): load a BPF_PROG_TYPE_CGROUP_DEVICE program and attach it to a v2 group's directory; the program's descriptor."""
    instructions, license_text = buffer(code), buffer(cgroup_devices.LICENSE)
    attr = cgroup_devices.load_attr(len(code) // 8, address(instructions), address(license_text))
    program = call("bpf", cgroup_devices.BPF_PROG_LOAD, attr, len(attr))
    attr = cgroup_devices.attach_attr(group, program)
    try:
        call("bpf", cgroup_devices.BPF_PROG_ATTACH, attr, len(attr))
    except OSError:
        os.close(program)
        raise
    return program


def _remove(directory: str) -> None:
    """A group is busy for a moment after its last process has been waited for."""
    for _ in range(100):
        try:
            os.rmdir(directory)
        except OSError:
            time.sleep(0.005)
        else:
            return
