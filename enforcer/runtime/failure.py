"""A failed step in words. Imported only when a launch fails."""

from __future__ import annotations

import errno as names
from typing import TYPE_CHECKING

from enforcer.errors import LaunchError
from enforcer.linux.executor import reason

if TYPE_CHECKING:
    from enforcer.plan.encoding import Program
    from enforcer.runtime.record import Record

_HINTS = {
    ("openat2", "ELOOP"): "a symbolic link stands where none did, or the image has one at /proc or /dev",
    ("openat2", "ENOENT"): "the path is gone since the plan was made, or the image lacks it",
    ("open_tree", "EPERM"): "the launcher needs CAP_SYS_ADMIN where the mounts belong to",
    (
        "fsconfig",
        "EINVAL",
    ): "an overlay cannot be made of the image's directory here: without root, nothing may be mounted below it",
    (
        "fsmount",
        "EINVAL",
    ): "an overlay cannot be made of the image's directory here: without root, nothing may be mounted below it",
    ("chdir", "EACCES"): "the payload's user may not enter the working directory: change run.user or run.cwd",
    ("chdir", "ENOENT"): "the working directory does not exist in the image: change run.cwd",
    ("clone3", "ENOSPC"): "too many namespaces: see user.max_*_namespaces in sysctl",
    ("clone3", "EPERM"): "this host does not let the caller make namespaces: enforcer doctor",
    ("clone3", "EAGAIN"): "no more processes may be made: see RLIMIT_NPROC and pids.max of the caller",
    ("newuidmap", "EPERM"): "newuidmap refused the map: see /etc/subuid",
    ("newgidmap", "EPERM"): "newgidmap refused the map: see /etc/subgid",
    ("mkdirat", "EROFS"): "the host's cgroup tree is read-only here: enforcer doctor",
    ("pivot_root", "EINVAL"): "the host's root is the initial ramfs, which cannot be pivoted away",
}
_PROGRAM_HINTS = {
    "ENOENT": "the image has no such program in PATH (or its interpreter, named in its first line or ELF header, is missing)",
    "EACCES": "the program is not executable, or filesystem.paths.execute does not cover it",
    "ENOEXEC": "it is not a program this machine can run: a script needs a first line #!/…",
}


class PayloadError(LaunchError):
    """The program of the payload cannot be executed. exit_code: 127 when it is not there, else 126."""

    exit_code = 126


def explain(program: Program, index: int, errno: int, plan: Record, command: list[str]) -> LaunchError:
    """Name the step, its clause, the kernel's answer and what helps. command: the caller's, [] for the image's own."""
    if index < 0:
        return LaunchError(
            "the payload was not started: something ended init before it could become the payload",
            where=plan.one("image"),
            why="a signal, most likely SIGKILL: the kernel's OOM killer, where resources.memory is too little even to start",
            hint="raise resources.memory (8MiB is about the least), or see the kernel's log",
        )
    call, clause, note = program.describe(index)
    name = names.errorcode.get(errno, str(errno))
    if call == "execvpe":
        return _program(name, errno, plan, command)
    about = f" ({note})" if note else ""
    return LaunchError(
        f"the payload was not started: {call}{about} failed",
        errno=errno,
        where=f"step {index + 1} of {len(program.steps)}, clause {clause}",
        why=reason(errno) if errno else "the call did not do all of what was asked; the other process may have died",
        hint=_HINTS.get((call, name), "enforcer doctor says what this host can enforce; enforcer plan shows every step"),
    )


def _program(name: str, errno: int, plan: Record, command: list[str]) -> LaunchError:
    words = plan.all("entrypoint") + (command or plan.all("cmd"))
    error = PayloadError(
        f"the program {words[0]!r} cannot be executed",
        errno=errno,
        where=plan.one("image"),
        why=reason(errno),
        hint=_PROGRAM_HINTS.get(name, "the payload was not started"),
    )
    error.exit_code = 127 if name in ("ENOENT", "ENOTDIR") else 126
    return error
