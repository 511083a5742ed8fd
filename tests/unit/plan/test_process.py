from __future__ import annotations

import pytest

from enforcer.plan import process
from enforcer.plan.step import Ref, Slot, Step, Strings
from enforcer.policy.profile import Clause, Resources

NOFILE, NPROC, CORE, NICE, RTPRIO, MSGQUEUE = 7, 6, 4, 13, 14, 12  # asm-generic/resource.h


def limits(resources: Resources, *, by_rlimit: bool = False) -> dict[object, int]:
    found = {}
    for step in process.limits(resources, pids_by_rlimit=by_rlimit):
        pair = step.args[2]
        assert isinstance(pair, bytes)
        assert pair[:8] == pair[8:]
        found[step.args[1]] = int.from_bytes(pair[:8], "little")
    return found


def test_what_is_never_wanted_is_always_limited() -> None:
    """RLIMIT_CORE is 1: at 0 a core pattern that is a pipe starts a program on the host all the same (core(5))."""
    assert limits(Resources()) == {CORE: 1, NICE: 0, RTPRIO: 0, MSGQUEUE: 0}


@pytest.mark.parametrize(
    ("resources", "by_rlimit", "processes"),
    [
        (Resources(processes=9), False, 9),
        (Resources(processes=9, pids=5), False, 9),
        (Resources(processes=9, pids=5), True, 5),
        (Resources(processes=4, pids=5), True, 4),
        (Resources(pids=5), True, 5),
        (Resources(pids=5), False, None),
    ],
)
def test_processes_are_bounded_by_the_lower_of_both(resources: Resources, by_rlimit: bool, processes: int | None) -> None:  # noqa: FBT001
    assert limits(resources, by_rlimit=by_rlimit).get(NPROC) == processes


def test_open_files_are_bounded() -> None:
    assert limits(Resources(open_files=64))[NOFILE] == 64


def test_each_bound_is_decided_at_its_clause() -> None:
    clause = Clause("resources.time", "x.yaml:9:3")
    found = process.decide(Resources(time=5, clauses={"resources.time": clause}))
    assert [(one.path, one.place, one.verdict) for one in found] == [("resources.time", "x.yaml:9:3", "enforced")]
    assert process.decide(Resources()) == ()


def test_init_dies_with_its_launcher_also_when_that_died_before() -> None:
    *before, last = process.wait_for_launcher()
    assert (1, 9) in [step.args[:2] for step in before]  # PR_SET_PDEATHSIG, SIGKILL
    assert (last.call, last.expect) == ("read", 1)
    assert process.release_init()[0].expect == 1


@pytest.mark.parametrize("steps", [process.root_ids(single=False), process.enter("/")])
def test_the_death_signal_is_set_again_after_ids_change(steps: tuple[Step, ...]) -> None:
    """prctl(2): setresuid clears it."""
    changed = max((index for index, step in enumerate(steps) if step.call == "setresuid"), default=-1)
    assert (1, 9) in [step.args[:2] for step in steps[changed + 1 :]]


def test_where_one_id_is_mapped_it_stays() -> None:
    assert "setresuid" not in [step.call for step in process.root_ids(single=True)]


def test_nothing_of_the_caller_is_kept() -> None:
    found = process.detach()
    assert {step.call for step in found} >= {"setsid", "keyctl", "umask"}
    assert next(step.args for step in found if step.call == "prctl")[:2] == (4, 0)  # PR_SET_DUMPABLE


def test_only_granted_descriptors_stay() -> None:
    found = process.descriptors((7, 8), terminal=False, give=False)
    assert [step.args[:2] for step in found if step.call == "dup3"] == [
        (Slot("stdin"), 0),
        (Slot("stdout"), 1),
        (Slot("stderr"), 2),
        (Slot("status"), 3),
    ]
    assert found[-1].args == (4, 0xFFFFFFFF, 0)
    assert found[-2].args[2] == 0o2000000  # O_CLOEXEC: the payload does not get it


def test_init_gives_the_streams_to_the_payloads_user_where_the_launcher_could_not() -> None:
    """Who may not own its pipes cannot open /dev/stdout; /dev/null stays the host's (EPERM), and everybody can open it."""
    found = [step for step in process.descriptors((7, 8), terminal=False, give=True) if step.call == "fchown"]
    assert [(step.args, step.tolerate) for step in found] == [((number, 7, 8), ("EPERM",)) for number in range(3)]
    assert "fchown" not in [step.call for step in process.descriptors((7, 8), terminal=False, give=False)]


def test_the_launcher_learns_that_only_execve_is_left() -> None:
    assert (process.ready().args, process.ready().expect) == ((3, b"R", 1), 1)


def test_a_terminal_is_the_containers_own_and_controls_it() -> None:
    found = process.descriptors((7, 8), terminal=True, give=False)
    assert [step.args[0] for step in found if step.call == "dup3"][:3] == [Ref("terminal")] * 3
    assert any(step.call == "ioctl" and step.args[1] == 0x540E for step in found)
    opened = process.terminal((7, 8))
    assert opened[0].args[1] == b"/dev/pts/ptmx"
    assert [step.args[1:] for step in opened if step.call == "fchown"] == [(7, 8)]
    assert opened[-1].call == "sendmsg"


def signals(steps: tuple[Step, ...]) -> set[object]:
    return {step.args[0] for step in steps if step.call == "rt_sigaction"}


def test_every_signal_has_its_default_again() -> None:
    assert signals(process.signals()) == set(range(1, 65)) - {9, 19}
    assert process.signals()[-1].call == "rt_sigprocmask"


@pytest.mark.parametrize("reaper", [True, False])
def test_the_last_step_is_the_payload(reaper: bool) -> None:  # noqa: FBT001
    found = list(process.become(reaper=reaper))
    assert found[-1].call == "execvpe"
    assert found[-1].args == (Slot("programs"), Strings("argv"), Strings("environment"))
    assert ([step.call for step in found[:2]] == ["clone", "reap"]) == reaper
    assert bool(signals(tuple(found))) == reaper
