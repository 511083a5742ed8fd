"""Faults of a launch: each call of it fails once, and its launcher is killed at each of them. Nothing half-made is left."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.kernel.running import OPEN

if TYPE_CHECKING:
    from tests.kernel.running import Site

COMMAND = ("/bin/touch", "/data/marker")


def profile(bind: Path, *, init: str = "true", cgroups: bool = True) -> str:
    """A policy with something of everything, whose payload leaves a mark on the host."""
    bind.chmod(0o777)
    bounds = "memory: 64MiB, pids: 32, cpus: 1, " if cgroups else ""
    return OPEN + (
        f"run: {{init: {init}, cwd: /work}}\n"
        "capabilities: [CHOWN]\n"
        "filesystem:\n"
        "  mounts:\n"
        f"    - {{bind: {bind}, at: /data, access: write}}\n"
        "    - {volume: fault, at: /cache, access: write}\n"
        "    - {tmpfs: true, at: /tmp, size: 1MiB}\n"
        "    - {secret: token, from: 'env:TOKEN', at: /run/secrets/token}\n"
        "  paths: {read: [/], write: [/data], execute: [/bin]}\n"
        f"resources: {{{bounds}open_files: 64, processes: 40, time: 20s}}\n"
    )


def faults(steps: list[dict[str, Any]], what: int | str) -> list[dict[str, Any]]:
    """One job for each call of each process."""
    jobs = []
    for where in ("launcher", "init"):
        real = [step for step in steps if step["where"] == where and step["real"]]
        jobs += [{"fault": (where, number, what)} for number in range(len(real))]
    return [*jobs, {"fault": ("init", len([step for step in steps if step["where"] == "init" and step["real"]]), what)}]


def happened(job: dict[str, Any], answer: dict[str, Any]) -> str:
    """A fault and what came of it, for the message of a failed test."""
    return f"{job['fault']}: {answer['code']} {answer['error']!r} left {answer['left']} {answer['traces']}"


@pytest.mark.parametrize(("number", "init"), [(errno.EIO, "true"), (errno.EPERM, "false")])
def test_every_call_that_fails_ends_the_launch_before_the_payload(site: Site, tmp_path: Path, number: int, init: str) -> None:
    text, mark, name = profile(tmp_path, init=init), tmp_path / "marker", errno.errorcode[number]
    whole = site.launches(text, *COMMAND, jobs=[{}])
    assert whole["answers"][0]["code"] == 0, whole["answers"][0]
    assert mark.exists()
    mark.unlink()
    jobs = faults(whole["steps"], number)
    passed, wrong = [], []
    for job, answer in zip(jobs, site.launches(text, *COMMAND, jobs=jobs, marks=[str(mark)])["answers"], strict=True):
        if answer["code"] == 0 and answer["kind"] == "D":
            passed.append(job["fault"])
        elif not refused(answer, name) or answer["left"] or answer["traces"]:
            wrong.append(happened(job, answer))
    assert wrong == []
    tolerated = [step for step in whole["steps"] if number in step["tolerate"]]
    assert len(passed) <= len(tolerated) + 2, passed  # the last job lies beyond the end, in one of which a step is skipped


def refused(answer: dict[str, Any], name: str) -> bool:
    """A launch error: what, step, clause, errno and hint; 126 only for the payload's own program."""
    if "the payload was not started: " in answer["error"]:
        return answer["code"] == 125 and all(word in answer["error"] for word in ("step ", "clause ", name, "hint: "))
    return "cannot be executed" in answer["error"] and name in answer["error"]


@pytest.mark.parametrize("init", ["true", "false"])
def test_a_launcher_killed_at_any_call_leaves_nothing(site: Site, tmp_path: Path, init: str) -> None:
    text, mark = profile(tmp_path, init=init), tmp_path / "marker"
    steps = site.launches(text, *COMMAND, jobs=[])["steps"]
    jobs = faults(steps, "kill")[:-1]
    wrong, beyond = [], 0
    for job, answer in zip(jobs, site.launches(text, *COMMAND, jobs=jobs, marks=[str(mark)])["answers"], strict=True):
        beyond += answer["kind"] == "D"
        if answer["kind"] != "D" and (answer["code"] != -9 or answer["left"] or answer["traces"]):
            wrong.append(happened(job, answer))
    assert wrong == []
    assert beyond <= 2  # a call that is skipped, because what it needs is not there


def test_a_supervisor_killed_while_the_payload_runs_leaves_nothing(site: Site) -> None:
    text = OPEN + "resources: {memory: 64MiB, pids: 20, cpus: 1}\nnamespaces: {cgroup: host}\n"
    for init in ("true", "false"):
        words = site.words(f"{text}run: {{init: {init}}}\n", ["/bin/sh", "-c", "cat /proc/self/cgroup; echo up; sleep 60"])
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=site.environment()) as process:
            assert process.stdout is not None
            groups = set()
            while (line := process.stdout.readline().strip()) != "up":
                groups |= {line.rpartition("/")[2]} if "/enforcer-" in line else set()
            (directory,) = Path("/sys/fs/cgroup/pids").rglob(groups.pop()) if groups else [Path("/nowhere")]
            pids = (directory / "cgroup.procs").read_text().split()
            assert pids
            process.send_signal(signal.SIGKILL)
        assert process.stdout.closed
        assert gone(pids)
        assert site.run(OPEN, "/bin/true").returncode == 0
        assert not directory.exists()
        assert [path.name for path in (site.state / "containers").iterdir()] == ["lock"]


def gone(pids: list[str]) -> bool:
    """Whether all of these processes end within some seconds."""
    for _ in range(200):
        if not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids):
            return True
        time.sleep(0.02)
    return False


def test_many_at_once_do_not_disturb_each_other(site: Site) -> None:
    """Places are claimed, released and reconciled at the same time."""
    words = site.words(OPEN + "resources: {pids: 20}\n", ["/bin/true"])
    for _ in range(4):
        running = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=site.environment()) for _ in range(8)]
        ended = [(process.communicate()[1], process.returncode) for process in running]
        assert ended == [("", 0)] * 8
    assert [path.name for path in (site.state / "containers").iterdir()] == ["lock"]


def test_a_name_is_used_once_at_a_time(site: Site) -> None:
    words = site.words(OPEN, ["/bin/sh", "-c", "echo up; cat"], options=["-i", "--name", "only"])
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=site.environment()) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "up\n"
        second = site.run(OPEN, "/bin/true", options=["--name", "only"])
        first.communicate()
    assert second.returncode == 125
    assert "in use" in second.stderr
    assert site.run(OPEN, "/bin/true", options=["--name", "only"]).returncode == 0
