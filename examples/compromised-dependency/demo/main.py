"""Makes the disposable directory, and starts the stage in namespaces of its own."""

from __future__ import annotations

import contextlib
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
VERDICT = "verdict"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 128 + signal.SIGINT
PATIENCE_SECONDS = 10


def main(options: list[str]) -> int:
    """Run the demo; returns its exit code. Called twice: in the caller's namespaces, and in the stage's."""
    if options[:1] == ["--in-stage"]:
        return _in_stage(Path(options[1]), options[2:])
    if "--help" in options:
        print(sys.modules["__main__"].__doc__)
        return 0
    if os.geteuid() != 0:
        return _complain("the demo runs as root: it makes a disposable machine to show what happens without confinement")
    for number in ENDING:
        signal.signal(number, interrupt)
    profile, options = _profile(options)
    directory = Path(tempfile.mkdtemp(prefix=f"{EXAMPLE.name}-{os.getpid()}-", dir="/var/tmp"))  # a disk: tmpfs has no idmaps
    try:
        for name in ("app", "orders"):
            shutil.copytree(EXAMPLE / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(profile, directory / "profile.yaml")
        _start([*NAMESPACES, sys.executable, str(EXAMPLE / "run"), "--in-stage", str(directory), *options])
        return int((directory / VERDICT).read_text(encoding="ascii"))
    except OSError as error:
        return _complain(f"the demo could not be set up: {error}")
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        shutil.rmtree(directory)


def _in_stage(directory: Path, options: list[str]) -> int:
    """Say the verdict in a file: an exit code could be that of unshare(1)."""
    for number in ENDING:
        signal.signal(number, interrupt)
    try:
        code = session.hold(directory, options)
    except (OSError, subprocess.SubprocessError) as error:
        code = _complain(f"the demo could not be set up: {error}")
    except KeyboardInterrupt:
        code = INTERRUPTED
    (directory / VERDICT).write_text(str(code), encoding="ascii")
    return 0


def _profile(options: list[str]) -> tuple[Path, list[str]]:
    """Take --policy FILE out of the options: its relative paths start where the demo's own profile stands."""
    if "--policy" not in options[:-1]:
        return EXAMPLE / "profile.yaml", options
    at = options.index("--policy")
    return Path(options[at + 1]), options[:at] + options[at + 2 :]


def _complain(what: str) -> int:
    print(what, file=sys.stderr)
    return FAILED


def _start(command: list[str]) -> None:
    """Run the stage, and see it ended before what it stands on is removed."""
    stage = subprocess.Popen(command)
    try:
        stage.wait()
    except KeyboardInterrupt:
        _ask_to_end(stage.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):
            stage.wait(PATIENCE_SECONDS)
        raise
    finally:
        stage.kill()  # --kill-child: the whole pid namespace goes with it
        stage.wait()


def _ask_to_end(pid: int) -> None:
    """Interrupt what unshare(1) started, so that enforcer clears up after its container."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
            os.kill(int(child), signal.SIGINT)


def interrupt(_number: int, _frame: object) -> None:
    """End once, in order, however often a signal comes."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt
