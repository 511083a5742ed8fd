"""Launches one container: claims its place, binds the program's slots, has it executed, and reports what failed.

On the launch path. Nothing here decides what is allowed: the program does.
"""

from __future__ import annotations

import gc
import os
import sys

from enforcer.errors import LaunchError
from enforcer.linux import executor, spawn, syscalls
from enforcer.plan import encoding
from enforcer.runtime import channel, init, state, supervisor
from enforcer.runtime.streams import Streams

TYPE_CHECKING = False  # typing would cost a launch 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from enforcer.linux.executor import Value
    from enforcer.runtime.record import Record

RANGE = 65536
SECRET_LIMIT = 1 << 20
STATUS = 3  # where the program puts init's end of the channel before it closes every other descriptor
_ENOENT, _EACCES, _ENOTDIR = 2, 13, 20


class Options:
    """What the caller of one launch chose: command, terminal, standard input, variables, name."""

    __slots__ = ("command", "environment", "interactive", "name", "terminal")

    def __init__(
        self,
        command: list[str],
        environment: list[tuple[str, str]],
        *,
        name: str = "",
        interactive: bool = False,
        terminal: bool = False,
    ) -> None:
        self.command = command
        self.environment = environment
        self.name = name
        self.interactive = interactive
        self.terminal = terminal


def launch(program: encoding.Program, plan: Record, options: Options, system: Callable[..., int] = syscalls.raw) -> int:
    """Launch and supervise; the exit code of the payload, as a shell gives it.

    plan: what goes with the program (`api.make_entry` makes both). system: makes a system call; tests inject faults here.
    Raises LaunchError when the payload was not started: nothing of it is left then. Raises HostError when there is no place.
    """
    gc.disable()  # nothing here makes cycles, and a collection in init would copy every page it looks at
    supervisor.keep_children()
    identity = os.urandom(32).hex()
    name = options.name or f"{plan.one('profile')}-{identity[:12]}"
    first, count = int(plan.one("first-id", "0")), max(int(plan.one("id-count", "0")) // RANGE, 1)
    place = state.claim(state.directory(state.directory(plan.one("state")) + "/containers"), count if first else 1 << 16, name)
    groups = [f"{parent}/enforcer-{identity}" for parent in plan.all("cgroup-parent")]
    fields = [("id", identity), ("name", name), ("image", plan.one("image")), *(("cgroup", group) for group in groups)]
    place.write(fields)
    try:
        made = _Launch(program, plan, options, system)
        base = first + place.index * RANGE
        child, streams, master = made.start(identity, name, base, lambda pid: place.write(_born(fields, pid)))
        return supervisor.supervise(child, streams, master, int(plan.one("time", "0")))
    finally:
        state.remove_groups(groups)
        place.release()


def _born(fields: list[tuple[str, str]], pid: int) -> list[tuple[str, str]]:
    return [*fields, ("pid", str(pid)), ("started", state.started(pid))]


class _Launch:
    def __init__(self, program: encoding.Program, plan: Record, options: Options, system: Callable[..., int]) -> None:
        self.program = program
        self.plan = plan
        self.options = options
        self.system = system

    def start(self, identity: str, name: str, first: int, born: Callable[[int], None]) -> tuple[int, Streams, int]:
        """Start the payload: init's pid, the payload's streams, the master of its terminal or -1. born: is told the pid."""
        base = first if self.plan.one("first-id", "0") != "0" else 0
        owner = (base + int(self.plan.one("uid")), base + int(self.plan.one("gid"))) if self.plan.one("rootful") else None
        streams = Streams(terminal=self.options.terminal, interactive=self.options.interactive, owner=owner)
        sync_read, sync_write = os.pipe2(os.O_CLOEXEC)
        ours, theirs = channel.pair()
        slots: dict[str, Value] = {
            "id": identity.encode(),
            "sync-read": sync_read,
            "sync-write": sync_write,
            "sync-byte": bytes(1),
            "status": theirs,
            "stdin": streams.inside[0],
            "stdout": streams.inside[1],
            "stderr": streams.inside[2],
            **self._identity(name, first),
            **self._command(name),
            **self._secrets(),
        }
        execution = executor.Execution(self.program, slots, self._pseudo(), self.system)
        supervisor.mask_signals()
        child = self._execute(execution, theirs)
        for descriptor in (sync_read, sync_write, theirs):
            os.close(descriptor)
        streams.started()
        try:
            born(child)
            failure, master = channel.listen(ours)
        except BaseException:
            end(child)
            raise
        os.close(ours)
        if failure is not None:
            end(child)
            raise self._failed(*failure)
        return child, streams, master

    def _execute(self, execution: executor.Execution, status: int) -> int:
        """Run the program; in the child this never returns. Returns init's pid."""
        try:
            execution.run()
        except executor.StepFailed as failure:
            if execution.process == encoding.INIT:
                channel.report((status, STATUS), failure.index, failure.errno)
            elif execution.child > 0:
                end(execution.child)
            raise self._failed(failure.index, failure.errno) from None
        except BaseException:
            if execution.child > 0:
                end(execution.child)
            raise
        finally:
            if execution.process == encoding.INIT:  # a child that did not become the payload ends here, whatever happened to it
                os._exit(125)
        return execution.child

    def _identity(self, name: str, first: int) -> dict[str, Value]:
        hostname = name.encode()[:64]
        id_map = f"0 {first} {RANGE}\n".encode()
        return {
            "hostname": hostname,
            "hostname-length": len(hostname),
            "id-map": id_map,
            "id-map-length": len(id_map),
            "uid": int(self.plan.one("uid")),
            "gid": int(self.plan.one("gid")),
        }

    def _command(self, name: str) -> dict[str, Value]:
        argv = self.plan.all("entrypoint") + (self.options.command or self.plan.all("cmd"))
        if not argv:
            raise LaunchError(
                "the image has neither entrypoint nor command, and none was given",
                hint="name the program to run after the image: enforcer run IMAGE PROGRAM [ARG…]",
            )
        environment = self._environment(name)
        path = environment.get("PATH", "")
        programs = [argv[0]] if "/" in argv[0] else [f"{entry}/{argv[0]}" for entry in path.split(":") if entry.startswith("/")]
        return {
            "argv": [os.fsencode(word) for word in argv],
            "programs": [os.fsencode(program) for program in programs],
            "environment": [os.fsencode(f"{key}={value}") for key, value in environment.items()],
        }

    def _environment(self, name: str) -> dict[str, str]:
        """The image's and the profile's variables, those let through from the caller, then those of the command line."""
        environment = dict(item.split("=", 1) for item in self.plan.all("env"))
        environment["HOSTNAME"] = name
        for key in self.plan.all("pass"):
            if key in os.environ:
                environment[key] = os.environ[key]
        return environment | dict(self.options.environment)

    def _secrets(self) -> dict[str, Value]:
        slots: dict[str, Value] = {}
        for source in self.plan.all("secret"):
            value = _secret(source)
            slots[f"secret {source}"] = value
            slots[f"secret length {source}"] = len(value)
        return slots

    def _pseudo(self) -> dict[int, Callable[..., int]]:
        calls = encoding.PSEUDO_CALLS
        return {
            calls["newuidmap"]: spawn.id_map,
            calls["newgidmap"]: spawn.id_map,
            calls["reap"]: init.reap,
            calls["execvpe"]: self._execvpe,
        }

    def _execvpe(self, programs: list[bytes], argv: syscalls.Buffer, environment: syscalls.Buffer) -> int:
        """execve(2) each candidate; as in execvp(3), a program that may not be executed counts before one that is not there."""
        number = syscalls.number("execve")
        answer = -_ENOENT
        for program in programs:
            result = self.system(number, program, argv, environment)
            if result not in (-_ENOENT, -_ENOTDIR, -_EACCES):
                return result
            answer = -_EACCES if -_EACCES in (answer, result) else -_ENOENT
        return answer

    def _failed(self, index: int, errno: int) -> LaunchError:
        from enforcer.runtime import failure  # noqa: PLC0415  (only when a launch fails)

        return failure.explain(self.program, index, errno, self.plan, self.options.command)


def _secret(source: str) -> bytes:
    kind, _, name = source.partition(":")
    try:
        return os.environb[os.fsencode(name)] if kind == "env" else _read(name)
    except KeyError:
        raise LaunchError(f"the secret's variable {name} is not set", where=source, hint=f"export {name}=…") from None
    except OSError as error:
        raise LaunchError(f"the secret cannot be read: {error.strerror}", where=source) from error


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read(SECRET_LIMIT + 1)
    if len(content) > SECRET_LIMIT:
        what = f"the secret is larger than {SECRET_LIMIT} bytes"
        raise LaunchError(what, where=path, hint="bind the file instead: {bind: …, access: read}")
    return content


def end(child: int) -> None:
    """End a process and reap it. pid 1 of a pid namespace takes everything in it along."""
    try:
        os.kill(child, 9)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError) as error:
        sys.stderr.write(f"enforcer: init was gone already: {error}\n")
