from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from enforcer.plan import cgroups
from enforcer.plan.cgroup_devices import DeviceRule
from enforcer.plan.encoder import encode
from enforcer.plan.host import HostFacts
from enforcer.plan.step import Packed, Ref, Slot, Step, Text
from enforcer.policy.profile import Clause, Device, Resources

BASE = HostFacts(
    "x86_64",
    "6.1.0",
    rootful=True,
    uid=0,
    gid=0,
    capabilities=frozenset(),
    namespaces=frozenset({"user"}),
    container_ids=(65536, 65536),
)
V1 = replace(
    BASE,
    cgroup_layout="v1",
    cgroups=MappingProxyType({name: f"/sys/fs/cgroup/{name}" for name in ("memory", "pids", "cpu", "devices", "freezer")}),
)
UNIFIED = "/sys/fs/cgroup/system.slice"
V2 = replace(
    BASE,
    cgroup_layout="v2",
    cgroup_v2=UNIFIED,
    cgroups=MappingProxyType(dict.fromkeys(("memory", "pids", "cpu", "devices", "freezer"), UNIFIED)),
)
ROOTLESS = replace(BASE, rootful=False, uid=1000, gid=1000, container_ids=(0, 0))
ALL = Resources(memory=256 * 2**20, pids=64, cpus=1500)
NONE = Resources()
TUN = DeviceRule("c", 10, 200, "rw")


def shown(text: object) -> str:
    """A Text with its slots and results by name."""
    assert isinstance(text, Text)
    return "".join(part.decode() if isinstance(part, bytes) else f"<{part.name}>" for part in text.parts)


def whole(resources: Resources, rules: tuple[DeviceRule, ...], facts: HostFacts) -> tuple[Step, ...]:
    return (*cgroups.before(resources, rules, facts), *cgroups.let_go(resources, facts), *cgroups.enter(resources, facts))


def writes(steps: tuple[Step, ...]) -> dict[str, list[object]]:
    """File → what is written to it, checking that each is opened, written and closed."""
    found: dict[str, list[object]] = {}
    path, name = "", ""
    for step in steps:
        if step.call == "openat":
            path, name = shown(step.args[1]), step.result
        elif step.call == "write":
            assert step.args[0] == Ref(name)
            assert step.expect == step.args[2]
            found.setdefault(path, []).append(step.args[1])
        elif step.call == "close" and step.args[0] == Ref(name):
            name = ""
    return found


def test_v1_limits_each_controller_in_a_group_of_its_own() -> None:
    steps = cgroups.before(ALL, (), V1)
    made = [shown(step.args[1]) for step in steps if step.call == "mkdirat"]
    assert made == [f"/sys/fs/cgroup/{name}/enforcer-<id>" for name in ("pids", "memory", "cpu", "devices")]
    found = writes(steps)
    assert found["/sys/fs/cgroup/pids/enforcer-<id>/pids.max"] == [b"64"]
    assert found["/sys/fs/cgroup/memory/enforcer-<id>/memory.limit_in_bytes"] == [b"268435456"]
    assert found["/sys/fs/cgroup/memory/enforcer-<id>/memory.memsw.limit_in_bytes"] == [b"268435456"]
    assert found["/sys/fs/cgroup/cpu/enforcer-<id>/cpu.cfs_period_us"] == [b"100000"]
    assert found["/sys/fs/cgroup/cpu/enforcer-<id>/cpu.cfs_quota_us"] == [b"150000"]


def test_only_what_depends_on_the_kernels_configuration_may_be_absent() -> None:
    optional = {shown(step.args[1]).rpartition("/")[2] for step in whole(ALL, (), V1) if step.tolerate}
    assert optional == {"memory.swappiness", "memory.memsw.limit_in_bytes", "memory.kmem.tcp.limit_in_bytes"}
    optional = {shown(step.args[1]).rpartition("/")[2] for step in whole(ALL, (), V2) if step.tolerate}
    assert optional == {"memory.swap.max"}
    assert not any(step.tolerate for step in whole(ALL, (), V1) if step.call == "mkdirat")


def test_v1_devices_are_refused_before_some_are_allowed() -> None:
    steps = cgroups.before(NONE, (TUN,), V1)
    files: list[tuple[str, list[object]]] = []
    for step in steps:
        if step.call == "openat":
            files.append((shown(step.args[1]).rpartition("/")[2], []))
        elif step.call == "write":
            files[-1][1].append(step.args[1])
    assert files[0] == ("devices.deny", [b"a"])
    name, allowed = files[1]
    assert (name, files[2:]) == ("devices.allow", [("tasks", [])])
    assert b"c 1:3 rw" in allowed
    assert b"c 136:* rw" in allowed
    assert allowed[-1] == b"c 10:200 rw"


def test_controllers_mounted_together_share_a_group() -> None:
    together = dict.fromkeys(("cpu", "pids"), "/sys/fs/cgroup/cpu,pids")
    steps = cgroups.before(ALL, (), replace(V1, cgroups=MappingProxyType(together)))
    assert [shown(step.args[1]) for step in steps if step.call == "mkdirat"] == ["/sys/fs/cgroup/cpu,pids/enforcer-<id>"]


def test_v2_has_one_group_that_its_parent_passes_the_controllers_on_to() -> None:
    steps = cgroups.before(ALL, (), V2)
    names = [step.call for step in steps]
    assert names.count("mkdirat") == 1
    found = writes(steps)
    assert list(found)[0] == f"{UNIFIED}/cgroup.subtree_control"  # noqa: RUF015
    assert found[f"{UNIFIED}/cgroup.subtree_control"] == [b"+memory +pids +cpu"]
    assert names.index("write") < names.index("mkdirat")
    group = f"{UNIFIED}/enforcer-<id>"
    assert found[f"{group}/memory.max"] == [b"268435456"]
    assert found[f"{group}/memory.swap.max"] == [b"0"]
    assert found[f"{group}/pids.max"] == [b"64"]
    assert found[f"{group}/cpu.max"] == [b"150000 100000"]


def test_v2_attaches_a_device_program_to_the_group() -> None:
    steps = cgroups.before(NONE, (TUN,), V2)
    load, attach = (step for step in steps if step.call == "bpf")
    opened = next(step for step in steps if step.result == "cgroup")
    assert shown(opened.args[1]) == f"{UNIFIED}/enforcer-<id>"
    assert load.args[0] == 5
    assert attach.args[0] == 8
    assert isinstance(attach.args[1], Packed)
    assert attach.args[1].patches == ((0, 4, Ref("cgroup")), (4, 4, Ref("device program")))


@pytest.mark.parametrize(
    ("millicores", "period", "quota"), [(1000, 100_000, 100_000), (10, 100_000, 1_000), (1, 1_000_000, 1_000)]
)
def test_the_smallest_share_is_one_that_the_kernel_takes(millicores: int, period: int, quota: int) -> None:
    found = writes(cgroups.before(Resources(cpus=millicores), (), V2))
    assert found[f"{UNIFIED}/enforcer-<id>/cpu.max"] == [f"{quota} {period}".encode()]


@pytest.mark.parametrize("facts", [V1, V2])
def test_init_enters_every_group_and_the_launcher_keeps_no_door_to_them(facts: HostFacts) -> None:
    entered, closed = cgroups.enter(ALL, facts), cgroups.let_go(ALL, facts)
    assert {step.where for step in entered} <= {"init"}
    assert cgroups.born_inside(ALL, facts) == (facts is V2)
    if facts is V1:
        assert [step.args for step in entered] == [
            (Ref(f"tasks {n}"), b"0", 1) for n in range(len(cgroups.directories(ALL, facts)))
        ]
        assert [step.args[0] for step in closed] == [step.args[0] for step in entered]
    else:
        assert [step.args for step in closed] == [(Ref("cgroup"),)]


def test_no_descriptor_of_the_group_stays_open() -> None:
    steps = whole(ALL, (TUN,), V2)
    opened = [step.result for step in steps if step.call == "openat" or step.result == "device program"]
    closed = [step.args[0] for step in steps if step.call == "close"]
    assert sorted(closed, key=repr) == sorted((Ref(name) for name in opened), key=repr)


def test_what_is_not_bounded_makes_no_group() -> None:
    bare = replace(V1, cgroups=MappingProxyType({"memory": "/sys/fs/cgroup/memory"}))
    assert whole(NONE, (), bare) == ()
    assert whole(ALL, (), ROOTLESS) == ()
    assert whole(NONE, (), replace(V2, cgroups=MappingProxyType({}))) == ()


@pytest.mark.parametrize("facts", [V1, V2])
def test_the_steps_can_be_encoded(facts: HostFacts) -> None:
    init = Step("launcher", "clone3", (Packed(bytes(88)), 88), "", result="init")
    assert encode(
        (*cgroups.before(ALL, (TUN,), facts), init, *cgroups.let_go(ALL, facts), *cgroups.enter(ALL, facts)), "x86_64"
    )
    assert Slot("id") in [
        part for step in cgroups.before(ALL, (), facts) for arg in step.args if isinstance(arg, Text) for part in arg.parts
    ]


def test_every_bound_is_enforced_where_there_are_controllers() -> None:
    resources = replace(ALL, clauses=MappingProxyType({"resources.memory": Clause("resources.memory", "web.yaml:9:3")}))
    for facts, by in ((V1, "memory.limit_in_bytes"), (V2, "memory.max")):
        memory, pids, cpus = cgroups.decide(resources, frozenset(), facts)
        assert (memory.path, memory.place, memory.verdict) == ("resources.memory", "web.yaml:9:3", "enforced")
        assert by in memory.by
        assert (pids.verdict, cpus.verdict) == ("enforced", "enforced")
        assert pids.place == "built in"


def test_without_a_controller_memory_and_cpus_are_impossible_and_say_what_would_help() -> None:
    memory, pids, cpus = cgroups.decide(ALL, frozenset(), ROOTLESS)
    assert (memory.verdict, cpus.verdict) == ("impossible", "impossible")
    assert "systemd-run --user --scope -p Delegate=yes" in memory.why
    assert pids.verdict == "enforced"
    assert "RLIMIT_NPROC" in pids.by


@pytest.mark.parametrize(
    "changes", [{"kernel": "5.13.9"}, {"namespaces": frozenset()}, {"uid": 0, "container_ids": (0, 0)}, {"kernel": "odd"}]
)
def test_rlimit_nproc_bounds_only_where_the_kernel_counts_for_the_user_namespace(changes: dict[str, object]) -> None:
    _, pids, _ = cgroups.decide(ALL, frozenset(), replace(ROOTLESS, **changes))  # type: ignore[arg-type]
    assert pids.verdict == "impossible"


def test_unlimited_is_no_clause() -> None:
    assert cgroups.decide(NONE, frozenset(), ROOTLESS) == ()


def test_a_granted_device_names_what_keeps_the_others_away() -> None:
    device = Device("/dev/fuse", Clause("filesystem.devices[0]", "web.yaml:4:5"))
    for facts, by in ((V1, "devices.allow"), (V2, "BPF_CGROUP_DEVICE"), (ROOTLESS, "MS_NODEV")):
        (verdict,) = cgroups.decide(NONE, frozenset({device}), facts)
        assert (verdict.path, verdict.place, verdict.verdict) == ("filesystem.devices[0]", "web.yaml:4:5", "enforced")
        assert by in verdict.by
