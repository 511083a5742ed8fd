from __future__ import annotations

from dataclasses import replace

import pytest

from enforcer.plan import namespaces
from enforcer.plan.step import Packed, Ref
from enforcer.policy.profile import Namespaces
from tests.plans import HOST, NAMESPACES, verdicts

# include/uapi/linux/sched.h
FLAGS = {"user": 0x10000000, "pid": 0x20000000, "ipc": 0x08000000, "uts": 0x04000000, "time": 0x80}
NEWNS, NEWNET, CLEAR_SIGHAND, INTO_CGROUP = 0x20000, 0x40000000, 1 << 32, 1 << 33
ALL = sum(FLAGS.values()) | NEWNS


def test_every_private_namespace_has_its_flag() -> None:
    assert namespaces.flags(Namespaces(), network=False) == ALL
    assert namespaces.flags(Namespaces(), network=True) == ALL | NEWNET


@pytest.mark.parametrize(("name", "flag"), FLAGS.items())
def test_a_shared_namespace_has_none(name: str, flag: int) -> None:
    assert namespaces.flags(replace(Namespaces(), **{name: "host"}), network=False) == ALL & ~flag


def test_the_mount_namespace_is_always_private() -> None:
    shared = Namespaces("host", "host", "host", "host", "host", "host")
    assert namespaces.flags(shared, network=False) == NEWNS


@pytest.mark.parametrize("into_cgroup", [True, False])
def test_init_is_made_in_all_of_them_at_once(into_cgroup: bool) -> None:  # noqa: FBT001
    """Struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, …, cgroup."""
    step = namespaces.clone(Namespaces(), network=True, into_cgroup=into_cgroup)
    args, size = step.args
    assert isinstance(args, Packed)
    words = [int.from_bytes(args.template[at : at + 8], "little") for at in range(0, len(args.template), 8)]
    flags = ALL | NEWNET | CLEAR_SIGHAND | (INTO_CGROUP if into_cgroup else 0)
    assert words == [flags, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0]
    assert len(args.template) == size == 88
    assert args.patches == (((80, 8, Ref("cgroup")),) if into_cgroup else ())
    assert (step.where, step.call, step.result) == ("launcher", "clone3", "init")


def test_the_cgroup_namespace_comes_once_init_is_in_its_group() -> None:
    (step,) = namespaces.own_cgroup(Namespaces())
    assert (step.where, step.call, step.args) == ("init", "unshare", (0x02000000,))
    assert namespaces.own_cgroup(Namespaces(cgroup="host")) == ()


def test_the_hosts_name_is_not_changed() -> None:
    assert [step.call for step in namespaces.hostname(Namespaces())] == ["sethostname"]
    assert namespaces.hostname(Namespaces(uts="host")) == ()


@pytest.mark.parametrize("name", ["pid", "ipc", "uts", "cgroup", "time"])
def test_a_namespace_that_cannot_be_made_is_impossible(name: str) -> None:
    host = replace(HOST, namespaces=NAMESPACES - {name})
    found = verdicts("", host)[f"namespaces.{name}"]
    assert found.verdict == "impossible"
    assert name in found.why
    shared = verdicts(f"user_namespace: host\nnamespaces: {{{name}: host}}", host)[f"namespaces.{name}"]
    assert shared.verdict == "enforced"
    assert shared.place.startswith("test.yaml:4:")


def test_the_hosts_processes_cannot_be_shared_from_a_user_namespace() -> None:
    found = verdicts("namespaces: {pid: host}")["namespaces.pid"]
    assert (found.verdict, "user_namespace: host" in found.why) == ("impossible", True)


def test_no_mount_namespace_is_impossible_for_every_policy() -> None:
    found = verdicts("", replace(HOST, namespaces=NAMESPACES - {"mount"}))["namespaces"]
    assert found.verdict == "impossible"
    assert "namespaces" not in verdicts()
