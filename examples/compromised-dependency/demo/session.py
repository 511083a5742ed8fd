"""Inside the stage: the two runs, and what they leave behind."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo import judge, report
from demo.stage import DESCRIPTOR, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 60
PATIENCE_SECONDS = 5
ENFORCER = Path(__file__).resolve().parents[3] / "bin/enforcer"
PYTHON = "/usr/bin/python3"
CONTAINER = ("host", "python3", "/app/invoices.py", "/orders/orders.csv", "/reports")


@dataclass(frozen=True, slots=True)
class Ended:
    """One run of the application.

    output, code: what it printed, and its exit code. invoices: what it wrote, "" when nothing.
    attempts: what the payload said of each attempt. evidence: attempts that the stage itself saw succeed.
    """

    output: str
    code: int
    invoices: str
    attempts: dict[str, dict[str, Any]]
    evidence: set[str]


def hold(directory: Path, options: list[str]) -> int:
    """Build the stage, run the application in it under enforcer and without, print, and return the exit code."""
    stage = Stage(directory)
    stage.build()
    options = [word.replace("{home}", str(stage.home)) for word in options]
    profile = ["--policy", str(directory / "profile.yaml"), *options]
    asked = subprocess.run(
        [ENFORCER, "plan", *profile, "--format", "json", *CONTAINER],
        env=stage.environment(),
        stdout=subprocess.PIPE,
        check=False,
    )
    if asked.returncode != 0:
        print("the profile cannot be enforced here: nothing was started", file=sys.stderr)
        return 2
    plan = judge.Plan.read(json.loads(asked.stdout))
    stage.tell(["/tmp", "/dev/shm", "/var/tmp", "/"])
    confined = _run(stage, [str(ENFORCER), "run", *profile, *CONTAINER])
    stage.tell([str(stage.scratch)])
    words = [PYTHON, *(str(directory / name) for name in ("app/invoices.py", "orders/orders.csv", "reports"))]
    unconfined = _run(stage, words)
    return report.show(confined, unconfined, plan, directory / "orders/orders.csv")


def _run(stage: Stage, command: Sequence[str]) -> Ended:
    """Run one command as from a developer's terminal, and gather what it left."""
    before = dict(stage.services.hits)
    code, output = _execute(stage, command)
    came = {name for name, count in stage.services.hits.items() if count > before[name]}
    invoices, loot = _take(stage.reports / "invoices.txt"), _take(stage.reports / ".textformat-cache")
    said = [json.loads(line) for line in loot.splitlines()]
    return Ended(output, code, invoices, {entry["id"]: entry for entry in said}, came | stage.changed())


def _execute(stage: Stage, command: Sequence[str]) -> tuple[int, str]:
    with tempfile.TemporaryFile(dir=stage.directory) as output:  # not a pipe: who kept that open could keep us waiting
        process = subprocess.Popen(
            command,
            env=stage.environment(),
            cwd=stage.directory,
            stdin=stage.terminal[1],
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(DESCRIPTOR,),
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = _end(process)
        except KeyboardInterrupt:
            _end(process)
            raise
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> int:
    """End enforcer, or the application, which may need a moment to clear up."""
    process.terminate()
    try:
        return process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _take(path: Path) -> str:
    """Read a file that the payload may have made something else of, and remove it."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""
    finally:
        path.unlink(missing_ok=True)
