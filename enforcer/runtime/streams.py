"""What stands between the caller's standard streams and the payload's.

No descriptor of the caller is handed on: a terminal could be typed into, a file be opened again, a socket connected elsewhere
in the network namespace it is from, a pipe be opened the other way round, and even /dev/null be given another mode. The payload
gets pipes of its own (so it may open /dev/stdout), or a terminal of its own, and what passes through is copied.
On the launch path.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat

FIRST_FREE = 10
_PTMX = os.makedev(5, 2)
CHUNK = 4096  # PIPE_BUF: a write of that much to a pipe that polls as writable does not block


class Relay:
    """Copies from one descriptor to another, a chunk at a time.

    own: the ends that are closed when the stream ends: whoever is at the other side of them must learn of it.
    """

    __slots__ = ("_own", "pending", "source", "target")

    def __init__(self, source: int, target: int, *, own: tuple[int, ...] = ()) -> None:
        self.source = source
        self.target = target
        self.pending = b""
        self._own = own

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
        """End the stream for whoever reads it, and for whoever writes it: a payload must not wait for a full pipe for ever."""
        for descriptor in self._own:
            os.close(descriptor)
        self._own = ()


class Streams:
    """The payload's three streams (`inside`, descriptors above 9) and the relays that feed them."""

    def __init__(self, *, terminal: bool, interactive: bool, owner: tuple[int, int] | None) -> None:
        """Lay out the streams.

        terminal: the payload will have its own. interactive: the caller's standard input is for it.
        owner: the payload's uid and gid on the host, to whom its pipes are given; None where the caller may not do that.
        """
        self.terminal = terminal
        self._owner = owner
        self.interactive = interactive
        self.relays: list[Relay] = []
        self.inside = [-1, -1, -1]
        if not terminal:
            self.inside = [self._input(), self._output(1), self._output(2)]

    def _input(self) -> int:
        read, write = self._pipe()
        if not self.interactive:
            os.close(write)
            return _high(read)
        os.set_blocking(write, False)  # a payload that can open its end again could fill the pipe after it polled as writable
        self.relays.append(Relay(0, write, own=(write,)))
        return _high(read)

    def _output(self, number: int) -> int:
        read, write = self._pipe()
        os.set_blocking(read, False)
        target = _unblocked(number)
        self.relays.append(Relay(read, target, own=(read,) if target == number else (read, target)))
        return _high(write)

    def _pipe(self) -> tuple[int, int]:
        read, write = os.pipe2(os.O_CLOEXEC)
        if self._owner is not None:
            os.fchown(write, *self._owner)
        return read, write

    def started(self) -> None:
        """Let go of the payload's ends, so that a stream ends when the payload lets go of it."""
        for descriptor in self.inside:
            if descriptor >= 0:
                os.close(descriptor)
        self.inside = [-1, -1, -1]

    def attach(self, master: int) -> None:
        """Connect the caller's terminal with the payload's."""
        os.set_blocking(master, False)  # a payload that does not read must not stop its supervisor
        target = _unblocked(1)
        self.relays = [Relay(master, target, own=() if target == 1 else (target,))]
        if self.interactive:
            self.relays.append(Relay(0, master))


def _unblocked(number: int) -> int:
    """Open the caller's terminal or pipe once more, without blocking; anything else is used as it is.

    One that polls as writable can block a write all the same: a terminal takes less than the chunk, and a pipe that others
    write to (both outputs, for one) is full by then. The supervisor has signals and a time limit to heed. O_NONBLOCK on the
    caller's own descriptor would hold for everybody who shares it.
    """
    status = os.fstat(number)
    terminal = os.isatty(number) and status.st_rdev != _PTMX  # to open that one again would make another terminal
    if not terminal and not stat.S_ISFIFO(status.st_mode):
        return number
    try:
        return _high(os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:  # it belongs to another user (su), nobody reads it any more, or /proc is not there
        return number


def _high(descriptor: int) -> int:
    """Move a descriptor out of the way of the numbers that the payload gets."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE)
    os.close(descriptor)
    return moved
