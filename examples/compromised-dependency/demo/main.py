"""Makes the disposable directory, and starts the stage in namespaces of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from demo import session

EXAMPLE = Path(__file__).resolve().parent.parent
FAILED = 2
# The real machine keeps its mounts, processes, host name and network; what happens here is gone with the last process.
NAMESPACES = ("unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc", "--")
_COPIED = ("app", "orders", "profile.yaml")


def main(options: list[str]) -> int:
    """Run the demo; returns its exit code. Called twice: in the caller's namespaces, and in the stage's."""
    if options[:1] == ["--in-stage"]:
        return _in_stage(Path(options[1]), options[2:])
    if "--help" in options:
        print(sys.modules["__main__"].__doc__)
        return 0
    if os.geteuid() != 0:
        print("the demo runs as root: it makes a disposable machine to show what happens without confinement", file=sys.stderr)
        return FAILED
    signal.signal(signal.SIGTERM, _interrupt)
    directory = Path(tempfile.mkdtemp(prefix=f"{EXAMPLE.name}-{os.getpid()}-", dir="/var/tmp"))  # a disk: tmpfs has no idmaps
    try:
        for name in _COPIED:
            _copy(EXAMPLE / name, directory / name)
        return _start([*NAMESPACES, sys.executable, str(EXAMPLE / "run"), "--in-stage", str(directory), *options])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        shutil.rmtree(directory)


def _in_stage(directory: Path, options: list[str]) -> int:
    try:
        return session.hold(directory, options)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _start(command: list[str]) -> int:
    """Run the stage, and see it ended before what it stands on is removed."""
    stage = subprocess.Popen(command)
    try:
        return stage.wait()
    finally:
        stage.kill()  # --kill-child: the whole pid namespace goes with it
        stage.wait()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
