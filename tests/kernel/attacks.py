"""Real programs under the profiles that ship, with hostile code among their input.

`Prey` is what the host has and a payload must not get: a key file, a token in the caller's environment, a listening port, a
directory to write to. `payloads/attack.py` and `attack.js` try for it, from where a hostile package's code runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests import shipped
from tests.kernel.running import ENFORCER, PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.kernel.running import Site

TOKEN = "ATTACK_TEST_TOKEN"
PATIENCE_SECONDS = 120
METADATA = "169.254.169.254"  # where clouds give credentials


@dataclass(frozen=True, slots=True)
class Prey:
    """directory: of the host, with a home in it. port: of a listener on the host's loopback."""

    directory: Path
    port: int

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def wanted(self, **more: list[Any]) -> dict[str, list[Any]]:
        """What the host has; `more` is added to the targets of each kind."""
        own: dict[str, list[Any]] = {
            "read": [str(self.home / ".ssh" / "id_ed25519")],
            "environment": [TOKEN],
            "connect": [["127.0.0.1", self.port]],
            "write": [str(self.directory), "~"],
        }
        return {name: own.get(name, []) + more.get(name, []) for name in own.keys() | more.keys()}

    def unconfined(self, program: Sequence[str], wanted: dict[str, list[Any]]) -> dict[str, str]:
        """The same attempts without a container: they show that each can reach. Only what the test itself made is wanted."""
        request, answer = self.directory / "wanted.json", self.directory / "answer.json"
        request.write_text(json.dumps(wanted))
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), TOKEN: "secret"}
        subprocess.run([*program, str(request), str(answer)], check=True, env=environment, cwd=self.directory, timeout=60)
        found: dict[str, str] = json.loads(answer.read_text())
        return found


@contextlib.contextmanager
def prey(directory: Path) -> Iterator[Prey]:
    """Lay it out below a directory of the test's own."""
    (directory / "home" / ".ssh").mkdir(parents=True)
    (directory / "home" / ".ssh" / "id_ed25519").write_text("not a key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Prey(directory, listener.getsockname()[1])


def launch(
    site: Site,
    profile: str,
    *command: str,
    options: Sequence[str] = (),
    image: str = "host",
    send: bytes | None = None,
    uid: int | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command under a shipped profile, from a caller with a token in its environment.

    send: its standard input. uid: of an ordinary user who owns the site, in place of root.
    """
    interactive = [] if send is None else ["-i"]
    policy = shipped.POLICIES / f"{profile}.yaml"
    return subprocess.run(
        [str(ENFORCER), "run", *interactive, "--policy", str(policy), *options, image, *command],
        input=send if send is not None else b"",
        capture_output=True,
        check=False,
        cwd="/",
        env=site.environment(**{TOKEN: "secret"}),
        timeout=PATIENCE_SECONDS,
        **({} if uid is None else {"user": uid, "group": uid, "extra_groups": []}),
    )


def succeeds(*arguments: Any, **how: Any) -> bytes:
    """Launch a command that must succeed; what it writes."""
    done = launch(*arguments, **how)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout


def volume(site: Site, name: str) -> Path:
    """Where the files of a volume are on the host."""
    return site.store / "volumes" / name


def copy_attack(name: str, directory: Path) -> None:
    """Put an attack beside what it pretends to be."""
    shutil.copy(PAYLOADS / name, directory)


def missing(*programs: str) -> str:
    """Programs that are not in /usr, where the image `host` has them from; "" when all are there."""
    lacking = [name for name in programs if not shutil.which(name, path="/usr/sbin:/usr/bin")]
    return f"not installed: {', '.join(lacking)} (tests/apt-packages.txt)" if lacking else ""
