"""What the code of a hostile package tries: python3 attack.py WANTED ANSWER.

WANTED is a JSON object: read (paths), environment (names), connect ([address, port] pairs), write (directories), execute
(directories that a program is copied to and started from), contained (the attempt to make a user namespace). ANSWER is written:
a JSON object of attempts, each "reached" or the name of an errno. Every attempt is harmless where it reaches.
"""

from __future__ import annotations

import ctypes
import errno
import glob
import json
import os
import shutil
import socket
import subprocess
import sys

# ruff: noqa: INP001  it is started as a program, from wherever it was copied to
CLONE_NEWUSER = 0x10000000


def read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def environment(name: str) -> None:
    """Look in this process and in every other one that /proc shows."""
    if name in os.environ:
        return
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                if name.encode() in file.read():
                    return
        except OSError:
            continue
    raise OSError(errno.ENOENT, "in no environment")


def connect(target: tuple[str, int]) -> None:
    address, port = target
    socket.create_connection((address, port), 2).close()


def write(directory: str) -> None:
    path = os.path.join(os.path.expanduser(directory), ".attack")
    with open(path, "w") as file:
        file.write("was here")
    os.remove(path)


def execute(directory: str) -> None:
    program = os.path.join(directory, "attack-true")
    try:
        shutil.copy("/bin/true", program)
        subprocess.run([program], check=True)
    finally:
        if os.path.lexists(program):
            os.remove(program)


def contained(_: str) -> None:
    pid = os.fork()
    if pid == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        os._exit(ctypes.get_errno() if libc.unshare(CLONE_NEWUSER) else 0)
    if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise OSError(code, "unshare")


def main(wanted: str, answer: str) -> None:
    with open(wanted) as file:
        everything = json.load(file)
    found = {}
    for name, targets in everything.items():
        for target in targets:
            try:
                globals()[name](target)
                found[f"{name} {target}"] = "reached"
            except OSError as error:
                found[f"{name} {target}"] = errno.errorcode.get(error.errno or 0, str(error))
    with open(answer, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
