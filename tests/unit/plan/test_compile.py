"""profile.md, rule 5: what cannot be enforced as written refuses to run, unless that clause is accepted by name."""

from __future__ import annotations

from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

import pytest

from enforcer.errors import PlanError
from enforcer.oci.image import ImageConfig
from enforcer.plan.compile import enforce
from enforcer.plan.host import HostFacts
from tests.plans import HOST, NAMESPACES, SINGLE, plan, policy, subject, verdicts

BOUNDED = "resources: {memory: 64MiB, pids: 9, cpus: 1}\nfilesystem: {mounts: [{bind: /srv/d, at: /d}], paths: {read: [/etc]}}"
WITHOUT = {name: MappingProxyType({k: v for k, v in HOST.cgroups.items() if k != name}) for name in ("memory", "pids", "cpu")}
# The host's feature that is switched off → the clause that cannot hold then.
OFF: dict[str, tuple[dict[str, Any], str, str]] = {
    **{f"no {n} namespace": ({"namespaces": NAMESPACES - {n}}, f"namespaces.{n}", "impossible") for n in ("pid", "ipc", "uts")},
    "no cgroup namespace": ({"namespaces": NAMESPACES - {"cgroup"}}, "namespaces.cgroup", "impossible"),
    "no time namespace": ({"namespaces": NAMESPACES - {"time"}}, "namespaces.time", "impossible"),
    "no user namespace": ({"namespaces": NAMESPACES - {"user"}}, "user_namespace", "impossible"),
    "no mount namespace": ({"namespaces": NAMESPACES - {"mount"}}, "namespaces", "impossible"),
    "no network namespace": ({"namespaces": NAMESPACES - {"net"}}, "network.share", "impossible"),
    "no clone3": ({"clone3": False}, "namespaces", "impossible"),
    "no pidfd": ({"pidfd": False}, "namespaces", "impossible"),
    "no close_range": ({"close_range": False}, "namespaces", "impossible"),
    "no overlay": ({"overlay": False}, "filesystem.root", "impossible"),
    "no mount API": ({"new_mount_api": False}, "filesystem.root", "impossible"),
    "no openat2": ({"openat2": False}, "filesystem.root", "impossible"),
    "no subset=pid": ({"proc_subset": False}, "filesystem.root", "impossible"),
    "no idmapped mounts": ({"idmapped_mounts": False}, "filesystem.mounts[0]", "weaker"),
    "no Landlock": ({"landlock_abi": 0}, "filesystem.paths", "impossible"),
    "no seccomp": ({"seccomp_filter": False}, "syscalls", "impossible"),
    "no ambient set": ({"ambient_capabilities": False}, "capabilities", "impossible"),
    "no no_new_privs": ({"no_new_privs": False}, "capabilities", "impossible"),
    "no session keyring": ({"session_keyring": False}, "namespaces", "impossible"),
    "no ids left": ({"container_ids": (0, 0)}, "user_namespace", "impossible"),
    "no memory controller": ({"cgroups": WITHOUT["memory"]}, "resources.memory", "impossible"),
    "no cpu controller": ({"cgroups": WITHOUT["cpu"]}, "resources.cpus", "impossible"),
    "no pids controller, old kernel": ({"cgroups": WITHOUT["pids"], "kernel": "5.10.0"}, "resources.pids", "impossible"),
}
# Facts that no clause's verdict depends on: what they change is how, not whether (the planner takes another way).
OTHER_WAYS = {
    "machine",  # seccomp.decide refuses others
    "uid",
    "gid",
    "capabilities",  # with user_namespace: host (test_capabilities)
    "subordinate_uids",  # test_userns
    "subordinate_gids",
    "newuidmap",
    "newgidmap",
    "overlay_userxattr",
    "seccomp_actions",
    "cgroup_layout",
    "cgroup_v2",
    "tun",
    "last_capability",
    "other_groups",  # test_userns: weaker
    "rootful",
    "kernel",
}


@pytest.mark.parametrize(("change", "path", "verdict"), OFF.values(), ids=OFF)
def test_each_missing_feature_refuses_and_names_its_clause(change: dict[str, Any], path: str, verdict: str) -> None:
    host = replace(HOST, **change)
    found = verdicts(BOUNDED, host)
    assert found[path].verdict == verdict
    assert found[path].why
    with pytest.raises(PlanError) as caught:
        plan(BOUNDED, host)
    assert f"--accept-weaker {path}" in caught.value.hint
    assert f"{found[path].place}: {path} is {verdict} here" in caught.value.excerpt


def test_every_feature_is_switched_off_once() -> None:
    switched = {name for change, _, _ in OFF.values() for name in change}
    assert switched | OTHER_WAYS == {item.name for item in fields(HostFacts)}


def test_where_everything_works_every_clause_is_enforced() -> None:
    assert {one.verdict for one in verdicts(BOUNDED).values()} == {"enforced"}
    assert plan(BOUNDED).steps


def test_an_accepted_clause_runs_and_no_other_does() -> None:
    host = replace(HOST, idmapped_mounts=False, landlock_abi=0)
    with pytest.raises(PlanError, match=r"1 of \d+ clauses"):
        plan(BOUNDED, host, accepted=["filesystem.paths"])
    assert plan(BOUNDED, host, accepted=["filesystem.paths", "filesystem.mounts[0]"]).steps


@pytest.mark.parametrize("accepted", ["filesystem.path", "filesystem.mounts[1]", "*", ""])
def test_accepting_what_is_no_clause_is_refused(accepted: str) -> None:
    with pytest.raises(PlanError, match="no clause of this policy") as caught:
        plan(BOUNDED, replace(HOST, landlock_abi=0), accepted=[accepted])
    assert "filesystem.paths" in caught.value.hint


def test_accepting_what_holds_changes_nothing() -> None:
    assert plan(BOUNDED, accepted=["filesystem.paths"]).steps == plan(BOUNDED).steps


def test_root_must_be_written() -> None:
    with pytest.raises(PlanError, match="1 of") as caught:
        plan("run: {user: image}", user=(0, 0))
    assert "root must be written" in caught.value.excerpt
    assert plan("run: {user: '0:0'}", user=(0, 0)).steps


@pytest.mark.parametrize("ids", [{"user": (65536, 1)}, {"user": (1, 65536)}, {"groups": (1, 70000)}])
def test_an_id_beyond_the_map_is_impossible(ids: dict[str, Any]) -> None:
    assert verdicts("run: {user: image}", **ids)["run.user"].verdict == "impossible"
    assert verdicts("run: {user: image}", user=(65535, 65535))["run.user"].verdict == "enforced"


def test_phases_are_impossible_until_they_can_be_enforced() -> None:
    text = "phases: {ready: {port: 80}, then: {syscalls: {deny: [execve]}}}"
    assert verdicts(text)["phases"].verdict == "impossible"


def test_a_filter_that_lets_nothing_start_is_impossible() -> None:
    assert verdicts("syscalls: {base: none, allow: [read]}")["syscalls"].verdict == "impossible"
    assert verdicts("syscalls: {base: none, allow: [read], violation: complain}")["syscalls"].verdict == "enforced"


def test_a_pid_1_that_could_not_do_its_work_is_impossible() -> None:
    reaped = "run: {init: true}\nsyscalls: {deny: [wait4]}\n"
    found = verdicts(reaped)["run.init"]
    assert found.verdict == "impossible"
    assert "wait4" in found.why
    assert "run.init" not in verdicts("run: {init: true}")
    assert "run.init" not in verdicts(reaped.replace("true", "false"))


def test_a_bind_whose_filesystem_cannot_be_idmapped_is_weaker() -> None:
    asked = policy("filesystem: {mounts: [{bind: /srv/d, at: /d}, {bind: /srv/e, at: /e}]}")
    target = subject(asked)
    target = replace(target, files=replace(target.files, unmapped=frozenset({"/srv/e"})))
    found = {one.path: one.verdict for one in enforce(asked, target, HOST)}
    assert (found["filesystem.mounts[0]"], found["filesystem.mounts[1]"]) == ("enforced", "weaker")


def test_another_machine_is_refused() -> None:
    with pytest.raises(PlanError, match="riscv64"):
        plan("", replace(HOST, machine="riscv64"))


def test_variables_are_the_images_then_the_profiles() -> None:
    config = ImageConfig(cmd=("/bin/true",), env=("PATH=/image", "LANG=C", "A=1"))
    found = dict(plan("environment: {set: {A: '2', B: '3'}}", config=config, home="/home/x").environment)
    assert found == {"PATH": "/image", "HOME": "/home/x", "LANG": "C", "A": "2", "B": "3"}
    assert dict(plan(terminal=True).environment)["TERM"] == "xterm"


@pytest.mark.parametrize(("text", "image", "cwd"), [("", "", "/"), ("", "/srv", "/srv"), ("run: {cwd: /app}", "/srv", "/app")])
def test_the_working_directory_is_the_profiles_then_the_images(text: str, image: str, cwd: str) -> None:
    assert plan(text, config=ImageConfig(cmd=("/bin/true",), working_dir=image)).cwd == cwd


def test_the_command_line_is_dockers() -> None:
    config = ImageConfig(entrypoint=("/entry", "-x"), cmd=("default",))
    assert subject(policy(), config=config).arguments == ["/entry", "-x", "default"]
    assert subject(policy(), config=config, command=("given",)).arguments == ["/entry", "-x", "given"]


def test_an_ordinary_user_gets_the_same_profile_enforced() -> None:
    assert {one.verdict for one in verdicts("", SINGLE).values()} == {"enforced"}
