from __future__ import annotations

import re

import pytest

from enforcer.cli.plan_words import arguments, line
from enforcer.plan import capabilities, landlock, mount_calls, namespaces, userns
from enforcer.plan.step import Filter, Packed, Ref, Slot, Step, Strings, Text
from enforcer.policy.profile import Capability, Namespaces
from tests.plans import HOST, SINGLE, V1, plan

CLONED = (
    "clone3({flags=CLONE_NEWTIME|CLONE_NEWNS|CLONE_NEWUTS|CLONE_NEWIPC|CLONE_NEWUSER|CLONE_CLEAR_SIGHAND, "
    "exit_signal=SIGCHLD}, 88) = $init"
)
FULL = """\
run: {init: true}
capabilities: [CHOWN]
filesystem:
  mounts: [{bind: /srv/data, at: /data}, {volume: v, at: /v}, {secret: t, from: "env:T", at: /t}]
  paths: {read: [/etc], write: [/tmp], execute: [/usr]}
resources: {open_files: 64}
"""


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            namespaces.clone(Namespaces(pid="host"), network=False, into_cgroup=False),
            CLONED,
        ),
        (
            mount_calls.set_attributes("init", "m", 0x0F, "x"),
            'mount_setattr($m, "", AT_EMPTY_PATH|AT_RECURSIVE, {attr_set=MOUNT_ATTR_{RDONLY,NOSUID,NODEV,NOEXEC}}, 32)',
        ),
        (
            mount_calls.open_inside("t", "/a", "x"),
            'openat2($root, "a", {flags=O_PATH|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}, 24) = $t',
        ),
        (landlock.no_new_privs(), "prctl(PR_SET_NO_NEW_PRIVS, 1)"),
        (Step("init", "umount2", (b".", 2), "x"), 'umount2(".", MNT_DETACH)'),
        (Step("init", "mkdirat", (-100, b"/x", 0o755), "x"), 'mkdirat(AT_FDCWD, "/x", 0755)'),
        (Step("init", "openat", (-100, b"/x", 0o1 | 0o100, 0o600), "x"), 'openat(AT_FDCWD, "/x", O_WRONLY|O_CREAT, 0600)'),
        (Step("init", "unshare", (0x40000000 | 1,), "x"), "unshare(CLONE_NEWNET|0x1)"),
        (
            Step("init", "seccomp", (1, 0, Filter(bytes(16))), "x"),
            "seccomp(SECCOMP_SET_MODE_FILTER, 0, <filter, 2 instructions>)",
        ),
        (Step("init", "x", (Strings("argv"), Slot("id"), Ref("a b"), b"\xff\0"), "x"), "x(<argv…>, <id>, $a-b, {ff})"),
        (Step("init", "x", (Text((b"/proc/", Ref("init"), b"/ns")),), "x"), 'x("/proc/$init/ns")'),
        (Step("init", "x", (Packed(b"\x01\0", ((4, 4, Ref("f")),)),), "x"), "x({01, +4=$f})"),
        (Step("init", "unknown", (1 << 20, -1), "x"), "unknown(0x100000, -1)"),
        (Step("init", "prctl", (99, 1, 2, 3, 4), "x"), "prctl(99, 1, 2, 3, 4)"),
    ],
)
def test_a_step_is_written_as_strace_would(step: Step, words: str) -> None:
    assert line(step) == words


def test_the_payloads_sets_are_named() -> None:
    steps = capabilities.steps(frozenset({Capability("CHOWN")}), (1, 1), (), 40, single=False)
    said = [line(step) for step in steps]
    assert "prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN)" in said
    assert "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)" in said
    assert "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN)" in said
    assert "effective=CAP_CHOWN, permitted=CAP_CHOWN, inheritable=CAP_CHOWN" in said[-1]


def test_ids_and_texts_of_the_launch_stay_names() -> None:
    assert "write($map, <id-map>, <id-map-length>)" in [line(step) for step in userns.steps("range", (0, 0), HOST)]


@pytest.mark.parametrize(("text", "facts"), [(FULL, HOST), (FULL, V1), ("", SINGLE)])
def test_every_argument_of_a_plan_has_words(text: str, facts: object) -> None:
    """No flag that we know is left as a number, and no structure as bytes, but for those that have no words."""
    for step in plan(text, facts, terminal=True).steps:  # type: ignore[arg-type]
        said = arguments(step)
        assert len(said) == len(step.args) or step.call == "prctl"
        if step.call not in {"bpf", "ioctl", "sendmsg", "write", "setgroups"}:
            assert not [word for word in said if re.fullmatch(r"0x[0-9a-f]+|\{([0-9a-f]{2}){2,}(,.*)?\}", word)], line(step)
