"""The process that becomes the payload: its death, session, descriptors, terminal, limits and execve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enforcer.plan.host import Enforcement
from enforcer.plan.step import Packed, Ref, Slot, Step, Strings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enforcer.policy.profile import Resources

RUN = "run"
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
SIGKILL = 9
SIGCHLD = 17
SIGSTOP = 19
SIG_SETMASK = 2
KEYCTL_JOIN_SESSION_KEYRING = 1
AT_FDCWD = -100
O_RDWR_NOCTTY = 0o2 | 0o400
O_CLOEXEC = 0o2000000
TIOCSCTTY = 0x540E
TIOCGPTPEER = 0x5441
TIOCSPTLCK = 0x40045431
STATUS = 3
_FIRST_CLOSED = STATUS + 1
_LIMITS = {
    "open_files": "RLIMIT_NOFILE",
    "processes": "RLIMIT_NPROC",
    "scratch": "size of the overlay's tmpfs",
    "time": "supervisor, SIGKILL",
}
_LAST_DESCRIPTOR = 0xFFFFFFFF
_SIGACTION_SIZE = 32
_SIGNALS = 64  # _NSIG of asm-generic/signal.h
# asm-generic/resource.h
_RLIMITS = {
    "RLIMIT_CORE": 4,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
}
# What pid 1 of `run.init` needs of the payload's own filter (runtime/init.py).
REAPER_CALLS = frozenset({"clone", "exit_group", "kill", "rt_sigaction", "rt_sigprocmask", "rt_sigtimedwait", "wait4"})


def wait_for_launcher() -> tuple[Step, ...]:
    """Die with the launcher, and go on only when it has written the id maps.

    The end of the pipe tells a launcher that died before it let init go on.
    """
    return (
        Step("init", "prctl", (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), RUN, note="the container dies with its supervisor"),
        Step("init", "close", (Slot("sync-write"),), RUN),
        Step("init", "read", (Slot("sync-read"), Slot("sync-byte"), 1), RUN, expect=1, note="wait for the launcher"),
    )


def release_init() -> tuple[Step, ...]:
    """Let init go on."""
    return (Step("launcher", "write", (Slot("sync-write"), b"1", 1), RUN, expect=1, note="init goes on"),)


def detach() -> tuple[Step, ...]:
    """Keep nothing of the caller: no tracer, session, terminal, keyring, signal mask or file mode mask."""
    return (
        Step("init", "prctl", (PR_SET_DUMPABLE, 0, 0, 0, 0), RUN, note="no process of the same user can trace the setup"),
        Step("init", "setsid", (), RUN, note="no controlling terminal"),
        Step("init", "keyctl", (KEYCTL_JOIN_SESSION_KEYRING, 0), "user_namespace", note="a new, empty session keyring"),
        Step("init", "umask", (0,), RUN),
    )


def root_ids(*, single: bool) -> tuple[Step, ...]:
    """Be root inside the namespace while mounting, where root is mapped."""
    if single:
        return ()
    return (
        Step("init", "setresgid", (0, 0, 0), "user_namespace"),
        Step("init", "setresuid", (0, 0, 0), "user_namespace"),
        Step("init", "prctl", (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), RUN, note="setresuid cleared it"),
    )


def terminal(user: tuple[int, int]) -> tuple[Step, ...]:
    """Open a pseudo-terminal of the container; its master goes to the launcher. No path is resolved twice (CVE-2025-52565)."""
    uid, gid = user
    control = Packed(_words((20, 8), (1, 4), (1, 4), (0, 4), (0, 4)), ((16, 4, Ref("master")),))  # SOL_SOCKET, SCM_RIGHTS
    vector = Packed(bytes(8) + (1).to_bytes(8, "little"), ((0, 8, b"t"),))
    message = Packed(_words((0, 8), (0, 8), (0, 8), (1, 8), (0, 8), (24, 8), (0, 8)), ((16, 8, vector), (32, 8, control)))
    return (
        Step("init", "openat", (AT_FDCWD, b"/dev/pts/ptmx", O_RDWR_NOCTTY | O_CLOEXEC, 0), RUN, result="master"),
        Step("init", "ioctl", (Ref("master"), TIOCSPTLCK, bytes(4)), RUN, note="unlock"),
        Step("init", "ioctl", (Ref("master"), TIOCGPTPEER, O_RDWR_NOCTTY), RUN, result="terminal"),
        Step("init", "fchown", (Ref("terminal"), uid, gid), RUN),
        Step("init", "sendmsg", (Slot("status"), message, 0), RUN, note="the launcher gets the master"),
    )


def _words(*fields: tuple[int, int]) -> bytes:
    return b"".join(value.to_bytes(size, "little") for value, size in fields)


def descriptors(user: tuple[int, int], *, terminal: bool, give: bool) -> tuple[Step, ...]:
    """Put the granted descriptors at 0, 1 and 2, the status channel at 3, and close every other one.

    give: the launcher could not give the payload's pipes to its user, so init does.
    """
    streams: list[Ref | Slot] = [Ref("terminal")] * 3 if terminal else [Slot("stdin"), Slot("stdout"), Slot("stderr")]
    return (
        *(Step("init", "dup3", (stream, number, 0), RUN) for number, stream in enumerate(streams)),
        *(Step("init", "fchown", (number, *user), RUN, tolerate=("EPERM",)) for number in (0, 1, 2) if give),
        *((Step("init", "ioctl", (0, TIOCSCTTY, 0), RUN, note="its controlling terminal"),) if terminal else ()),
        Step("init", "dup3", (Slot("status"), STATUS, O_CLOEXEC), RUN),
        Step("init", "close_range", (_FIRST_CLOSED, _LAST_DESCRIPTOR, 0), RUN, note="no inherited descriptor"),
    )


def decide(resources: Resources) -> tuple[Enforcement, ...]:
    """Say how the limits of one process hold."""
    verdicts = []
    for name, by in _LIMITS.items():
        path = f"resources.{name}"
        clause = resources.clauses.get(path)
        if getattr(resources, name) is not None:
            verdicts.append(Enforcement(path, clause.place if clause else "built in", "enforced", by))
    return tuple(verdicts)


def limits(resources: Resources, *, pids_by_rlimit: bool) -> tuple[Step, ...]:
    """Set the limits of setrlimit(2).

    RLIMIT_CORE is 1, not 0: a core pattern that is a pipe starts a program on the host even at 0 (core(5), fs/coredump.c).
    EPERM is tolerated where a limit may exceed the caller's own hard limit: the caller's, being lower, then stays.
    """
    return tuple(_limit(name, value) for name, value in bounds(resources, pids_by_rlimit=pids_by_rlimit).items())


def bounds(resources: Resources, *, pids_by_rlimit: bool) -> dict[str, int]:
    """Return each limit by its name ("RLIMIT_NOFILE"), soft and hard alike. pids_by_rlimit: no controller bounds the pids."""
    processes = [n for n in (resources.processes, resources.pids if pids_by_rlimit else None) if n is not None]
    return {
        **({} if resources.open_files is None else {"RLIMIT_NOFILE": resources.open_files}),
        **({"RLIMIT_NPROC": min(processes)} if processes else {}),
        "RLIMIT_CORE": 1,
        "RLIMIT_NICE": 0,
        "RLIMIT_RTPRIO": 0,
        "RLIMIT_MSGQUEUE": 0,
    }


def _limit(name: str, value: int) -> Step:
    clause = {"RLIMIT_NOFILE": "resources.open_files", "RLIMIT_NPROC": "resources.processes"}.get(name, "resources")
    tolerate = ("EPERM",) if value > 1 else ()
    return Step("init", "prlimit64", (0, _RLIMITS[name], value.to_bytes(8, "little") * 2, 0), clause, tolerate=tolerate)


def enter(cwd: str) -> tuple[Step, ...]:
    """Go to the working directory as the payload's user, by a path inside the root (CVE-2024-21626)."""
    return (
        Step("init", "prctl", (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), RUN, note="setresuid cleared it"),
        Step("init", "prctl", (PR_SET_DUMPABLE, 0, 0, 0, 0), RUN, note="setresuid may have changed it"),
        Step("init", "umask", (0o022,), RUN),
        Step("init", "chdir", (cwd.encode(),), "run.cwd"),
    )


def ready() -> Step:
    """Tell the launcher that init lives and everything but the filter is in force: the end of the channel is then an execve.

    It fails when the launcher died while PR_SET_PDEATHSIG was cleared: then nobody holds the other end (EPIPE). getppid(2)
    would not tell: it is 0 in a new pid namespace.
    """
    return Step("init", "write", (STATUS, b"R", 1), RUN, expect=1, note="the launcher learns that only execve is left")


def signals() -> tuple[Step, ...]:
    """Give the payload the default signal handling.

    What was ignored stays so across execve: Python ignores SIGPIPE and SIGXFSZ, and its caller may ignore others (nohup). Among
    them are real-time ones: glibc's posix_spawn(3) has a child ignore 32 and 33. The launcher masks what it waits for.
    """
    default = bytes(_SIGACTION_SIZE)
    changeable = (signal for signal in range(1, _SIGNALS + 1) if signal not in (SIGKILL, SIGSTOP))
    return (
        *(Step("init", "rt_sigaction", (signal, default, 0, 8), RUN) for signal in changeable),
        Step("init", "rt_sigprocmask", (SIG_SETMASK, bytes(8), 0, 8), RUN),
    )


def become(*, reaper: bool) -> Iterator[Step]:
    """Become the payload; with `run.init`, a first process stays behind as pid 1, under the same rules, and reaps.

    pid 1 keeps its signals masked, since it waits for them; without it there is nobody to wait, and `signals` came earlier.
    """
    if reaper:
        yield Step("init", "clone", (SIGCHLD, 0, 0, 0, 0), "run.init", result="payload")
        yield Step("init", "reap", (Ref("payload"),), "run.init", note="pid 1 stays, forwards signals and reaps")
        yield from signals()
    yield Step("init", "execvpe", (Slot("programs"), Strings("argv"), Strings("environment")), RUN, note="execve(2) along PATH")
