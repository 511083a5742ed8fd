"""What the tests of plans are made of: hosts as values, policies in words, and the plan of both."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from enforcer.oci.image import ImageConfig
from enforcer.plan.compile import compile_plan, enforce
from enforcer.plan.host import HostFacts
from enforcer.plan.mounts import Sources
from enforcer.plan.subject import Subject
from enforcer.policy.parse import parse_profile
from enforcer.policy.resolve import resolve
from tests import shipped

if TYPE_CHECKING:
    from collections.abc import Collection

    from enforcer.plan.compile import Plan
    from enforcer.plan.host import Enforcement
    from enforcer.plan.step import Step
    from enforcer.policy.profile import Policy

NAMESPACES = frozenset({"user", "pid", "mount", "net", "ipc", "uts", "cgroup", "time"})
CONTROLLERS = ("memory", "pids", "cpu", "devices", "freezer")
GROUP = "/sys/fs/cgroup/enforcer"
# Everything works here: root on a v2 host.
HOST = HostFacts(
    machine="x86_64",
    kernel="6.1.0",
    rootful=True,
    uid=0,
    gid=0,
    capabilities=frozenset({"SYS_ADMIN", "NET_BIND_SERVICE"}),
    namespaces=NAMESPACES,
    container_ids=(1 << 20, 1 << 24),
    idmapped_mounts=True,
    overlay=True,
    overlay_userxattr=True,
    new_mount_api=True,
    openat2=True,
    close_range=True,
    clone3=True,
    pidfd=True,
    proc_subset=True,
    landlock_abi=7,
    seccomp_filter=True,
    cgroup_layout="v2",
    cgroups=MappingProxyType(dict.fromkeys(CONTROLLERS, GROUP)),
    cgroup_v2=GROUP,
    session_keyring=True,
    no_new_privs=True,
    ambient_capabilities=True,
)
V1 = replace(
    HOST,
    cgroup_layout="v1",
    cgroups=MappingProxyType({name: f"/sys/fs/cgroup/{name}" for name in CONTROLLERS}),
    cgroup_v2="",
)
# An ordinary user with one id, and one with subordinate ids.
SINGLE = replace(
    HOST,
    rootful=False,
    uid=1000,
    gid=1000,
    capabilities=frozenset(),
    container_ids=(0, 0),
    idmapped_mounts=False,
    cgroup_layout="none",
    cgroups=MappingProxyType({}),
    cgroup_v2="",
)
SUBORDINATE = replace(
    SINGLE,
    subordinate_uids=(100000, 65536),
    subordinate_gids=(200000, 65536),
    newuidmap="/usr/bin/newuidmap",
    newgidmap="/usr/bin/newgidmap",
)
ALLOW_ALL = bytes.fromhex("06000000 0000ff7f")  # one instruction, BPF_RET | BPF_K: SECCOMP_RET_ALLOW
COMMON = "profile: enforcer/v1\nname: test\n"


def policy(text: str = "") -> Policy:
    """The policy of a profile, whose head may be left out, with the bases that ship."""
    profile = parse_profile((COMMON + text).encode(), "test.yaml")
    return resolve(
        profile, load_base=lambda base, _clause: shipped._profile(base), read_file=shipped._read, directory="/srv"
    ).policy


def files(policy: Policy) -> Sources:
    """An image of one layer; what is bound is a directory, unless its name has a dot."""
    binds = [mount.source for mount in policy.filesystem.mounts if mount.kind == "bind"]
    kinds = {source: "file" if "." in source else "directory" for source in binds}
    return Sources(("/images/layer",), (), MappingProxyType(kinds), "/volumes", owner=(65532, 65532))


def subject(policy: Policy, **changed: Any) -> Subject:
    """An image that runs /bin/true."""
    first = Subject("image", "sha256:0", ImageConfig(cmd=("/bin/true",)), files(policy), (65532, 65532), ())
    return replace(first, **changed)


def plan(text: str = "", facts: HostFacts = HOST, accepted: Collection[str] = (), **changed: Any) -> Plan:
    """The plan of a profile on a host."""
    found = policy(text)
    return compile_plan(found, subject(found, **changed), facts, ALLOW_ALL, accepted)


def verdicts(text: str = "", facts: HostFacts = HOST, **changed: Any) -> dict[str, Enforcement]:
    """How each clause holds, by its path."""
    found = policy(text)
    return {one.path: one for one in enforce(found, subject(found, **changed), facts)}


def calls(steps: Collection[Step]) -> list[str]:
    """The names of the calls, in order."""
    return [step.call for step in steps]
