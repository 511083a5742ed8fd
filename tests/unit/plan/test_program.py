"""The order of the launch program is the security design (architecture.md): each test here holds one part of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enforcer.plan.encoder import encode
from enforcer.plan.encoding import PSEUDO_CALLS
from enforcer.plan.step import Filter, Packed, Ref, Text
from tests.plans import HOST, SINGLE, SUBORDINATE, V1, plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enforcer.plan.step import Arg, Step

FULL = """\
run: {init: true, cwd: /srv}
capabilities: [NET_BIND_SERVICE]
filesystem:
  root: ephemeral
  mounts:
    - {bind: /srv/data, at: /data, access: write}
    - {volume: cache, at: /cache}
    - {tmpfs: true, at: /tmp, size: 1MiB}
    - {secret: token, from: "env:T", at: /run/token}
  paths: {read: [/etc], write: [/tmp], execute: [/usr]}
resources: {open_files: 64, processes: 32, scratch: 8MiB, time: 1m}
"""
PLANS = {
    "root, v2": ("", HOST),
    "root, v1": ("resources: {memory: 64MiB, pids: 9, cpus: 0.5}", V1),
    "root, everything": (FULL, V1),
    "single id": ("", SINGLE),
    "subordinate ids, everything": (FULL.replace("volume: cache", "bind: /srv/cache"), SUBORDINATE),
    "the host's namespaces": ("user_namespace: host\nnamespaces: {pid: host, uts: host}\nnetwork: {share: host}", HOST),
    "no Landlock": ("", replace(HOST, landlock_abi=0)),
}
PDEATHSIG, CAPBSET_DROP, SECUREBITS, NO_NEW_PRIVS, AMBIENT = 1, 24, 28, 38, 47


def words(step: Step) -> str:
    """A step as one word: "prctl:38"; the call alone where its first argument is no number."""
    return f"{step.call}:{step.args[0]}" if step.call == "prctl" else step.call


@pytest.fixture(name="steps", params=PLANS, scope="module")
def program(request: pytest.FixtureRequest) -> tuple[Step, ...]:
    text, facts = PLANS[request.param]
    return plan(text, facts).steps


def first(steps: tuple[Step, ...], word: str) -> int:
    return next(index for index, step in enumerate(steps) if words(step) == word)


def last(steps: tuple[Step, ...], word: str) -> int:
    return max(index for index, step in enumerate(steps) if words(step) == word)


def present(steps: tuple[Step, ...], *names: str) -> list[str]:
    return [name for name in names if any(words(step) == name for step in steps)]


def test_the_steps_that_confine_come_in_their_order(steps: tuple[Step, ...]) -> None:
    order = present(
        steps,
        "clone3",
        "keyctl",
        "pivot_root",
        "close_range",
        "landlock_create_ruleset",
        f"prctl:{CAPBSET_DROP}",
        "setresuid",
        "capset",
        f"prctl:{NO_NEW_PRIVS}",
        "landlock_restrict_self",
        "seccomp",
        "execvpe",
    )
    places = [last(steps, word) for word in order]
    assert places == sorted(places), order
    assert {"clone3", "pivot_root", "close_range", "capset", f"prctl:{NO_NEW_PRIVS}", "seccomp", "execvpe"} <= set(order)


def test_the_filter_is_the_last_thing_that_confines(steps: tuple[Step, ...]) -> None:
    """What follows it must be granted to every payload; it is the second process of `run.init`, and execve."""
    after = {step.call for step in steps[first(steps, "seccomp") + 1 :]}
    assert after <= {"clone", "reap", "rt_sigaction", "rt_sigprocmask", "execvpe"}
    assert [step.call for step in steps].count("seccomp") == 1
    assert isinstance(steps[first(steps, "seccomp")].args[2], Filter)
    assert steps[-1].call == "execvpe"


def test_the_launcher_learns_of_success_when_everything_but_the_filter_holds(steps: tuple[Step, ...]) -> None:
    ready = next(index for index, step in enumerate(steps) if step.call == "write" and step.args[:2] == (3, b"R"))
    assert ready + 1 == first(steps, "seccomp")


def test_no_privilege_is_changed_after_no_new_privs(steps: tuple[Step, ...]) -> None:
    privileged = {"setresuid", "setresgid", "setgroups", "capset", f"prctl:{CAPBSET_DROP}", f"prctl:{AMBIENT}"}
    assert not privileged & {words(step) for step in steps[first(steps, f"prctl:{NO_NEW_PRIVS}") :]}


def test_the_bounding_set_is_emptied_while_it_may_be(steps: tuple[Step, ...]) -> None:
    assert last(steps, f"prctl:{CAPBSET_DROP}") < first(steps, f"prctl:{SECUREBITS}") < last(steps, "setresuid")
    assert last(steps, "capset") > last(steps, f"prctl:{SECUREBITS}") > last(steps, "setresuid")


def test_nothing_is_opened_by_the_payloads_user_that_stays_open(steps: tuple[Step, ...]) -> None:
    """After close_range only Landlock's descriptors are opened, with O_CLOEXEC."""
    opened = [
        step for step in steps[first(steps, "close_range") :] if step.call in {"openat", "openat2", "open_tree", "socket"}
    ]
    assert {step.clause for step in opened} <= {"filesystem.paths"}
    assert all(int.from_bytes(step.args[2][:8], "little") & 0o2000000 for step in opened)  # type: ignore[index,arg-type]


def test_init_goes_on_only_when_its_ids_and_mounts_are_ready(steps: tuple[Step, ...]) -> None:
    released = next(
        index for index, step in enumerate(steps) if step.call == "write" and step.where == "launcher" and step.clause == "run"
    )
    launcher = [index for index, step in enumerate(steps) if step.where == "launcher" and step.clause != "run"]
    mapped = [index for index in launcher if steps[index].clause == "user_namespace" or steps[index].call == "mount_setattr"]
    assert all(index < released for index in mapped)
    assert released < first(steps, "read")


def test_before_init_is_made_only_the_launcher_acts(steps: tuple[Step, ...]) -> None:
    assert {step.where for step in steps[: first(steps, "clone3") + 1]} == {"launcher"}
    assert {step.where for step in steps[first(steps, "read") :]} == {"init"}


def test_nothing_of_the_host_is_named_after_the_old_root_is_gone(steps: tuple[Step, ...]) -> None:
    after = {step.call for step in steps[last(steps, "umount2") :]}
    assert not after & {"open_tree", "mount_setattr", "move_mount", "fsopen", "fsmount"}


def test_mounts_do_not_propagate_before_the_first_is_attached(steps: tuple[Step, ...]) -> None:
    private = next(
        index
        for index, step in enumerate(steps)
        if step.call == "mount_setattr" and step.where == "init" and step.args[1] == b"/"
    )
    assert private < first(steps, "move_mount")


def test_every_change_of_ids_is_followed_by_the_death_signal(steps: tuple[Step, ...]) -> None:
    after = [words(step) for step in steps[last(steps, "setresuid") :]]
    assert f"prctl:{PDEATHSIG}" in after


def test_the_working_directory_is_entered_as_the_payload_inside_its_root(steps: tuple[Step, ...]) -> None:
    """CVE-2024-21626: a directory outside the root, entered before the pivot, or through a leaked descriptor."""
    assert last(steps, "chdir") > last(steps, "setresuid") > first(steps, "pivot_root")


def names(arg: Arg) -> Iterator[str]:
    """The results that an argument uses."""
    match arg:
        case Ref(name):
            yield name
        case Text(parts):
            for part in parts:
                yield from names(part)
        case Packed(template, patches):
            yield from names(template)
            for _, _, source in patches:
                yield from names(source)


def test_every_result_is_made_before_it_is_used(steps: tuple[Step, ...]) -> None:
    made: set[str] = set()
    for step in steps:
        assert {name for arg in step.args for name in names(arg)} <= made, step
        assert set(step.needs) <= made, step
        made |= {step.result} - {""}


def test_every_step_names_a_clause_and_is_a_call_of_this_machine(steps: tuple[Step, ...]) -> None:
    for step in steps:
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+(\[\d+\])?)*", step.clause), step
        assert len(step.args) <= 6
    assert encode(steps, "x86_64")
    assert encode(steps, "aarch64")
    assert {step.call for step in steps if step.call in PSEUDO_CALLS} <= set(PSEUDO_CALLS)


def test_failures_are_tolerated_where_less_is_granted_then(steps: tuple[Step, ...]) -> None:
    """Each tolerated failure leaves the payload with no more than success would; this is all of them."""
    tolerated = {(step.call, *step.tolerate) for step in steps if step.tolerate}
    assert tolerated <= {
        ("mkdirat", "EEXIST"),  # something is there to mount on already
        ("mknodat", "EEXIST"),
        ("mount_setattr", "EINVAL"),  # not idmapped: files belong to nobody inside
        ("openat2", "ENOENT", "ENOTDIR"),  # Landlock: a path that is not there grants nothing
        ("landlock_add_rule", "EINVAL"),  # Landlock: rights of directories, for a file
        ("openat", "ENOENT"),  # optional files of the memory controller
        ("prlimit64", "EPERM"),  # the caller's own limit is lower
        ("fchown", "EPERM"),  # the host's /dev/null stays the host's
    }


@pytest.mark.parametrize(("text", "facts"), PLANS.values(), ids=PLANS)
def test_a_plan_is_a_function_of_its_inputs(text: str, facts: object) -> None:
    assert plan(text, facts).steps == plan(text, facts).steps  # type: ignore[arg-type]
