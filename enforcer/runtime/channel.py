"""The channel between init and the launcher: a failed step's index and errno, a terminal's master, and its end at execve."""

from __future__ import annotations

import os

from enforcer.linux import syscalls

_AF_UNIX = 1
_SOCK_SEQPACKET_CLOEXEC = 5 | 0o2000000
_MSG_CMSG_CLOEXEC = 0x40000000
_CONTROL_SIZE = 24
_FAILURE_SIZE = 9
DIED = (-1, 0)


def pair() -> tuple[int, int]:
    """Make the channel: the launcher's end and init's."""
    ends = syscalls.buffer(8)
    syscalls.call("socketpair", _AF_UNIX, _SOCK_SEQPACKET_CLOEXEC, 0, ends)
    return int.from_bytes(ends.raw[:4], "little"), int.from_bytes(ends.raw[4:], "little")


def report(ends: tuple[int, ...], index: int, errno: int) -> None:
    """Tell the launcher which step failed, with what errno. ends: where init's end may be; the first that is open counts."""
    message = b"F" + index.to_bytes(4, "little") + errno.to_bytes(4, "little")
    for end in ends:
        try:
            os.write(end, message)
        except OSError:  # closed by a step of the program, or not there yet
            continue
        return


def listen(end: int) -> tuple[tuple[int, int] | None, int]:
    """Wait until init has become the payload or has failed.

    Returns ((step, errno) or None, descriptor of the terminal's master or -1). After a failure that descriptor is closed. When
    the channel ends without "R", which init sends once all but its filter is in force, something ended init: DIED.
    """
    master, ready = -1, False
    while True:
        content, descriptor = _receive(end)
        if descriptor >= 0:
            master = descriptor
        ready = ready or content == b"R"
        if not content and ready:
            return None, master
        if not content or len(content) == _FAILURE_SIZE:
            if master >= 0:
                os.close(master)
            return (int.from_bytes(content[1:5], "little"), int.from_bytes(content[5:9], "little")) if content else DIED, -1


def _receive(end: int) -> tuple[bytes, int]:
    content, control = syscalls.buffer(_FAILURE_SIZE), syscalls.buffer(_CONTROL_SIZE)
    vector = syscalls.buffer(_words(syscalls.address(content), _FAILURE_SIZE))
    message = syscalls.buffer(_words(0, 0, syscalls.address(vector), 1, syscalls.address(control), _CONTROL_SIZE, 0))
    length = syscalls.call("recvmsg", end, message, _MSG_CMSG_CLOEXEC)
    has_descriptor = int.from_bytes(message.raw[40:48], "little") >= _CONTROL_SIZE - 4
    return content.raw[:length], int.from_bytes(control.raw[16:20], "little") if has_descriptor else -1


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little") for value in values)
