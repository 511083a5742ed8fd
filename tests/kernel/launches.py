"""A program of its own: launches one plan again and again, each time with something changed, and says what happened.

    python -m tests.kernel.launches <question.json >answers.json

It is what a caller should not be: its umask, groups, session keyring, descriptors, signals and terminal are such that each
would show in a payload that inherited it. Every launch happens in a child, so that nothing of one is left for the next.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import pickle
import pty
import select
import signal
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from enforcer.errors import EnforcerError
from enforcer.linux import syscalls
from enforcer.oci.syscalls import NUMBERS
from enforcer.plan import encoder
from enforcer.plan.encoding import PSEUDO_CALLS, Program
from enforcer.runtime import launcher, state
from enforcer.runtime.record import Record, decode

if TYPE_CHECKING:
    from enforcer.plan.step import Step

SECONDS = 6
IDENTITY = os.urandom(32)
KILL = mmap.mmap(-1, 4096)  # shared with init, which has no descriptor left at the end: 1 asks for the launcher's death
_FILES = (
    "pids.max memory.limit_in_bytes memory.swappiness memory.memsw.limit_in_bytes memory.kmem.tcp.limit_in_bytes memory.max "
    "memory.swap.max cpu.cfs_period_us cpu.cfs_quota_us cpu.max devices.list"
).split()
_KEYCTL_JOIN_SESSION_KEYRING, _KEY_SPEC_SESSION_KEYRING = 1, -3
_TIOCSCTTY = 0x540E
_SIG_IGN = 1
_CLONE_NEWNS = 0x20000
_MS_REC, _MS_PRIVATE, _MS_SHARED = 1 << 14, 1 << 18, 1 << 20
_PR_SET_CHILD_SUBREAPER = 36


def hostile() -> None:
    """Have everything that a payload must not inherit."""
    syscalls.call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    syscalls.call("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, None)
    syscalls.call("add_key", b"user\0", b"enforcer-canary\0", b"secret", 6, _KEY_SPEC_SESSION_KEYRING)
    if os.geteuid() == 0:
        os.setgroups([4, 5, 6])
    os.umask(0o077)
    ignore = _SIG_IGN.to_bytes(8, "little") + bytes(24)
    for number in {*range(1, 65)} - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:  # the C library leaves out 32 and 33
        syscalls.raw(NUMBERS[syscalls.MACHINE]["rt_sigaction"], number, ignore, 0, 8)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGRTMIN})
    master, terminal = pty.openpty()
    fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 100)  # without its master the terminal would hang up
    if os.getsid(0) != os.getpid():
        os.setsid()
    fcntl.ioctl(terminal, _TIOCSCTTY, 0)
    for number in range(3, 10):
        if number != terminal:
            os.dup2(terminal, number)
        os.set_inheritable(number, True)  # noqa: FBT003  (its only form)


def share_mounts() -> None:
    """Have a mount namespace of our own, whose mounts propagate to others, as a host's usually do."""
    syscalls.call("unshare", _CLONE_NEWNS)
    for propagation in (_MS_PRIVATE, _MS_SHARED):
        syscalls.call("mount", None, b"/\0", None, _MS_REC | propagation, None)


class Watch:
    """Makes the calls of one launch, counts those of each process, and fails one or has the launcher killed at it.

    fault: ("launcher" or "init", the call's number from 0, what happens: an errno or "kill"), or None.
    """

    def __init__(self, fault: tuple[str, int, int | str] | None, report: int, *, look: bool, slow: bool = False) -> None:
        self.launcher = os.getpid()
        self.fault = fault
        self.report = report
        self.look = look
        self.slow = slow
        self.groups: list[str] = []
        self.count = 0
        self.where = "launcher"

    def __call__(self, number: int, *args: Any) -> int:
        if self.where == "launcher" and os.getpid() != self.launcher:
            self.where, self.count = "init", 0
        at, self.count = self.count, self.count + 1
        if self.fault is not None and self.fault[:2] == (self.where, at):
            if self.fault[2] != "kill":
                return -int(self.fault[2])
            KILL[0] = 1
            # Far longer than until it is killed: a machine that stands still meanwhile must not let it go on.
            time.sleep(10 * SECONDS if self.where == "launcher" else 0.5)
        if self.look:
            self._look(number, args)
        answer = syscalls.raw(number, *args)
        if self.slow and number == syscalls.number("clone3") and answer > 0:
            time.sleep(0.2)
        return answer

    def _look(self, number: int, args: tuple[Any, ...]) -> None:
        """What can only be seen from the host: the control groups, once init is in them; and init just before execve."""
        if number == syscalls.number("mkdirat") and bytes(args[1]).startswith(b"/sys/fs/cgroup/"):
            self.groups.append(bytes(args[1]).rstrip(b"\0").decode())
        elif number == NUMBERS[syscalls.MACHINE]["umask"]:
            os.write(1, b"init.dumpable %d\n" % syscalls.raw(syscalls.number("prctl"), 3, 0, 0, 0, 0))
        elif number == syscalls.number("execve"):
            _own_status()
        elif self.where == "launcher" and args[1:] == (b"1", 1):
            os.write(1, "".join(map(_group, self.groups)).encode())


def _own_status() -> None:
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("Cap"):
                os.write(1, f"init.{line}".encode())


def _group(directory: str) -> str:
    controller = directory.split("/")[4]
    lines = []
    for file in _FILES:
        if os.path.exists(f"{directory}/{file}"):
            with open(f"{directory}/{file}") as opened:
                lines.append(f"host.{controller}.{file} {' '.join(sorted(opened.read().splitlines()))}\n")
    return "".join([*lines, f"host.{controller}.processes {_members(directory)}\n"])


def _members(directory: str) -> int:
    """How many processes a group has; init enters by itself, and is given some time for it."""
    for _ in range(20):
        with open(f"{directory}/cgroup.procs") as opened:
            if count := len(opened.readlines()):
                return count
        time.sleep(0.005)
    return 0


def planned(request: dict[str, Any]) -> tuple[tuple[Step, ...], Record]:
    """Make the plan in a child, so that this process stays small: it is copied for every launch."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            from dataclasses import replace  # noqa: PLC0415

            from enforcer import api  # noqa: PLC0415

            facts = replace(api.host_facts(), **request.pop("facts", {}))
            api.host_facts = lambda: facts
            asked = api.Request(**{**request, "command": tuple(request["command"])})
            prepared = api.prepare(asked)
            plan = api.make_plan(prepared, asked)
            program = encoder.encode(plan.steps, facts.machine)
            with os.fdopen(write, "wb") as pipe:
                pickle.dump((plan.steps, api._record(prepared, plan, program, asked).encode()), pipe)
            status = 0
        except EnforcerError as error:
            sys.stderr.write(error.render())
            sys.stderr.flush()
        except BaseException:  # noqa: BLE001  (the test shows it)
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        content = pipe.read()
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit("no plan")
    steps, record = pickle.loads(content)
    return steps, decode(record)


def launch(steps: tuple[Step, ...], record: Record, job: dict[str, Any], *, look: bool) -> dict[str, Any]:
    """Launch once. job: "drop": indices of steps to leave out, "fault": as `Watch` takes it, "environment"."""
    kept = tuple(step for index, step in enumerate(steps) if index not in job.get("drop", ()))
    try:
        program = Program(encoder.encode(kept, syscalls.MACHINE))
    except (ValueError, KeyError) as error:
        return {"code": 125, "error": f"no program without that step: {error}", "out": ""}
    # A socket is relayed by the launcher, so that the payload's streams are not ours; a pipe is there when the launcher is not.
    output = os.pipe() if "fault" in job else [end.detach() for end in socket.socketpair()]
    report = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(output[0])
        os.close(report[0])
        _launch(program, record, job, look=look, output=output[1], report=report[1])
    os.close(output[1])
    os.close(report[1])
    answer = _listen(child, output[0], report[0])
    answer["left"] = _reap()
    return answer


def _launch(program: Program, record: Record, job: dict[str, Any], *, look: bool, output: int, report: int) -> None:
    code = 125
    try:
        os.urandom = lambda _size: IDENTITY
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        fault = job.get("fault")
        system = Watch(tuple(fault) if fault else None, report, look=look, slow=job.get("slow", False))
        options = launcher.Options(job["command"], [("MARK", "1")], name="test")
        code = launcher.launch(program, record, options, system)
        os.write(report, b"D%d,%d" % (system.count, code))
    except EnforcerError as error:
        os.write(report, b"E" + error.render().encode())
    except BaseException as error:  # noqa: BLE001  (said, and judged by the test)
        os.write(report, b"X" + repr(error).encode())
    finally:
        os._exit(code)


def _listen(child: int, output: int, report: int) -> dict[str, Any]:
    """Gather what comes until both pipes end; kill the launcher when it asks for it, or takes too long."""
    content = {output: b"", report: b""}
    open_ends, end, timeout, KILL[0] = {output, report}, time.monotonic() + SECONDS, False, 0
    while open_ends and time.monotonic() < end + 1:
        for descriptor in select.select(open_ends, [], [], 0.005)[0]:
            part = _read(descriptor)
            content[descriptor] += part
            if not part:
                open_ends.remove(descriptor)
        if KILL[0] == 1:
            KILL[0] = 2
            os.kill(child, signal.SIGKILL)
        if time.monotonic() > end and not timeout:
            timeout = True
            os.kill(child, signal.SIGKILL)
    os.close(output)
    os.close(report)
    _, status = os.waitpid(child, 0)
    said = content[report].decode(errors="replace")
    return {
        "code": os.waitstatus_to_exitcode(status),
        "error": said[1:] if said[:1] in {"E", "X"} else "",
        "kind": "timeout" if timeout else "K" if KILL[0] == 2 else said[:1],
        "done": said[1:] if said[:1] == "D" else "",
        "out": content[output].decode(errors="replace"),
    }


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except ConnectionResetError:
        return b""


def _reap() -> int:
    """Whatever the launch left becomes our child: wait for it to end. How many did not, and were killed."""
    end, killed = time.monotonic() + 2, 0
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return killed
        if pid == 0:
            time.sleep(0.005)
        if pid == 0 and time.monotonic() > end:
            with open(f"/proc/self/task/{os.getpid()}/children") as children:
                for word in children.read().split():
                    os.kill(int(word), signal.SIGKILL)
                    killed += 1
            end = time.monotonic() + 2


def main() -> None:
    """Answer one question: {"request": …, "look": bool, "fresh": directories to remove before each, "marks": files that
    a payload leaves, "planned": a file to make when the plan is made, "jobs": […]}.
    """
    question = json.load(sys.stdin)
    if question.get("shared"):
        share_mounts()
    hostile()
    steps, record = planned(question["request"])
    if "planned" in question:
        with open(question["planned"], "x"):
            pass
    answers = []
    for job in question["jobs"]:
        for path in question.get("fresh", []):
            if os.path.isdir(path):
                os.rmdir(path)
        job.setdefault("command", question["request"]["command"])
        answers.append(launch(steps, record, job, look=question.get("look", False)))
        if answers[-1]["code"] < 0:
            next_command(record)
        marks = [path for path in question.get("marks", []) if os.path.exists(path)]
        answers[-1]["traces"] = traces(record) + marks
        for path in marks:
            os.unlink(path)
    json.dump({"steps": [describe(step) for step in steps], "answers": answers}, sys.stdout)


def next_command(record: Record) -> None:
    """Do what every command does first: put right what a launcher that was killed has left."""
    state.claim(f"{record.one('state')}/containers", 1 << 10, "").release()


def traces(record: Record) -> list[str]:
    """What is left of the launch: its state, its control groups (they have the name that `_launch` gives them)."""
    containers = f"{record.one('state')}/containers"
    groups = [f"{parent}/enforcer-{IDENTITY.hex()}" for parent in record.all("cgroup-parent")]
    return [path for path in groups if os.path.exists(path)] + [name for name in os.listdir(containers) if name != "lock"]


def describe(step: Step) -> dict[str, Any]:
    """One step, as the tests name it."""
    first = [repr(argument) for argument in step.args]
    return {
        "where": step.where,
        "call": step.call,
        "clause": step.clause,
        "args": first,
        "note": step.note,
        "tolerate": [getattr(errno, name) for name in step.tolerate],
        "real": step.call not in PSEUDO_CALLS,
    }


if __name__ == "__main__":
    main()
