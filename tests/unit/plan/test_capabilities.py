from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from enforcer.plan import capabilities
from enforcer.plan.step import Packed, Step
from enforcer.policy.names import CAPABILITIES
from enforcer.policy.profile import Capability, Clause
from tests.plans import HOST

LAST = 40
USER = (65532, 65532)


def granted(*names: str) -> frozenset[Capability]:
    return frozenset(Capability(name, Clause(f"capabilities[{name}]", "x.yaml:1:1")) for name in names)


def steps(*names: str, last: int = LAST, single: bool = False, groups: tuple[int, ...] = ()) -> tuple[Step, ...]:
    return capabilities.steps(granted(*names), USER, groups, last, single=single)


def sets(step: Step) -> tuple[set[str], set[str], set[str]]:
    """Effective, permitted and inheritable names of a capset(2), as struct __user_cap_data_struct[2] has them."""
    header, data = step.args
    assert isinstance(header, Packed)
    assert isinstance(data, bytes)
    assert header.template == bytes.fromhex("22050820") + bytes(4)  # _LINUX_CAPABILITY_VERSION_3, this thread
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, 24, 4)]
    low, high = words[:3], words[3:]
    effective, permitted, inheritable = (
        {name for number, name in enumerate(CAPABILITIES) if (one | two << 32) >> number & 1}
        for one, two in zip(low, high, strict=True)
    )
    return effective, permitted, inheritable


def prctls(found: tuple[Step, ...], option: int) -> list[tuple[object, ...]]:
    return [step.args[1:] for step in found if step.call == "prctl" and step.args[0] == option]


def test_numbers_are_the_kernels() -> None:
    """include/uapi/linux/capability.h."""
    known = {"CHOWN": 0, "SETPCAP": 8, "NET_BIND_SERVICE": 10, "SYS_ADMIN": 21, "SYSLOG": 34, "CHECKPOINT_RESTORE": 40}
    assert {name: CAPABILITIES.index(name) for name in known} == known
    assert len(CAPABILITIES) == LAST + 1


def test_without_a_grant_nothing_is_left_in_any_set() -> None:
    found = steps()
    assert [args[0] for args in prctls(found, capabilities.PR_CAPBSET_DROP)] == list(range(LAST + 1))
    assert prctls(found, capabilities.PR_CAP_AMBIENT) == [(capabilities.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)]
    assert sets(found[-1]) == (set(), set(), set())


@pytest.mark.parametrize("last", [31, 36, 40, 44, 62])
def test_every_capability_that_the_kernel_knows_leaves_the_bounding_set(last: int) -> None:
    dropped = [args[0] for args in prctls(steps(last=last), capabilities.PR_CAPBSET_DROP)]
    assert dropped == list(range(last + 1))


@pytest.mark.parametrize("names", [*itertools.combinations(("CHOWN", "NET_RAW", "PERFMON"), 2), ("SETPCAP",), ("SYSLOG",)])
def test_what_is_granted_and_no_more_is_in_every_set(names: tuple[str, ...]) -> None:
    found = steps(*names)
    dropped = {args[0] for args in prctls(found, capabilities.PR_CAPBSET_DROP)}
    assert dropped == {number for number, name in enumerate(CAPABILITIES) if name not in names}
    raised = [args[1] for args in prctls(found, capabilities.PR_CAP_AMBIENT) if args[0] == capabilities.PR_CAP_AMBIENT_RAISE]
    assert {CAPABILITIES[number] for number in raised if isinstance(number, int)} == set(names)
    assert sets(found[-1]) == (set(names), set(names), set(names))


def test_setpcap_is_held_only_while_the_ambient_set_is_locked() -> None:
    first, last = [sets(step) for step in steps("CHOWN") if step.call == "capset"]
    assert first == ({"CHOWN", "SETPCAP"}, {"CHOWN", "SETPCAP"}, {"CHOWN"})
    assert last == ({"CHOWN"}, {"CHOWN"}, {"CHOWN"})


def test_securebits_are_locked_before_ids_change_and_end_with_the_ambient_lock() -> None:
    found = steps("CHOWN")
    bits = [args[0] for args in prctls(found, capabilities.PR_SET_SECUREBITS)]
    # SECBIT_NOROOT, NO_SETUID_FIXUP with their locks, KEEP_CAPS_LOCKED; then NO_CAP_AMBIENT_RAISE with its lock
    assert bits == [0b00101111, 0b11101111]
    order = [step.call if step.call != "prctl" else step.args[0] for step in found]
    assert order.index(capabilities.PR_SET_SECUREBITS) < order.index("setgroups") < order.index("setresuid")
    assert order[-2:] == [capabilities.PR_SET_SECUREBITS, "capset"]


def test_the_payload_has_exactly_its_ids_and_groups() -> None:
    found = {step.call: step.args for step in steps(groups=(4, 70000))}
    assert found["setgroups"] == (2, bytes.fromhex("04000000 70110100"))
    assert found["setresgid"] == (65532,) * 3
    assert found["setresuid"] == (65532,) * 3


def test_a_single_id_map_cannot_set_groups() -> None:
    """user_namespaces(7): setgroups is denied there, and the planner says `weaker` when it matters (userns.decide)."""
    assert "setgroups" not in {step.call for step in steps(single=True)}


def verdict(name: str, *, host_users: bool, **facts: object) -> tuple[str, str]:
    found = capabilities.decide(granted(name), replace(HOST, **facts), host_users=host_users)  # type: ignore[arg-type]
    return found[1].verdict, found[1].why


def test_a_capability_that_means_nothing_in_a_user_namespace_is_impossible_there() -> None:
    said, why = verdict("SYS_MODULE", host_users=False)
    assert said == "impossible"
    assert "user_namespace: host" in why
    assert verdict("NET_ADMIN", host_users=False)[0] == "enforced"


def test_with_the_hosts_users_a_capability_must_be_the_launchers_own() -> None:
    assert verdict("SYS_MODULE", host_users=True)[0] == "impossible"
    assert verdict("SYS_MODULE", host_users=True, capabilities=frozenset({"SYS_MODULE"}))[0] == "enforced"


def test_without_ambient_capabilities_nothing_holds() -> None:
    (found,) = capabilities.decide(frozenset(), replace(HOST, ambient_capabilities=False), host_users=False)
    assert (found.verdict, found.path) == ("impossible", "capabilities")
