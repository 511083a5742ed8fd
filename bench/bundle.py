"""A root filesystem of busybox, and an OCI bundle with the settings that Docker gives runc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

APPLETS = ("true", "sh", "sleep")
BUSYBOX = Path("/bin/busybox")
SECCOMP = Path("/usr/share/containers/seccomp.json")

# Docker's default capabilities and kernel paths, as `docker inspect` and a running container's config.json show them.
CAPABILITIES = (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
).split()
MASKED = (
    "/proc/asound /proc/acpi /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats "
    "/proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap"
).split()
READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split()


def make_rootfs(directory: Path) -> Path:
    """Make a tree in which /bin/true, /bin/sh and /bin/sleep run."""
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"):
        (directory / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, directory / "bin/busybox")
    for applet in APPLETS:
        os.link(directory / "bin/busybox", directory / "bin" / applet)
    for path in (directory.parent, directory):
        path.chmod(0o755)  # a container's own user has to reach it
    return directory


def make_bundle(directory: Path, rootfs: Path, cgroup: str, args: list[str]) -> Path:
    """Write a bundle from `runc spec` and Docker's settings: no user namespace, all controllers, Docker's capabilities."""
    directory.mkdir()
    subprocess.run(["/usr/sbin/runc", "spec"], cwd=directory, check=True)
    file = directory / "config.json"
    config = json.loads(file.read_text())
    names = [f"CAP_{name}" for name in CAPABILITIES]
    config["root"] = {"path": str(rootfs), "readonly": False}
    config["process"] |= {
        "args": args,
        "capabilities": {"bounding": names, "effective": names, "permitted": names},
        "noNewPrivileges": False,
        "rlimits": [],
        "terminal": False,
    }
    config["linux"] |= {
        "cgroupsPath": cgroup,
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
        "resources": {"devices": [{"allow": False, "access": "rwm"}, *_devices()], "memory": {}, "cpu": {}},
        "seccomp": docker_seccomp(),
    }
    file.write_text(json.dumps(config))
    return directory


def _devices() -> list[dict[str, Any]]:
    """Docker's device rules: mknod of any, and use of null zero full random urandom tty ptmx and pts."""
    use = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, None)]
    rules: list[dict[str, Any]] = [{"allow": True, "type": kind, "access": "m"} for kind in "cb"]
    for major, minor in use:
        numbers = {"major": major} if minor is None else {"major": major, "minor": minor}
        rules.append({"allow": True, "type": "c", "access": "rwm", **numbers})
    return rules


def docker_seccomp() -> dict[str, Any]:
    """Docker's default profile, in the containers project's edition, as an engine resolves it for CAPABILITIES on x86-64."""
    profile = json.loads(SECCOMP.read_text())
    (arches,) = [entry for entry in profile["archMap"] if entry["architecture"] == "SCMP_ARCH_X86_64"]
    kept = ("names", "action", "args", "errnoRet")
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": [arches["architecture"], *arches["subArchitectures"]],
        "syscalls": [{key: rule[key] for key in kept if rule.get(key)} for rule in profile["syscalls"] if _applies(rule)],
    }


def _applies(rule: dict[str, Any]) -> bool:
    held = {f"CAP_{name}" for name in CAPABILITIES}
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    return (
        set(includes.get("caps") or []) <= held
        and "amd64" in (includes.get("arches") or ["amd64"])
        and not set(excludes.get("caps") or []) & held
        and "amd64" not in (excludes.get("arches") or [])
    )
