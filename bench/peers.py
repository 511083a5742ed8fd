"""The commands that are compared, each with the least that its users type to run one program in an image."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.bundle import make_bundle

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Peer:
    """One command.

    name: as the table shows it. note: with what settings. unified: whether it may see the v2 tree of a hybrid layout. user: who
    runs it. environment: variables added for it. forget: a directory that is removed before each start. stays: whether it keeps
    a process beside a payload that is worth a look.
    """

    name: str
    note: str
    argv: tuple[str, ...]
    unified: bool = True
    user: str = "root"
    environment: dict[str, str] = field(default_factory=dict)
    forget: Path | None = None
    stays: bool = True

    def prepare(self) -> None:
        """Make it a first run, where it is to be one."""
        if self.forget is not None:
            shutil.rmtree(self.forget, ignore_errors=True)

    def place(self) -> tuple[list[str], dict[str, Any]]:
        """Words in front of whatever starts it, and subprocess.Popen's keywords: where and as whom it is started."""
        hide = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", 'umount -l /sys/fs/cgroup/unified; exec "$@"', "sh"]
        who = {} if self.user == "root" else {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
        return ([] if self.unified else hide), {**who, "cwd": "/", "env": {**os.environ, **self.environment}}


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
    python = (os.path.realpath(sys.executable),)
    return [
        *_enforcer(work, rootfs, command, policy),
        Peer("runc run", "Docker's settings: seccomp, capabilities, cgroups, masks", runc),
        Peer("crun run", "the same bundle", crun, unified=False),
        Peer("bwrap", "all namespaces, read-only root; no seccomp, no cgroup", (*bwrap, *command)),
        Peer("unshare", "all namespaces, nothing else", (*unshare, *command)),
        Peer("fork+exec", "no confinement", (f"{rootfs}{command[0]}", *command[1:]), stays=False),
        Peer("python3 -I -S", "the floor of any Python command", (*python, "-I", "-S", "-c", "pass"), stays=False),
    ]


def _enforcer(work: Path, rootfs: Path, command: list[str], policy: Path | None) -> list[Peer]:
    """Ours: as it mostly is, as it is the first time, and as a user without rights runs it."""
    chosen = ("--policy", str(policy.absolute())) if policy else ()
    run = (enforcer_command(), "run", "--rm", *chosen)
    argv = (f"rootfs:{rootfs}", *command)
    user = _ordinary_user()
    own = _home(work / user, user)
    first = {"ENFORCER_STORE": f"{work}/first"}
    weaker = ("--accept-weaker", "resources.memory", "--accept-weaker", "resources.cpus")
    return [
        Peer("enforcer run", "cold start, everything on, plan cached", (*run, *argv)),
        Peer(
            "  first",
            "nothing cached: host probed, profile resolved, filter compiled",
            (*run, *argv),
            environment=first,
            forget=work / "first",
            stays=False,
        ),
        Peer(
            "  rootless", f"plan cached, as {user}, without control groups", (*run, *weaker, *argv), user=user, environment=own
        ),
    ]


def _ordinary_user() -> str:
    """Somebody with ids of their own to give to containers, as users have them; or nobody, who has one id only."""
    lines = Path("/etc/subuid").read_text().splitlines() if Path("/etc/subuid").exists() else []
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((line.partition(":")[0] for line in lines if line.partition(":")[0] in names - {"root"}), "nobody")


def _home(directory: Path, user: str) -> dict[str, str]:
    """Make a user's own store and state."""
    variables = {"ENFORCER_STORE": directory / "store", "ENFORCER_STATE": directory / "state"}
    for path in variables.values():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        shutil.chown(path, user)
    return {name: str(path) for name, path in variables.items()}
