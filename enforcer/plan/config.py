"""The plan as an OCI runtime-spec 1.2 config.json: the same decisions, in the form that other tools read.

What the specification has no words for stands in annotations: Landlock's paths, the size of the writable layer, a time limit, a
pid 1 that reaps, secrets and passed variables (whose values are known at launch only), the layers below the root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enforcer.plan import config_linux, landlock, mounts, process

if TYPE_CHECKING:
    from enforcer.plan.host import HostFacts
    from enforcer.plan.subject import Subject
    from enforcer.policy.profile import Mount, Policy

VERSION = "1.2.0"
_HARDENED = ["nosuid", "nodev"]
_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


def document(
    policy: Policy, subject: Subject, facts: HostFacts, *, environment: tuple[tuple[str, str], ...], cwd: str
) -> dict[str, Any]:
    """Return the config.json; the id range is written as the first one and is bound to a free one at launch."""
    owners = ["idmap"] if facts.rootful and policy.namespaces.user == "private" and facts.idmapped_mounts else []
    return {
        "ociVersion": VERSION,
        "root": {"path": "rootfs", "readonly": policy.filesystem.root == "read-only"},
        "hostname": policy.name[:64],
        "process": _process(policy, subject, facts, environment, cwd),
        "mounts": [*_image_mounts(subject, owners), *_kernel_mounts(), *_granted_mounts(policy, subject, owners)],
        "linux": config_linux.section(policy, subject, facts),
        "annotations": _annotations(policy, subject),
    }


def _process(
    policy: Policy, subject: Subject, facts: HostFacts, environment: tuple[tuple[str, str], ...], cwd: str
) -> dict[str, Any]:
    uid, gid = subject.user
    names = sorted(f"CAP_{capability.name}" for capability in policy.capabilities)
    limits = process.bounds(policy.resources, pids_by_rlimit="pids" not in facts.cgroups)
    return {
        "terminal": subject.terminal,
        "user": {"uid": uid, "gid": gid, "additionalGids": list(subject.groups), "umask": 0o022},
        "args": subject.arguments,
        "env": [f"{name}={value}" for name, value in environment],
        "cwd": cwd,
        "capabilities": dict.fromkeys(_SETS, names),
        "rlimits": [{"type": kind, "hard": n, "soft": n} for kind, n in limits.items()],
        "noNewPrivileges": True,
    }


def _image_mounts(subject: Subject, owners: list[str]) -> list[dict[str, Any]]:
    """The host's directories that belong to the image."""
    options = ["rbind", "rprivate", *_HARDENED, "ro", *owners]
    return [
        {"destination": target, "type": "bind", "source": source, "options": options} for source, target in subject.files.binds
    ]


def _kernel_mounts() -> list[dict[str, Any]]:
    return [
        {
            "destination": "/proc",
            "type": "proc",
            "source": "proc",
            "options": [*_HARDENED, "noexec", "ro", "subset=pid", "hidepid=ptraceable"],
        },
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "noexec", "ro", "mode=0755", "size=64k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
    ]


def _granted_mounts(policy: Policy, subject: Subject, owners: list[str]) -> list[dict[str, Any]]:
    """A secret's value is nobody's to read in a file, so it is no mount here but an annotation."""
    found = mounts.ordered(policy.filesystem.mounts)
    return [_mount(mount, subject, owners) for mount in found if mount.kind != "secret"]


def _mount(mount: Mount, subject: Subject, owners: list[str]) -> dict[str, Any]:
    options = [*_HARDENED, "ro" if mount.access == "read" else "rw", *([] if mount.execute else ["noexec"])]
    if mount.kind == "tmpfs":
        options += ["mode=1777", f"size={mount.size or mounts.DEFAULT_TMPFS_SIZE}"]
        return {"destination": mount.at, "type": "tmpfs", "source": "tmpfs", "options": options}
    source = mount.source if mount.kind == "bind" else f"{subject.files.volumes}/{mount.source}"
    return {"destination": mount.at, "type": "bind", "source": source, "options": ["rbind", "rprivate", *options, *owners]}


def _annotations(policy: Policy, subject: Subject) -> dict[str, str]:
    secrets = [mount for mount in mounts.ordered(policy.filesystem.mounts) if mount.kind == "secret"]
    rights = landlock.rights(policy.filesystem.paths)
    said = {
        "enforcer.profile": policy.name,
        "enforcer.image": subject.reference,
        "enforcer.image-digest": subject.digest,
        "enforcer.layers": ":".join(subject.files.layers),
        "enforcer.landlock": " ".join(f"{path}:{_letters(word)}" for path, word in rights.items()),
        "enforcer.secrets": " ".join(f"{mount.source}:{mount.at}:{mount.mode:04o}" for mount in secrets),
        "enforcer.environment-pass": " ".join(sorted(policy.environment.passed)),
        "enforcer.init": "true" if policy.run.init else "",
        "enforcer.scratch": str(policy.resources.scratch or ""),
        "enforcer.time": f"{policy.resources.time}ms" if policy.resources.time else "",
    }
    return {name: value for name, value in said.items() if value}


def _letters(word: int) -> str:
    letters = (("r", landlock.READ_FILE), ("w", landlock.WRITE_FILE), ("x", landlock.EXECUTE))
    return "".join(letter for letter, bit in letters if word & bit)
