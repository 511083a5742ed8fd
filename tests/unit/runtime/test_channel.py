from __future__ import annotations

import array
import os
import socket

import pytest

from enforcer.runtime import channel


@pytest.fixture(name="ends")
def open_channel() -> object:
    ours, theirs = channel.pair()
    yield ours, theirs
    for end in (ours, theirs):
        try:
            os.close(end)
        except OSError:
            continue


def send(end: int, content: bytes, *descriptors: int) -> None:
    with socket.socket(fileno=os.dup(end)) as sender:
        sender.sendmsg([content], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])


def test_the_end_of_the_channel_is_success_once_init_was_ready(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    os.write(theirs, b"R")
    os.close(theirs)
    assert channel.listen(ours) == (None, -1)


def test_the_end_of_the_channel_without_that_is_the_end_of_init(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    read, write = os.pipe()
    send(theirs, b"t", write)
    os.close(theirs)
    os.close(write)
    assert channel.listen(ours) == (channel.DIED, -1)
    assert os.read(read, 1) == b""  # the terminal's master is closed
    os.close(read)


@pytest.mark.parametrize(("index", "errno"), [(0, 1), (311, 38), (2**31, 4095)])
def test_a_failure_is_told(ends: tuple[int, int], index: int, errno: int) -> None:
    ours, theirs = ends
    channel.report((theirs,), index, errno)
    assert channel.listen(ours) == ((index, errno), -1)


def test_a_failure_is_told_through_the_first_end_that_is_open(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    channel.report((9999, theirs), 3, 4)
    channel.report((9999,), 1, 1)  # nobody can be told: nothing happens
    assert channel.listen(ours) == ((3, 4), -1)


def test_a_terminals_master_arrives(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    read, write = os.pipe()
    send(theirs, b"t", write)
    os.write(theirs, b"R")
    os.close(theirs)
    failure, master = channel.listen(ours)
    assert failure is None
    os.write(master, b"x")
    assert os.read(read, 1) == b"x"
    assert not os.get_inheritable(master)
    for descriptor in (read, write, master):
        os.close(descriptor)


def test_after_a_failure_the_master_is_closed(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    read, write = os.pipe()
    send(theirs, b"t", write)
    channel.report((theirs,), 5, 6)
    os.close(write)
    assert channel.listen(ours) == ((5, 6), -1)
    assert os.read(read, 1) == b""  # every other end is closed
    os.close(read)
