"""Every session that README.md and docs/guide show is typed here, as root or as an ordinary user, and writes what they say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import documents
from tests.kernel.running import ENFORCER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.documents import Command

ORDINARY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="root types root's commands, and becomes an ordinary user")


class Desk:
    """Where one document is worked through: a directory that both users reach, with a store for each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, owner in (("root", 0), ("user", ORDINARY)):
            home = directory / name
            home.mkdir(parents=True)
            os.chown(home, owner, owner)
        directory.chmod(0o755)

    def type(self, command: Command) -> subprocess.CompletedProcess[str]:
        """Type a command at a prompt; standard output and standard error come out as one, as on a terminal."""
        home = self.directory / ("root" if command.root else "user")
        environment = {
            "PATH": f"{ENFORCER.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ENFORCER_STORE": f"{home}/.store",
            "ENFORCER_STATE": f"{home}/.state",
        }
        owner = 0 if command.root else ORDINARY
        return subprocess.run(
            ["sh", "-c", command.words],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
            user=owner,
            group=owner,
            extra_groups=[],
        )

    def put(self, name: str, text: str) -> None:
        """Write a file that the document shows, for both."""
        for home in ("root", "user"):
            path = self.directory / home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o644)


@pytest.fixture(name="desk")
def made_desk() -> Iterator[Desk]:
    directory = Path(os.environ["TMPDIR"]) / f"desk-{os.getpid()}"
    yield Desk(directory)
    shutil.rmtree(directory)


@pytest.mark.parametrize("path", documents.GUIDE, ids=lambda path: path.name)
def test_a_session_is_as_it_is_shown(desk: Desk, path: Path) -> None:
    differences = []
    for block in documents.blocks(path.read_text()):
        if block.file:
            desk.put(block.file, block.text)
        for command in documents.session(block.text) if block.language == "console" else ():
            done = desk.type(command)
            if done.returncode != command.code or not documents.agree(command.output, done.stdout):
                shown = "\n".join(command.output)
                differences.append(f"{command.words}\nshown ({command.code}):\n{shown}\nis ({done.returncode}):\n{done.stdout}")
    assert not differences, "\n\n".join(differences)
