"""Running images as a user does, and looking at them from inside: a small image, profiles in words, and the payload program."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enforcer.oci.syscalls import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REPOSITORY = Path(__file__).parents[2]
ENFORCER = REPOSITORY / "bin" / "enforcer"
PAYLOADS = Path(__file__).parent / "payloads"
APPLETS = (
    "sh id cat ls sleep true false stat touch mkdir rm ln cp echo env grep head hostname kill wc stty tty dd readlink seq"
).split()
NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time")
NUMBER = NUMBERS[os.uname().machine]
HEAD = "profile: enforcer/v1\nname: test\n"
# For tests of other mechanisms: with few system calls refused, the one at hand is what refuses.
OPEN = (
    "syscalls: {base: default, allow: [prctl, ioctl, keyctl, add_key, socket, clone, unshare, mount, umount2, setns, chown, "
    "fchown, fchownat, setuid, setresuid, setgid, setgroups, chroot, mknod, mknodat, chmod, fchmod, fchmodat, capset, "
    "shmget, shmat, setpriority, sethostname, ptrace, setrlimit, prlimit64, sendmsg, open, openat, personality, getsid]}\n"
)


class Site:
    """A store, a state directory and an image of this test session's own.

    user: a name to run as, with its own store; the image's files belong to root and can be read by everybody.
    """

    def __init__(self, directory: Path, user: str = "") -> None:
        self.directory = directory
        self.user = user
        self.store, self.state, self.image = directory / "store", directory / "state", directory / "image"
        for path in (self.store, self.state):
            path.mkdir(mode=0o700)
            if user:
                shutil.chown(path, user, user)
        self.make_image(self.image)

    @staticmethod
    def make_image(root: Path) -> Path:
        """Make a root of busybox and the payload program."""
        binaries = root / "bin"
        binaries.mkdir(parents=True)
        shutil.copy("/bin/busybox", binaries)
        for name in APPLETS:
            (binaries / name).symlink_to("busybox")
        shutil.copy(payload(root.parent), binaries / "payload")
        (root / "home" / "user").mkdir(parents=True)
        shutil.chown(root / "home" / "user", 1000, 1000)
        (root / "etc").mkdir()
        (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
        (root / "etc" / "group").write_text("root:x:0:\nuser:x:1000:\n")
        return root

    def environment(self, **more: str) -> dict[str, str]:
        """The caller's environment."""
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "ENFORCER_TESTS_SESSION") if name in os.environ}
        return {**kept, "ENFORCER_STORE": str(self.store), "ENFORCER_STATE": str(self.state), **more}

    def profile(self, text: str) -> Path:
        """A file with this profile; the head may be left out."""
        content = text if text.startswith("profile:") else HEAD + text
        path = self.directory / f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.yaml"
        path.write_text(content)
        path.chmod(0o644)
        return path

    def words(self, text: str, command: Sequence[str], *, image: Path | str = "", options: Sequence[str] = ()) -> list[str]:
        """The command line of a run."""
        reference = image if isinstance(image, str) and image else f"rootfs:{image or self.image}"
        return [str(ENFORCER), "run", "--policy", str(self.profile(text)), *options, reference, *command]

    def run(
        self,
        text: str,
        *command: str,
        image: Path | str = "",
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        **how: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container under a profile."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60} | how
        if "input" in how:
            del how["stdin"]
        if self.user:
            how |= {"user": self.user, "group": self.user, "extra_groups": how.get("extra_groups", [])}
        words = self.words(text, command, image=image, options=options)
        return subprocess.run(words, text=True, check=False, cwd="/", env=self.environment(**(env or {})), **how)

    def output(self, text: str, *command: str, **how: Any) -> str:
        """What a command that succeeds writes."""
        done = self.run(text, *command, **how)
        assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
        return done.stdout

    def shell(self, text: str, script: str, **how: Any) -> str:
        """What a script writes, its exit code aside."""
        return self.run(text, "/bin/sh", "-c", script, **how).stdout

    def calls(self, text: str, *calls: tuple[object, ...], **how: Any) -> list[str]:
        """Make system calls inside, each a name and its arguments; the results in decimal, or "-ERRNO"."""
        return self.output(text, *calls_of(*calls), **how).split()

    def look(self, text: str, *words: str, **how: Any) -> dict[str, str]:
        """What `payload look` sees."""
        return seen(self.output(text, "/bin/payload", "look", *hosts_namespaces(), *words, **how))

    def launches(self, text: str, *command: str, jobs: list[dict[str, Any]], **question: Any) -> dict[str, Any]:
        """Have `launches` launch the same plan in different ways; see there."""
        request = {"image": f"rootfs:{self.image}", "policy": str(self.profile(text)), "command": command}
        request |= question.pop("request", {})
        who = {"user": self.user, "group": self.user, "extra_groups": [6]} if self.user else {}
        # The interpreter of .venv may lie where nobody else may go; Debian's reads the same libraries, as bin/enforcer does.
        python = "/usr/bin/python3" if self.user else sys.executable
        libraries = f"{REPOSITORY}:{sysconfig.get_path('purelib')}"
        done = subprocess.run(
            [python, "-m", "tests.kernel.launches"],
            input=json.dumps({"request": request, "jobs": jobs, **question}),
            env=self.environment(TOKEN="canary-in-a-secret", PYTHONPATH=libraries, PYTHONDONTWRITEBYTECODE="1"),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            **who,
        )
        assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def payload(directory: Path) -> Path:
    """The payload program, compiled once for a directory."""
    program = directory / "payload"
    if not program.exists():
        subprocess.run(["gcc", "-O1", "-static", "-o", program, PAYLOADS / "payload.c"], check=True)
    return program


def calls_of(*calls: tuple[object, ...]) -> list[str]:
    """The command line that makes these calls. Arguments as payload.c takes them."""
    words: list[str] = []
    for name, *arguments in calls:
        words += [",", str(NUMBER[str(name)]), *map(str, arguments)]
    return ["/bin/payload", "calls", *words[1:]]


def hosts_namespaces() -> list[str]:
    """The namespaces that are not a container's own, as `payload look` takes them."""
    return [f"ns:{os.readlink(f'/proc/self/ns/{kind}')}" for kind in NAMESPACES]


def seen(output: str) -> dict[str, str]:
    """Lines "name value" of `payload look`, and its end."""
    assert output.endswith("end of look\n"), output
    found: dict[str, str] = {}
    for line in output.splitlines():
        name, _, value = line.replace(":\t", " ", 1).partition(" ")
        found[name] = f"{found[name]} | {value}" if name in found else value
    return found


def snapshot(directory: Path) -> dict[str, tuple[int, int, int, int]]:
    """Every path below a directory with mode, owner, group and size: what must not change."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(directory))] = (status.st_mode, status.st_uid, status.st_gid, status.st_size)
    return found


def groups_left() -> list[str]:
    """Control groups of containers that are there now."""
    tops = [path for path in Path("/sys/fs/cgroup").glob("*") if path.is_dir()]
    return sorted(str(path) for top in tops for path in top.rglob("enforcer-*") if path.is_dir())
