from __future__ import annotations

from dataclasses import replace

import pytest

from enforcer.errors import ProfileError
from enforcer.policy.compare import covers
from enforcer.policy.parse import parse_profile
from enforcer.policy.profile import ArgumentCondition, Clause, Policy, Profile, Run
from enforcer.policy.resolve import MAX_DEPTH, Resolution, from_command_line, resolve

BASES = {
    "base/minimal": "syscalls: {base: none, allow: [read, write, exit_group]}",
    "base/default": "syscalls: {base: minimal, allow: [openat, execve]}",
    "base/moby": "syscalls: {base: none, allow: [mount]}",
    "base/python": "name: python\nsyscalls: {base: default}\nresources: {memory: 256MiB, pids: 64}\nrun: {init: true, user: 7}",
}


def parse(text: str, source: str = "x.yaml") -> Profile:
    return parse_profile(f"profile: enforcer/v1\n{text}".encode(), source)


def no_file(path: str, clause: Clause) -> bytes:
    raise ProfileError(f"no file {path}", where=clause.place)


def resolved(text: str | Profile, bases: dict[str, str] | None = None, **more: Profile | str | None) -> Resolution:
    known = BASES | (bases or {})

    def load(name: str, clause: Clause) -> Profile:
        if name not in known:
            raise ProfileError(f"no base {name}", where=clause.place)
        return parse(known[name], f"{name}.yaml")

    profile = parse(text) if isinstance(text, str) else text
    return resolve(profile, load_base=load, read_file=no_file, **more)  # type: ignore[arg-type]


def policy(text: str | Profile, bases: dict[str, str] | None = None, **more: Profile | str | None) -> Policy:
    return resolved(text, bases, **more).policy


def names(found: Policy) -> set[str]:
    return set(found.syscalls.allowed)


def refusal(text: str | Profile, bases: dict[str, str] | None = None, **more: Profile | str | None) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        resolved(text, bases, **more)
    return caught.value


def test_an_empty_profile_has_the_minimal_system_calls_and_nothing_else() -> None:
    found = policy("")
    assert names(found) == {"read", "write", "exit_group"}
    assert found.run == Run("65532:65532", root=False, init=False, cwd=None)
    assert (found.capabilities, found.filesystem.mounts, found.filesystem.devices) == (frozenset(), frozenset(), frozenset())
    assert found.filesystem.root == "read-only"
    assert (found.network.egress, found.network.ingress, found.network.share) == (frozenset(), frozenset(), "none")
    assert {getattr(found.namespaces, kind) for kind in ("user", "pid", "ipc", "uts", "cgroup", "time")} == {"private"}
    assert found.syscalls.violation == "errno EPERM"
    assert not found.syscalls.architectures
    assert found.resources.memory is None
    for right in ("read", "write", "execute"):
        assert {grant.path for grant in getattr(found.filesystem.paths, right)} == {"/"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("syscalls: {base: none}", set()),
        ("syscalls: {base: none, allow: [bpf]}", {"bpf"}),
        ("syscalls: {allow: [bpf]}", {"read", "write", "exit_group", "bpf"}),
        ("syscalls: {base: default}", {"read", "write", "exit_group", "openat", "execve"}),
        ("syscalls: {base: moby}", {"mount"}),
        ("extends: base/python", {"read", "write", "exit_group", "openat", "execve"}),
        (
            "extends: base/python\nsyscalls: {base: none, allow: [bpf]}",
            {"read", "write", "exit_group", "openat", "execve", "bpf"},
        ),
        ("extends: base/python\nsyscalls: {base: moby}", {"read", "write", "exit_group", "openat", "execve", "mount"}),
        ("extends: base/python\nsyscalls: {deny: [openat, bpf]}", {"read", "write", "exit_group", "execve"}),
        ("syscalls: {deny: [read]}", {"write", "exit_group"}),
        ("syscalls: {allow: [bpf], deny: [bpf]}", {"read", "write", "exit_group"}),
        ("extends: silent", {"write", "exit_group", "bpf"}),
        ("extends: silent\nsyscalls: {base: moby}", {"bpf", "mount"}),
        ("extends: [silent, base/moby]", {"bpf", "mount"}),
    ],
)
def test_where_system_calls_come_from(text: str, expected: set[str]) -> None:
    assert names(policy(text, {"silent": "syscalls: {allow: [bpf], deny: [read]}"})) == expected


def test_a_denial_does_not_reach_beyond_its_own_profile() -> None:
    bases = {"a": "syscalls: {base: none, allow: [bpf], deny: [bpf]}", "b": "syscalls: {base: none, allow: [bpf]}"}
    assert names(policy("extends: [a, b]", bases)) == {"bpf"}
    assert names(policy("extends: a\nsyscalls: {allow: [bpf]}", bases)) == {"bpf"}


def test_grants_are_united() -> None:
    bases = {
        "a": "capabilities: [KILL]\nresources: {memory: 1GiB}\nfilesystem: {mounts: [{volume: v, at: /v, access: read}]}",
        "b": "capabilities: [CHOWN]\nresources: {memory: 2GiB, pids: 5}\nnetwork: {egress: [{host: a.b, ports: [1]}]}",
    }
    files = "filesystem: {root: ephemeral, mounts: [{volume: v, at: /v, access: write}]}"
    found = policy(f"extends: [a, b]\nresources: {{memory: 1MiB}}\n{files}", bases)
    assert {capability.name for capability in found.capabilities} == {"KILL", "CHOWN"}
    assert (found.resources.memory, found.resources.pids, found.resources.cpus) == (2 << 30, 5, None)
    assert [(mount.at, mount.access) for mount in found.filesystem.mounts] == [("/v", "write")]
    assert found.filesystem.root == "ephemeral"
    assert [egress.target for egress in found.network.egress] == ["a.b"]


def test_what_is_unsaid_is_the_others() -> None:
    bases = {"a": "filesystem: {paths: {read: [/a]}}\nphases: {ready: {port: 1}, then: {syscalls: {deny: [read]}}}"}
    found = policy("extends: [a, base/python]", bases)
    assert {grant.path for grant in found.filesystem.paths.read} == {"/a"}
    assert found.filesystem.paths.write == frozenset()
    assert found.resources.pids == 64
    assert found.phases is not None
    assert found.phases.deny_syscalls == {"read"}


def test_settings_are_the_most_derived_profiles() -> None:
    bases = {
        "a": "extends: base/python\nrun: {cwd: /a}\nenvironment: {set: {A: a, B: a}}\nsyscalls: {violation: kill}",
    }
    found = policy("name: own\nextends: a\nrun: {user: 5:6}\nenvironment: {set: {A: own}}", bases)
    assert (found.name, found.run) == ("own", Run("5:6", root=False, init=True, cwd="/a"))
    assert dict(found.environment.fixed) == {"A": "own", "B": "a"}
    assert found.syscalls.violation == "kill"
    assert policy("extends: a", bases).name == "python"
    assert policy("extends: a\nsyscalls: {violation: errno EPERM}", bases).syscalls.violation == "errno EPERM"


def test_root_is_granted_only_by_the_user_that_runs() -> None:
    assert policy("run: {user: 0:0}").run.root
    assert policy("run: {user: 0}").run.root
    assert not policy("run: {user: image}").run.root
    assert not policy("extends: a\nrun: {user: 5}", {"a": "run: {user: 0}"}).run.root
    assert policy("extends: a", {"a": "run: {user: 0}"}).run.root


def test_complain_is_a_grant() -> None:
    found = policy("extends: a\nsyscalls: {violation: kill}", {"a": "syscalls: {violation: complain}"})
    assert found.syscalls.violation == "complain"


def test_relative_sources_start_from_the_profiles_own_directory() -> None:
    bind = "filesystem: {mounts: [{bind: ./data, at: /data}]}"
    assert [mount.source for mount in policy(bind, directory="/srv/app").filesystem.mounts] == ["/srv/app/data"]
    assert [mount.source for mount in policy(replace(parse(bind), directory="/own")).filesystem.mounts] == ["/own/data"]
    assert refusal("extends: a", {"a": bind}).where == "a.yaml:2:23"


def test_two_things_at_one_place_are_refused_with_both_places() -> None:
    bases = {"a": "filesystem: {mounts: [{volume: v, at: /v}]}"}
    error = refusal("extends: a\nfilesystem: {mounts: [{volume: w, at: /v}]}", bases)
    assert "x.yaml:3:23" in error.why
    assert "a.yaml:2:23" in error.why


def test_a_mount_inside_another_stays() -> None:
    mounts = "filesystem: {mounts: [{bind: /d, at: /d, access: write}, {bind: /d/ro, at: /d/ro}]}"
    ceiling = parse("filesystem: {mounts: [{bind: /, at: /d, access: write}]}", "c.yaml")
    for found in (policy(mounts), policy(f"extends: base/python\n{mounts}"), policy(mounts, ceiling=ceiling)):
        assert {(mount.at, mount.access) for mount in found.filesystem.mounts} == {("/d", "write"), ("/d/ro", "read")}


@pytest.mark.parametrize(
    ("bases", "chain"),
    [
        ({"a": "extends: b", "b": "extends: a"}, "x.yaml → a → b → a"),
        ({"a": "extends: a"}, "x.yaml → a → a"),
        ({"a": "extends: [base/minimal, b]", "b": "extends: c", "c": "extends: b"}, "x.yaml → a → b → c → b"),
        ({"a": "syscalls: {base: default}", "base/default": "extends: a"}, "base/default → a → base/default"),
        ({"a": "", "base/minimal": "name: m"}, "base/minimal → base/minimal"),
    ],
)
def test_cycles_name_their_chain(bases: dict[str, str], chain: str) -> None:
    error = refusal("extends: a", bases)
    assert "stands on itself" in error.what
    assert error.why == chain


def test_the_depth_is_limited() -> None:
    bases = {f"b{level}": f"extends: b{level + 1}\nname: l{level}" for level in range(20)}
    assert policy("extends: b1", bases | {f"b{MAX_DEPTH}": "name: last"}).name == "l1"
    error = refusal("extends: b1", bases | {f"b{MAX_DEPTH + 1}": "name: last"})
    assert "more than 8 bases" in error.what


def test_the_depth_counts_what_is_known_already() -> None:
    bases = {f"b{level}": f"extends: b{level + 1}" for level in range(1, 5)} | {"b5": "name: last"}
    bases |= {f"c{level}": f"extends: c{level + 1}" for level in range(1, 5)} | {"c5": "extends: b1"}
    assert "more than 8 bases" in refusal("extends: [b1, c1]", bases).what


def test_many_paths_to_one_base_cost_nothing() -> None:
    """Eight levels of sixteen bases each are 16^8 paths to 128 profiles."""
    bases = {
        f"l{level}-{n}": f"extends: [{', '.join(f'l{level + 1}-{m}' for m in range(16))}]"
        for level in range(7)
        for n in range(16)
    }
    bases |= {f"l7-{n}": "capabilities: [KILL]" for n in range(16)}
    assert len(policy("extends: l0-0", bases).capabilities) == 1


def test_a_missing_base_is_the_loaders_error() -> None:
    assert refusal("extends: nowhere").where == "x.yaml:2:1"


def test_phases_replace_those_of_a_base_and_two_bases_disagree() -> None:
    after = "phases: {{ready: {{port: {}}}, then: {{syscalls: {{deny: [read]}}}}}}"
    bases = {"a": after.format(1), "b": after.format(2)}
    found = policy("extends: [a, b]\n" + after.format(3), bases)
    assert found.phases is not None
    assert found.phases.ready == ("port", "3")
    assert "in different ways" in refusal("extends: [a, b]", bases).what


def test_a_phase_only_ends_rights() -> None:
    then = "phases: {ready: {port: 1}, then: {network: {egress: [{host: a.b, ports: [443]}]}}}"
    assert "begins when the application is ready" in refusal(then).what
    assert policy("network: {egress: [{host: '*.b', ports: [443]}]}\n" + then).phases is not None


def test_the_command_line_is_one_more_base() -> None:
    extra = from_command_line(["pypi.org:443"], ["/etc/ssl"], ["/srv"])
    found = policy("name: own", command_line=extra)
    assert found.name == "own"
    assert [egress.target for egress in found.network.egress] == ["pypi.org"]
    assert {(mount.at, mount.source, mount.access) for mount in found.filesystem.mounts} == {
        ("/etc/ssl", "/etc/ssl", "read"),
        ("/srv", "/srv", "write"),
    }
    assert {mount.clause.place for mount in found.filesystem.mounts} == {"command line"}
    assert {grant.path for grant in found.filesystem.paths.read} == {"/"}


def test_the_command_lines_mounts_are_reachable_through_paths() -> None:
    found = policy("filesystem: {paths: {read: [/a]}}", command_line=from_command_line([], ["/r"], ["/w"]))
    assert {grant.path for grant in found.filesystem.paths.read} == {"/a", "/r", "/w"}
    assert {grant.path for grant in found.filesystem.paths.write} == {"/w"}


def test_the_command_line_adds_no_system_calls() -> None:
    assert names(policy("syscalls: {base: none}", command_line=from_command_line(["a.b:1"]))) == set()


CEILING = """\
run: {user: 1000}
syscalls: {base: minimal, deny: [write]}
capabilities: [KILL]
filesystem: {mounts: [{bind: /data, at: /data, access: read}]}
network: {egress: [{cidr: 10.0.0.0/8, ports: [443]}]}
resources: {memory: 1MiB}
"""

WIDE = """\
run: {user: 0}
environment: {pass: [LANG]}
syscalls: {allow: [bpf], architectures: [x86]}
capabilities: [KILL, SYS_ADMIN]
filesystem: {root: ephemeral, devices: [/dev/fuse], mounts: [{bind: /data/a, at: /data/a, access: write}, {volume: v, at: /v}]}
network: {egress: [{cidr: 10.1.0.0/16, ports: [443, 80]}, {host: a.b, ports: [1]}], ingress: [{port: 80}]}
namespaces: {pid: host}
user_namespace: host
resources: {memory: 2MiB}
phases: {ready: {port: 80}, then: {syscalls: {deny: [read]}}}
"""


def test_the_ceiling_bounds_everything() -> None:
    ceiling = parse(CEILING, "ceiling.yaml")
    found, bound = policy(WIDE, ceiling=ceiling), policy(ceiling)
    assert covers(bound, found) == ()
    assert covers(policy(WIDE), found) == ()
    assert names(found) == {"read", "exit_group"}
    assert found.run == Run("65532:65532")
    assert {(mount.at, mount.access) for mount in found.filesystem.mounts} == {("/data/a", "read")}


def test_every_lost_grant_is_a_narrowing_with_both_clauses() -> None:
    narrowings = resolved(WIDE, ceiling=parse(CEILING, "ceiling.yaml")).narrowings
    found = {(narrowing.granted.place, narrowing.bounded_by.path, narrowing.bounded_by.place) for narrowing in narrowings}
    assert found == {
        ("base/minimal.yaml:2:38", "syscalls", "ceiling.yaml:3:1"),
        ("x.yaml:2:7", "run.user", "ceiling.yaml:2:7"),
        ("x.yaml:3:22", "environment.pass", "ceiling.yaml:1:1"),
        ("x.yaml:4:20", "syscalls", "ceiling.yaml:3:1"),
        ("x.yaml:4:1", "syscalls.architectures", "ceiling.yaml:3:1"),
        ("x.yaml:5:22", "capabilities", "ceiling.yaml:4:1"),
        ("x.yaml:6:14", "filesystem.root", "ceiling.yaml:5:1"),
        ("x.yaml:6:41", "filesystem.devices", "ceiling.yaml:5:1"),
        ("x.yaml:6:62", "filesystem.mounts", "ceiling.yaml:5:14"),
        ("x.yaml:6:107", "filesystem.mounts", "ceiling.yaml:5:14"),
        ("x.yaml:7:20", "network.egress", "ceiling.yaml:6:11"),
        ("x.yaml:7:59", "network.egress", "ceiling.yaml:6:11"),
        ("x.yaml:7:95", "network.ingress", "ceiling.yaml:6:1"),
        ("x.yaml:8:14", "namespaces.pid", "ceiling.yaml:1:1"),
        ("x.yaml:9:1", "user_namespace", "ceiling.yaml:1:1"),
        ("x.yaml:10:13", "resources.memory", "ceiling.yaml:7:13"),
    }
    assert len(narrowings) == 16
    assert [narrowing.granted.place for narrowing in narrowings][-2:] == ["x.yaml:9:1", "x.yaml:10:13"]
    assert all(narrowing.what for narrowing in narrowings)


def test_a_ceiling_above_takes_nothing() -> None:
    ceiling = parse(WIDE + "name: top", "ceiling.yaml")
    assert resolved(WIDE, ceiling=ceiling) == Resolution(policy(WIDE), ())


def test_the_ceiling_gives_nothing_not_even_settings() -> None:
    ceiling = parse("run: {user: 0, init: true, cwd: /x}\nenvironment: {set: {A: b}}\ncapabilities: [KILL]", "ceiling.yaml")
    assert resolved("", ceiling=ceiling) == Resolution(policy(""), ())


def test_the_command_line_is_under_the_ceiling() -> None:
    extra = from_command_line(["pypi.org:443"], ["/etc"])
    result = resolved("", command_line=extra, ceiling=parse("", "ceiling.yaml"))
    assert result.policy == policy("")
    assert [narrowing.granted.place for narrowing in result.narrowings] == ["command line", "command line"]


def test_a_ceiling_that_would_uncover_is_refused() -> None:
    own = "filesystem: {mounts: [{bind: /d, at: /d}, {tmpfs: true, at: /d/secret, size: 1MiB}]}"
    error = refusal(own, ceiling=parse("filesystem: {mounts: [{bind: /d, at: /d}]}", "ceiling.yaml"))
    assert "would appear" in error.why


def test_complain_is_bounded_by_the_ceilings_system_calls() -> None:
    result = resolved("syscalls: {violation: complain}", ceiling=parse("syscalls: {base: moby}", "ceiling.yaml"))
    assert names(result.policy) == {"mount"}
    assert result.policy.syscalls.violation == "errno EPERM"
    assert len(result.narrowings) == 1


def test_a_seccomp_file_is_read_from_the_profiles_directory() -> None:
    error = refusal("syscalls: {base: {file: x.json}}", directory="/srv")
    assert error.what == "no file /srv/x.json"


def test_a_seccomp_file_is_a_base() -> None:
    filters = b"""{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read", "bpf"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]}"""
    profile = parse("syscalls: {base: {file: x.json}, allow: [write], deny: [bpf]}")
    result = resolve(profile, load_base=lambda name, _: parse(name), read_file=lambda *_: filters, directory="/srv")
    assert names(result.policy) == {"read", "write", "socket"}
    assert result.policy.syscalls.allowed["socket"].matches == {(ArgumentCondition(0, "==", 1),)}


def test_the_ceilings_bases_come_from_their_own_place() -> None:
    bases = {True: "syscalls: {base: none, allow: [bpf]}", False: "syscalls: {base: none, allow: [read, bpf]}"}
    result = resolve(
        parse(""),
        load_base=lambda name, _: parse(bases[False], name),
        load_ceiling_base=lambda name, _: parse(bases[True], name),
        read_file=no_file,
        ceiling=parse("", "ceiling.yaml"),
    )
    assert names(result.policy) == {"bpf"}
