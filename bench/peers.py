"""The commands that are compared, each with the least that its users type to run one program in an image."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.bundle import make_bundle

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Peer:
    """name: as the table shows it. note: with what settings. unified: whether it may see the v2 tree of a hybrid layout."""

    name: str
    note: str
    argv: tuple[str, ...]
    unified: bool = True


def enforcer_command() -> str:
    """The installed command, or the checkout's."""
    installed = ROOT / ".venv/bin/enforcer"
    return str(installed if installed.exists() else ROOT / "bin/enforcer")


def peers(work: Path, rootfs: Path, command: list[str], policy: Path | None = None) -> list[Peer]:
    """Every peer with what it takes to run `command`, an absolute path first, in `rootfs`; bundles are made below `work`.

    policy: the profile that enforcer is given; None for the default one.
    """
    tag = f"{Path(command[0]).name}-{os.getpid()}"
    bundle = make_bundle(work / f"bundle-{tag}", rootfs, f"/bench-{tag}", command)
    runc = ("/usr/sbin/runc", "--root", f"{work}/runc", "run", "-b", str(bundle), f"bench-{tag}")
    crun = ("/usr/bin/crun", "--root", f"{work}/crun", "--cgroup-manager", "cgroupfs", "run", "-b", str(bundle), f"bench-{tag}")
    bwrap = ("/usr/bin/bwrap", "--unshare-all", "--new-session", "--die-with-parent", "--ro-bind", str(rootfs), "/")
    bwrap += ("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--cap-drop", "ALL")
    unshare = ("/usr/bin/unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc")
    unshare += ("--uts", "--cgroup", "--time", "--root", str(rootfs))
    chosen = ("--policy", str(policy.absolute())) if policy else ()
    run = (enforcer_command(), "run", "--rm", *chosen, f"rootfs:{rootfs}")
    return [
        Peer("enforcer run", "cold start, everything on, plan cached", (*run, *command)),
        Peer("runc run", "Docker's settings: seccomp, capabilities, cgroups, masks", runc),
        Peer("crun run", "the same bundle", crun, unified=False),
        Peer("bwrap", "all namespaces, read-only root; no seccomp, no cgroup", (*bwrap, *command)),
        Peer("unshare", "all namespaces, nothing else", (*unshare, *command)),
        Peer("fork+exec", "no confinement", (f"{rootfs}{command[0]}", *command[1:])),
        Peer("python3 -I -S", "the floor of any Python command", (os.path.realpath(sys.executable), "-I", "-S", "-c", "pass")),
    ]
