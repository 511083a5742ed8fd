"""Being there tomorrow."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess

from textformat.payload.attempt import TARGETS, NothingError, attempt, note

_MARK = f"# {TARGETS.canary}\n"
_SETUID = 0o4755


def append(path: str) -> None:
    """Leave the mark in a file that somebody else will run or heed."""
    note.at("openat", path=path, access=os.W_OK)
    with open(path, "a", encoding="utf-8") as file:
        file.write(_MARK)


@attempt("persistence", "add a line to ~/.bashrc")
def bashrc() -> None:
    append(f"{TARGETS.home}/.bashrc")


@attempt("persistence", "add a key to ~/.ssh/authorized_keys")
def authorized_keys() -> None:
    append(f"{TARGETS.home}/.ssh/authorized_keys")


@attempt("persistence", "add a cron job, /etc/cron.d/update")
def cron() -> None:
    append("/etc/cron.d/update")


@attempt("persistence", "add a systemd unit")
def unit() -> None:
    append("/etc/systemd/system/update.service")


@attempt("persistence", "change the application's own code")
def own_code() -> None:
    append(os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "invoices.py"))


@attempt("persistence", "leave a setuid shell")
def setuid_shell() -> None:
    path = f"{TARGETS.scratch[0]}/sh"
    try:
        shutil.copyfile("/bin/sh", path)
        note.at("chmod", 0, _SETUID, path=path)
        os.chmod(path, _SETUID)
        if not os.stat(path).st_mode & stat.S_ISUID:
            raise NothingError("bit not kept")
    finally:
        os.unlink(path)


def execute(*words: str, inherit: tuple[int, ...] = ()) -> None:
    """Run a program; OSError says why it cannot be."""
    note.at("execve", path=words[0], access=os.X_OK)
    subprocess.run(words, check=False, stdout=subprocess.DEVNULL, pass_fds=inherit)


@attempt("persistence", "run a program that it brought along")
def dropped() -> None:
    path = f"{TARGETS.scratch[0]}/update"
    try:
        shutil.copy("/bin/true", path)
        execute(path)
    finally:
        os.unlink(path)


@attempt("persistence", "run a program from memory (memfd_create)")
def memfd() -> None:
    note.at("memfd_create")
    number = os.memfd_create("update")
    with open("/bin/true", "rb") as program:
        os.write(number, program.read())
    execute(f"/proc/self/fd/{number}", inherit=(number,))


@attempt("persistence", "start a shell")
def shell() -> None:
    execute("/bin/sh", "-c", "true")
