"""What stands between the caller's standard streams and the payload's.

A pipe or /dev/null of the caller is handed on as it is. Anything else (a terminal, a file, a socket, which could be connected
elsewhere in the network namespace it is from) stays outside: the payload gets a pipe, or a terminal of its own, and what passes
through is copied. On the launch path.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat

FIRST_FREE = 10
CHUNK = 4096  # PIPE_BUF: a write of that much to a pipe that polls as writable does not block


class Relay:
    """Copies from one descriptor to another, a chunk at a time."""

    __slots__ = ("close_target", "pending", "source", "target")

    def __init__(self, source: int, target: int, *, close_target: bool) -> None:
        self.source = source
        self.target = target
        self.close_target = close_target
        self.pending = b""

    def waits_for(self) -> tuple[int, int]:
        """Return the descriptor and the poll(2) event that let it go on."""
        return (self.target, select.POLLOUT) if self.pending else (self.source, select.POLLIN)

    def read(self) -> bool:
        """Take a chunk from the source; False when there will be no more."""
        try:
            self.pending = os.read(self.source, CHUNK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:  # EIO: every process has let go of the terminal
            return False
        return bool(self.pending)

    def write(self) -> bool:
        """Give the chunk to the target; False when it takes no more."""
        try:
            self.pending = self.pending[os.write(self.target, self.pending) :]
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:  # EPIPE: the reader has gone
            return False
        return True

    def close(self) -> None:
        """End the stream for whoever reads it."""
        if self.close_target:
            os.close(self.target)
            self.close_target = False


class Streams:
    """The payload's three streams (`inside`, descriptors above 9) and the relays that feed them."""

    def __init__(self, *, terminal: bool, interactive: bool) -> None:
        """Lay out the streams. terminal: the payload will have its own. interactive: the caller's standard input is for it."""
        self.terminal = terminal
        self.interactive = interactive
        self.relays: list[Relay] = []
        self.inside = [-1, -1, -1]
        if not terminal:
            self.inside = [self._input(), self._output(1), self._output(2)]

    def _input(self) -> int:
        if not self.interactive:
            return _high(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        if _harmless(0):
            return _high(os.dup(0))
        read, write = os.pipe2(os.O_CLOEXEC)
        self.relays.append(Relay(0, write, close_target=True))
        return _high(read)

    def _output(self, number: int) -> int:
        if _harmless(number):
            return _high(os.dup(number))
        read, write = os.pipe2(os.O_CLOEXEC)
        self.relays.append(Relay(read, number, close_target=False))
        return _high(write)

    def started(self) -> None:
        """Let go of the payload's ends, so that a stream ends when the payload lets go of it."""
        for descriptor in self.inside:
            if descriptor >= 0:
                os.close(descriptor)
        self.inside = [-1, -1, -1]

    def attach(self, master: int) -> None:
        """Connect the caller's terminal with the payload's."""
        self.relays = [Relay(master, 1, close_target=False)]
        if self.interactive:
            self.relays.append(Relay(0, master, close_target=False))


def _harmless(number: int) -> bool:
    """Tell whether the payload could do nothing with the descriptor but stream through it."""
    try:
        status = os.fstat(number)
    except OSError:
        return False
    null = stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
    return stat.S_ISFIFO(status.st_mode) or null


def _high(descriptor: int) -> int:
    """Move a descriptor out of the way of the numbers that the payload gets."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
    os.close(descriptor)
    return moved
