"""The container's /dev: nodes of this host's own /dev bound one by one, own pseudo-terminals, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.plan import mount_calls as calls
from enforcer.plan.step import Ref, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enforcer.plan.step import Where
    from enforcer.policy.profile import Device

ALWAYS = ("null", "zero", "full", "random", "urandom", "tty")
CLAUSE = "filesystem.devices"
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_ATTRIBUTES = calls.MOUNT_ATTR_NOSUID | calls.MOUNT_ATTR_NOEXEC


def names(granted: Iterable[Device]) -> list[str]:
    """Every node beneath /dev, sorted, the granted ones last: "null", …, "net/tun"."""
    return [*ALWAYS, *sorted(device.path.removeprefix("/dev/") for device in granted)]


def sources(where: Where, granted: Iterable[Device]) -> tuple[Step, ...]:
    """Open the nodes while the host's /dev can still be named. The image's own /dev is never looked at (CVE-2025-31133).

    Read-only mounts: devices can be written all the same, but the mode, owner and times of the host's node stay.
    """
    steps: list[Step] = []
    for name in names(granted):
        node = f"device {name}"
        steps += [
            calls.open_path(where, f"{node} path", f"/dev/{name}", CLAUSE),
            calls.clone_tree(where, f"{node} path", node, CLAUSE, recursive=False),
            calls.set_attributes(where, node, _ATTRIBUTES | calls.MOUNT_ATTR_RDONLY, CLAUSE, recursive=False),
        ]
    return tuple(steps)


def assemble(granted: Iterable[Device]) -> tuple[Step, ...]:
    """Put /dev together. A /dev in the image that is a symbolic link is refused (CVE-2026-41579)."""
    steps = [
        calls.make_directory("root", "dev", CLAUSE),
        calls.open_inside("dev-target", "dev", CLAUSE, resolve=calls.RESOLVE_NO_SYMLINKS | calls.RESOLVE_BENEATH),
        *calls.new_filesystem(
            "tmpfs", "dev", {"mode": "0755", "size": "64k"}, _ATTRIBUTES | calls.MOUNT_ATTR_NODEV, CLAUSE, "an empty /dev"
        ),
        calls.attach("dev", "dev-target", b"", CLAUSE),
    ]
    for name in names(granted):
        *parents, _ = name.split("/")
        steps += [calls.make_directory("dev", "/".join(parents[: n + 1]), CLAUSE) for n in range(len(parents))]
        steps += [calls.make_file("dev", name, CLAUSE), calls.attach(f"device {name}", "dev", name.encode(), CLAUSE)]
    steps += [
        Step("init", "symlinkat", (target.encode(), Ref("dev"), name.encode()), CLAUSE) for name, target in _LINKS.items()
    ]
    return (*steps, *_terminals())


def _terminals() -> tuple[Step, ...]:
    options = {"newinstance": "", "ptmxmode": "0666", "mode": "0620"}
    return (
        calls.make_directory("dev", "pts", CLAUSE),
        calls.make_directory("dev", "shm", CLAUSE),
        *calls.new_filesystem("devpts", "devpts", options, _ATTRIBUTES, CLAUSE, "pseudo-terminals of its own"),
        calls.attach("devpts", "dev", b"pts", CLAUSE),
    )


def seal() -> Step:
    """Nothing can be added to /dev once everything is mounted below it."""
    return calls.set_attributes("init", "dev", _ATTRIBUTES | calls.MOUNT_ATTR_RDONLY, CLAUSE, recursive=False)
