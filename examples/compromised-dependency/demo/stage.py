"""The disposable machine: decoy secrets, decoy services, a process to spy on. Both runs happen here, under the same conditions.

Of the real machine it sees /usr and the kernel; /etc is a throw-away overlay, /run a new tmpfs, the network its own.
"""

from __future__ import annotations

import ctypes
import json
import os
import pty
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from demo import servers

USER = 65532  # decoys and application belong to the user that the container runs as: it is not their owner that refuses
DESCRIPTOR = 9
_MS_BIND = 1 << 12
_VICTIM_PID = 4000  # far from any number that a container's own processes have
_NUMBERS = {"x86_64": (248, 250), "aarch64": (217, 219)}  # add_key, keyctl
_KEYCTL_JOIN_SESSION_KEYRING, _KEY_SPEC_SESSION_KEYRING = 1, -3
_SECRETS = (
    ".ssh/id_ed25519",
    ".ssh/authorized_keys",
    ".aws/credentials",
    ".config/gcloud/credentials.db",
    ".kube/config",
    ".docker/config.json",
    ".git-credentials",
    ".bashrc",
)


@dataclass
class Stage:
    """directory: the disposable one. canary: what every decoy holds, new each time. terminal: (master, slave) of the caller."""

    directory: Path
    canary: str = field(default_factory=lambda: f"canary-{secrets.token_hex(8)}")
    terminal: tuple[int, int] = field(default_factory=pty.openpty)
    victim: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.home = self.directory / "home"
        self.scratch = self.directory / "scratch"
        self.reports = self.directory / "reports"
        self.services = servers.Services(self.canary)

    def build(self) -> None:
        """Put everything in its place. The mounts are this mount namespace's own, and private."""
        self.scratch.mkdir()
        self.reports.mkdir()
        for path in (self.reports, *(self.directory / "app").rglob("*")):
            os.chown(path, USER, USER)
        self._state()
        _mount("tmpfs", "/run", "tmpfs", "mode=755,size=16m")
        self._etc()
        self._decoys()
        self._key()
        self.services.start()

    def _state(self) -> None:
        """The container is one of this machine: no other takes its ids, and after a kill -9 the next command clears up."""
        state = Path(os.environ.get("ENFORCER_STATE", "/run/enforcer"))
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.directory / "state").mkdir(mode=0o700)
        _mount(str(state), f"{self.directory}/state", "", "", _MS_BIND)

    def _etc(self) -> None:
        for name in ("etc", "etc-work"):
            (self.directory / name).mkdir()
        options = f"lowerdir=/etc,upperdir={self.directory}/etc,workdir={self.directory}/etc-work"
        _mount("overlay", "/etc", "overlay", options)
        for place in ("/etc/cron.d", "/etc/systemd/system"):
            Path(place).mkdir(parents=True, exist_ok=True)
        Path("/etc/shadow").unlink(missing_ok=True)
        Path("/etc/shadow").write_text(f"root:{self.canary}:20000:0:99999:7:::\n", encoding="ascii")

    def _decoys(self) -> None:
        for name in _SECRETS:
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# a decoy: {self.canary}\n", encoding="ascii")
            path.chmod(0o600)
        for path in (self.home, *self.home.rglob("*")):
            os.chown(path, USER, USER)
        opened = os.open(self.home / ".ssh/id_ed25519", os.O_RDONLY)
        os.dup2(opened, DESCRIPTOR, inheritable=True)

    def _key(self) -> None:
        """A session keyring of the stage's own, with a token in it; where keys are refused, that attempt says so itself."""
        add_key, keyctl = _NUMBERS.get(os.uname().machine, (-1, -1))
        call, secret = ctypes.CDLL(None).syscall, self.canary.encode()
        call(keyctl, _KEYCTL_JOIN_SESSION_KEYRING, None)
        call(add_key, b"user", b"deploy-token", secret, len(secret), _KEY_SPEC_SESSION_KEYRING)

    def watchable(self) -> int:
        """Have a process that others should leave alone; returns its number."""
        if self.victim is None or self.victim.poll() is not None:
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(_VICTIM_PID), encoding="ascii")
            secret = {"PAYROLL_TOKEN": self.canary}
            self.victim = subprocess.Popen(["payroll-service", "300"], executable="/bin/sleep", env=secret)
        return self.victim.pid

    def environment(self) -> dict[str, str]:
        """What a developer's shell has set."""
        tokens = dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "NPM_TOKEN", "DATABASE_URL"), self.canary)
        own = {"ENFORCER_STORE": f"{self.directory}/store", "ENFORCER_STATE": f"{self.directory}/state", "HOME": str(self.home)}
        return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"} | tokens | own

    def tell(self, scratch: list[str]) -> None:
        """Write beside the payload where everything is."""
        disk, number = _disk()
        targets = {
            "canary": self.canary,
            "home": str(self.home),
            "scratch": scratch,
            "victim": self.watchable(),
            "metadata": servers.METADATA,
            "attacker": servers.ATTACKER,
            "loopback": servers.LOOPBACK_PORT,
            "abstract": servers.ABSTRACT,
            "descriptor": DESCRIPTOR,
            "disk": disk,
            "disk_number": number,
        }
        place = self.directory / "app/textformat/payload/targets.json"
        place.write_text(json.dumps(targets), encoding="utf-8")

    def changed(self) -> set[str]:
        """What bears the mark of somebody who wants to come back: names of attempts."""
        places = {
            "bashrc": self.home / ".bashrc",
            "authorized_keys": self.home / ".ssh/authorized_keys",
            "cron": Path("/etc/cron.d/update"),
            "unit": Path("/etc/systemd/system/update.service"),
            "own_code": self.directory / "app/invoices.py",
        }
        mark = f"\n# {self.canary}\n"
        found = {name for name, path in places.items() if path.exists() and mark in "\n" + path.read_text(encoding="utf-8")}
        if self.victim is not None and self.victim.poll() is not None:
            found.add("kill")
        return found


def _mount(source: str, target: str, kind: str, options: str, flags: int = 0) -> None:
    """mount(2). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def _disk() -> tuple[str, int]:
    """A disk of this machine: its node and number; ("", 0) without one."""
    for entry in sorted(Path("/sys/class/block").iterdir()):
        node = Path("/dev", entry.name)
        if node.is_block_device() and not entry.name.startswith(("loop", "ram", "zram")):
            return str(node), os.stat(node).st_rdev
    return "", 0
