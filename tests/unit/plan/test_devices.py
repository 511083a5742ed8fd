from __future__ import annotations

import pytest

from enforcer.plan import devices
from enforcer.plan.step import Ref
from enforcer.policy.profile import Device

ALWAYS = ["null", "zero", "full", "random", "urandom", "tty"]
GRANTED = [Device("/dev/net/tun"), Device("/dev/fuse")]
NOSUID, NODEV, NOEXEC, RDONLY = 2, 4, 8, 1


def test_nothing_but_the_six_and_what_is_granted() -> None:
    assert devices.names([]) == ALWAYS
    assert devices.names(GRANTED) == [*ALWAYS, "fuse", "net/tun"]


@pytest.mark.parametrize("where", ["launcher", "init"])
def test_every_node_is_the_hosts_own_bound_alone(where: str) -> None:
    steps = devices.sources(where, GRANTED)  # type: ignore[arg-type]
    assert {step.where for step in steps} == {where}
    opened = [step.args[1] for step in steps if step.call == "openat2"]
    assert opened == [f"/dev/{name}".encode() for name in devices.names(GRANTED)]
    attributes = {step.args[3][0] for step in steps if step.call == "mount_setattr"}  # type: ignore[index]
    assert attributes == {NOSUID | NOEXEC | RDONLY}  # a node that may not be opened would be of no use


def test_dev_is_put_together_from_nothing() -> None:
    steps = devices.assemble(GRANTED)
    made = [step for step in steps if step.call in {"mknodat", "mkdirat"} and step.args[0] == Ref("dev")]
    names = [step.args[1].decode() for step in made]  # type: ignore[union-attr]
    assert names == [*ALWAYS, "fuse", "net", "net/tun", "pts", "shm"]
    links = {step.args[2]: step.args[0] for step in steps if step.call == "symlinkat"}
    assert links[b"ptmx"] == b"pts/ptmx"
    assert set(links) == {b"fd", b"stdin", b"stdout", b"stderr", b"ptmx"}


def test_a_link_at_dev_is_refused() -> None:
    """CVE-2026-41579: an image whose /dev is a symbolic link."""
    (step,) = [step for step in devices.assemble([]) if step.call == "openat2"]
    how = step.args[2]
    assert isinstance(how, bytes)
    assert int.from_bytes(how[16:24], "little") == 0x0C  # RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH


def test_terminals_are_an_instance_of_its_own() -> None:
    said = {step.args[2]: step.args[3] for step in devices.assemble([]) if step.call == "fsconfig" and step.args[1] in {0, 1}}
    assert said[b"newinstance"] == 0
    assert said[b"ptmxmode"] == b"0666"
    assert said[b"size"] == b"64k"


def test_dev_is_sealed() -> None:
    content = devices.seal().args[3]
    assert isinstance(content, bytes)
    assert content[0] == NOSUID | NOEXEC | RDONLY
