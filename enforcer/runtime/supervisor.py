"""Stays with one container until it ends: forwards signals, carries its streams, keeps its time.

One process, one poll(2) loop, no thread. On the launch path.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps, without its enumerations
import os
import select
import sys
import time

from enforcer.linux import syscalls
from enforcer.runtime.init import exit_code

TYPE_CHECKING = False  # typing would cost a launch 5 ms
if TYPE_CHECKING:
    from enforcer.runtime.streams import Relay, Streams

SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGUSR1, SIGUSR2 = 1, 2, 3, 9, 10, 12
SIGPIPE, SIGALRM, SIGTERM, SIGCONT, SIGWINCH = 13, 14, 15, 18, 28
FORWARDED = (SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT)
_ENDING = (SIGHUP, SIGINT, SIGQUIT, SIGTERM)
_MASKED = (*FORWARDED, SIGWINCH, SIGPIPE)
_SIG_BLOCK = 0
_SFD_CLOEXEC = 0o2000000
_SIGNALFD_SIGINFO_SIZE = 128
_TIOCGWINSZ, _TIOCSWINSZ = 0x5413, 0x5414
_PATIENCE = 3  # so many interrupts in a row that the payload does not heed end it
_DRAIN_SECONDS = 2.0
_ENDED = select.POLLHUP | select.POLLERR | select.POLLNVAL


def keep_children() -> None:
    """Have ended children wait for us, even where the caller ignores SIGCHLD: the kernel would reap them at once (wait(2))."""
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def mask_signals() -> None:
    """Keep signals for `supervise` to read; the program unmasks them for the payload."""
    syscalls.call("rt_sigprocmask", _SIG_BLOCK, _set(_MASKED), None, 8)


def _set(signals: tuple[int, ...]) -> bytes:
    return sum(1 << (signal - 1) for signal in signals).to_bytes(8, "little")


def supervise(child: int, streams: Streams, master: int, limit: int) -> int:
    """Return the exit code of `child` once it has ended and its output is delivered.

    master: the terminal's master, -1 without one. limit: milliseconds that it may run, 0 for no end.
    """
    with _Terminal(streams, master) as terminal:
        return _Loop(child, streams, terminal, limit).run()


class _Terminal:
    """The caller's terminal in raw mode while the payload has its own."""

    def __init__(self, streams: Streams, master: int) -> None:
        self.master = master
        self._raw = master >= 0 and streams.interactive
        self._saved: list[object] = []
        if master >= 0:
            streams.attach(master)
            self.resize()

    def __enter__(self) -> _Terminal:  # noqa: PYI034  (Self would import typing)
        if self._raw:
            import termios  # noqa: PLC0415
            import tty  # noqa: PLC0415

            self._saved = termios.tcgetattr(0)
            tty.setraw(0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._raw:
            import termios  # noqa: PLC0415

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
        self.hang_up()

    def hang_up(self) -> None:
        """The caller's terminal is gone: so is the payload's, which learns of it as from any terminal (SIGHUP, EIO)."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def resize(self) -> None:
        """Give the payload's terminal the size of the caller's."""
        size = syscalls.buffer(8)
        ioctl = syscalls.number("ioctl")
        if self.master >= 0 and syscalls.raw(ioctl, 0, _TIOCGWINSZ, size) == 0:
            syscalls.raw(ioctl, self.master, _TIOCSWINSZ, size)


class _Loop:
    def __init__(self, child: int, streams: Streams, terminal: _Terminal, limit: int) -> None:
        self.child = child
        self.streams = streams
        self.terminal = terminal
        self.deadline = time.monotonic() + limit / 1000 if limit else None
        self.pidfd = syscalls.call("pidfd_open", child, 0)
        self.signals = syscalls.call("signalfd4", -1, _set(_MASKED), 8, _SFD_CLOEXEC)
        self.interrupts = 0
        self.killed = False

    def run(self) -> int:
        try:
            while True:
                ready = self._poll({self.pidfd, self.signals}, self._left())
                if self.signals in ready:
                    self._signal()
                if self.pidfd in ready:
                    break
                if self.deadline is not None and time.monotonic() >= self.deadline:
                    self._out_of_time()
            _, status = os.waitpid(self.child, 0)
            self._drain()
            return exit_code(status)
        finally:
            os.close(self.pidfd)
            os.close(self.signals)

    def _left(self) -> int | None:
        return None if self.deadline is None else max(0, int((self.deadline - time.monotonic()) * 1000) + 1)

    def _poll(self, watched: set[int], timeout: int | None) -> set[int]:
        """Wait for something to happen, move the streams on, and return which of `watched` are ready."""
        wanted = dict.fromkeys(watched, select.POLLIN)
        for relay in self.streams.relays:  # a terminal's master is read by one relay and written by another
            descriptor, event = relay.waits_for()
            wanted[descriptor] = wanted.get(descriptor, 0) | event
        poll = select.poll()
        for descriptor, events in wanted.items():
            poll.register(descriptor, events)
        ready = dict(poll.poll(timeout))
        self.streams.relays = [relay for relay in self.streams.relays if self._moved(relay, ready)]
        return watched.intersection(ready)

    def _moved(self, relay: Relay, ready: dict[int, int]) -> bool:
        descriptor, event = relay.waits_for()
        if not ready.get(descriptor, 0) & (event | _ENDED):
            return True
        goes_on = relay.write() if relay.pending else relay.read()
        if not goes_on:
            relay.close()
            if relay.pending and relay.source == self.terminal.master:
                self.terminal.hang_up()
        return goes_on

    def _drain(self) -> None:
        """Deliver what the payload wrote before it ended. Its input is of no use any more.

        A slow reader is waited for, until a signal ends it, unless the payload was ended by force. Whoever else holds the
        payload's end of a stream is not waited for.
        """
        self.streams.relays = [relay for relay in self.streams.relays if relay.source != 0]
        end = time.monotonic() + _DRAIN_SECONDS
        while self.streams.relays and (left := end - time.monotonic()) > 0:
            waits = not self.killed and any(relay.pending for relay in self.streams.relays)
            before = time.monotonic()
            ready = self._poll({self.signals}, None if waits else int(left * 1000) + 1)
            if self.signals in ready and self._next_signal() in _ENDING:
                return
            end += time.monotonic() - before if waits else 0

    def _next_signal(self) -> int:
        return int.from_bytes(os.read(self.signals, _SIGNALFD_SIGINFO_SIZE)[:4], "little")

    def _signal(self) -> None:
        signal = self._next_signal()
        if signal == SIGWINCH:
            self.terminal.resize()
            return
        self.interrupts += 1 if signal in (SIGINT, SIGTERM, SIGQUIT) else 0
        if self.interrupts >= _PATIENCE:
            self._kill("the payload does not heed the signals")
        elif signal != SIGPIPE:
            self._send(signal)

    def _send(self, signal: int) -> None:
        try:
            syscalls.call("pidfd_send_signal", self.pidfd, signal, None, 0)
        except ProcessLookupError:
            return

    def _out_of_time(self) -> None:
        self.deadline = None
        self._kill("the time that resources.time grants is over")

    def _kill(self, why: str) -> None:
        """SIGKILL first, and say so only where somebody reads: to wait for that would heed no signal."""
        self._send(SIGKILL)
        first, self.killed = not self.killed, True
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        if first and poll.poll(0):
            sys.stderr.write(f"enforcer: {why}: SIGKILL\n")
