"""The plan as an OCI runtime-spec 1.2 config.json: the same decisions, in the form that other tools read.

What the specification cannot express (Landlock, an own id range bound at launch) stands in annotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enforcer.plan import capabilities, landlock, mounts, seccomp, userns

if TYPE_CHECKING:
    from enforcer.plan.host import HostFacts
    from enforcer.plan.subject import Subject
    from enforcer.policy.profile import Mount, Policy

VERSION = "1.2.0"
_HARDENED = ["nosuid", "nodev"]


def document(
    policy: Policy, subject: Subject, facts: HostFacts, *, environment: tuple[tuple[str, str], ...], cwd: str
) -> dict[str, Any]:
    """Return the config.json; the id range is written as starting at 0 and is bound to a free one at launch."""
    return {
        "ociVersion": VERSION,
        "root": {"path": "rootfs", "readonly": policy.filesystem.root == "read-only"},
        "hostname": policy.name,
        "process": _process(policy, subject, environment, cwd),
        "mounts": [*_kernel_mounts(), *(_mount(mount, subject) for mount in mounts.ordered(policy.filesystem.mounts))],
        "linux": _linux(policy, subject, facts),
        "annotations": _annotations(policy, subject, facts),
    }


def _process(policy: Policy, subject: Subject, environment: tuple[tuple[str, str], ...], cwd: str) -> dict[str, Any]:
    uid, gid = subject.user
    names = sorted(f"CAP_{capability.name}" for capability in policy.capabilities)
    limits = {
        "RLIMIT_NOFILE": policy.resources.open_files,
        "RLIMIT_NPROC": policy.resources.processes,
        "RLIMIT_CORE": 1,
    }
    return {
        "terminal": subject.terminal,
        "user": {"uid": uid, "gid": gid, "additionalGids": list(subject.groups), "umask": 0o022},
        "args": subject.arguments,
        "env": [f"{name}={value}" for name, value in environment],
        "cwd": cwd,
        "capabilities": dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), names),
        "rlimits": [{"type": kind, "hard": n, "soft": n} for kind, n in limits.items() if n is not None],
        "noNewPrivileges": True,
    }


def _kernel_mounts() -> list[dict[str, Any]]:
    return [
        {
            "destination": "/proc",
            "type": "proc",
            "source": "proc",
            "options": [*_HARDENED, "noexec", "ro", "subset=pid", "hidepid=ptraceable"],
        },
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec", "mode=755", "size=64k"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
    ]


def _mount(mount: Mount, subject: Subject) -> dict[str, Any]:
    options = [*_HARDENED, "ro" if mount.access == "read" or mount.kind == "secret" else "rw"]
    options += [] if mount.execute else ["noexec"]
    if mount.kind in ("tmpfs", "secret"):
        options += [f"size={mount.size or mounts.DEFAULT_TMPFS_SIZE}"] if mount.kind == "tmpfs" else [f"mode={mount.mode:04o}"]
        return {"destination": mount.at, "type": "tmpfs", "source": mount.source or "tmpfs", "options": options}
    source = mount.source if mount.kind == "bind" else f"{subject.files.volumes}/{mount.source}"
    return {"destination": mount.at, "type": "bind", "source": source, "options": ["rbind", "rprivate", *options]}


def _linux(policy: Policy, subject: Subject, facts: HostFacts) -> dict[str, Any]:
    kinds = {"pid": "pid", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time", "user": "user"}
    private = [{"type": kind} for name, kind in kinds.items() if getattr(policy.namespaces, name) == "private"]
    network = [{"type": "network"}] if policy.network.share == "none" else []
    section: dict[str, Any] = {
        "namespaces": [{"type": "mount"}, *private, *network],
        "resources": _resources(policy, subject),
        "seccomp": seccomp.document(seccomp.decide(policy.syscalls, facts.machine)),
        "rootfsPropagation": "private",
        "maskedPaths": [],
        "readonlyPaths": [],
    }
    if policy.namespaces.user == "private":
        mapping = [{"containerID": 0, "hostID": facts.container_ids[0], "size": userns.RANGE}]
        section |= {"uidMappings": mapping, "gidMappings": mapping}
    return section


def _resources(policy: Policy, subject: Subject) -> dict[str, Any]:
    wanted = policy.resources
    section: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    section["devices"] += [
        {"allow": True, "type": rule.kind, "major": rule.major, "access": rule.access}
        | ({} if rule.minor is None else {"minor": rule.minor})
        for rule in subject.device_rules
    ]
    if wanted.memory is not None:
        section["memory"] = {"limit": wanted.memory, "swap": wanted.memory}
    if wanted.pids is not None:
        section["pids"] = {"limit": wanted.pids}
    if wanted.cpus is not None:
        section["cpu"] = {"period": 100_000, "quota": wanted.cpus * 100}
    return section


def _annotations(policy: Policy, subject: Subject, facts: HostFacts) -> dict[str, str]:
    rights = landlock.rights(policy.filesystem.paths)
    return {
        "enforcer.profile": policy.name,
        "enforcer.image": subject.reference,
        "enforcer.image-digest": subject.digest,
        "enforcer.landlock": " ".join(f"{path}:{_letters(word)}" for path, word in rights.items()),
        "enforcer.capabilities-known": str(min(facts.last_capability + 1, len(capabilities.NAMES))),
    }


def _letters(word: int) -> str:
    letters = (("r", landlock.READ_FILE), ("w", landlock.WRITE_FILE), ("x", landlock.EXECUTE))
    return "".join(letter for letter, bit in letters if word & bit)
