"""The values of the profile language: what a `Profile` says and what a `Policy` means.

A *profile* is a document and may leave things unsaid (`None`). A *policy* is a profile with its bases and the site ceiling
resolved: every section is there, and what it does not hold is refused. Equality and hashing ignore clauses, so that two
policies that grant the same are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "&=="]
Access = Literal["read", "write"]
MAX_U64 = 2**64 - 1
BUILT_IN = "built in"


@dataclass(frozen=True, slots=True, order=True)
class Clause:
    """One line of a profile: its path in the document ("network.egress[0]") and its place ("web.yaml:12:5").

    `--accept-weaker` and `plan --explain` name clauses by their path. A clause that stands in no file, since the language
    itself implies it ("user_namespace" of an empty profile), has the place "built in".
    """

    path: str
    place: str = BUILT_IN


def _clause() -> Clause:
    return field(compare=False, default=Clause(""))


@dataclass(frozen=True, slots=True)
class ArgumentCondition:
    """A comparison of one system call argument, an unsigned 64-bit integer, as seccomp(2) sees it.

    index: 0 to 5. op "&==" is SCMP_CMP_MASKED_EQ: (argument & mask) == value; `mask` means nothing for the other operators.
    """

    index: int
    op: Operator
    value: int
    mask: int = MAX_U64


# All conditions of a match must hold; the empty match always holds.
Match = tuple[ArgumentCondition, ...]
ALWAYS: Match = ()


@dataclass(frozen=True, slots=True)
class SyscallGrant:
    """When one system call is allowed: in any of `matches`. `clause` is the line that granted it."""

    matches: frozenset[Match]
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Syscalls:
    """allowed:       name → when. A name that is not there is refused.
    architectures: ABIs beyond the native one that may be entered: of "x86", "x32", "arm". Empty in every shipped profile.
    violation:     "errno EPERM" (any errno name), "kill" or "complain" (log and allow: everything is reachable).
    """

    allowed: Mapping[str, SyscallGrant] = field(default_factory=lambda: MappingProxyType({}))
    architectures: frozenset[str] = frozenset()
    violation: str = "errno EPERM"
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Capability:
    """One capability by its kernel name without CAP_: "NET_BIND_SERVICE"."""

    name: str
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Mount:
    """Something mounted into the container at the absolute, normalised path `at`.

    kind:   "bind", "volume", "tmpfs" or "secret".
    source: bind: absolute host path; volume: its name; secret: where it comes from ("env:API_TOKEN", "file:/x"); tmpfs: "".
    access: "read" or "write". execute: whether programs may be executed from it.
    size:   bytes, tmpfs only; 0 elsewhere. mode: permission bits of a secret's file. name: a secret's name.
    """

    kind: Literal["bind", "volume", "tmpfs", "secret"]
    at: str
    source: str = ""
    access: Access = "read"
    execute: bool = False
    size: int = 0
    mode: int = 0o400
    name: str = ""
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True, order=True)
class PathGrant:
    """One path of `filesystem.paths`, absolute and normalised; it covers everything below it."""

    path: str
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Paths:
    """What Landlock leaves reachable inside the container. A resolved policy that says nothing has "/" in all three."""

    read: frozenset[PathGrant]
    write: frozenset[PathGrant]
    execute: frozenset[PathGrant]


@dataclass(frozen=True, slots=True)
class Device:
    """A device node by its path, beyond null zero full random urandom tty ptmx."""

    path: str
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Filesystem:
    """Which files there are: the image's own under `root`, what is mounted over them, and what stays reachable of both."""

    root: Literal["read-only", "ephemeral"]
    mounts: frozenset[Mount]
    paths: Paths
    devices: frozenset[Device]
    root_clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Port:
    """number 1 to 65535; protocol "tcp" or "udp"."""

    number: int
    protocol: Literal["tcp", "udp"] = "tcp"


@dataclass(frozen=True, slots=True)
class Egress:
    """Where connections may go. kind "host": lower-case name or "*.suffix"; "cidr": canonical network, v4 or v6."""

    kind: Literal["host", "cidr"]
    target: str
    ports: frozenset[Port]
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Ingress:
    """A port that is listened on, and the host address it is published at ("127.0.0.1:18080"; "" when it is not)."""

    port: Port
    publish: str = ""
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Network:
    """Who may be talked to, by whom, and whether the host's own network is shared (which makes the other two moot)."""

    egress: frozenset[Egress]
    ingress: frozenset[Ingress]
    share: Literal["none", "host"] = "none"
    share_clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Each "private" or "host"; `clauses` maps a section path ("namespaces.pid", "user_namespace") to its clause."""

    user: Literal["private", "host"] = "private"
    pid: Literal["private", "host"] = "private"
    ipc: Literal["private", "host"] = "private"
    uts: Literal["private", "host"] = "private"
    cgroup: Literal["private", "host"] = "private"
    time: Literal["private", "host"] = "private"
    clauses: Mapping[str, Clause] = field(compare=False, default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Resources:
    """Upper bounds; None is unlimited (the top of the order).

    memory, scratch: bytes. pids, processes, open_files: counts. cpus: millicores. time: milliseconds.
    `clauses` maps "resources.memory" and so on to the clause that set it.
    """

    memory: int | None = None
    pids: int | None = None
    cpus: int | None = None
    open_files: int | None = None
    processes: int | None = None
    scratch: int | None = None
    time: int | None = None
    clauses: Mapping[str, Clause] = field(compare=False, default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Run:
    """user: "65532:65532" (numeric uid:gid) or "image". `root` is the grant to run as uid 0 inside the user namespace.

    user, init and cwd are settings: they say how the grants are used and have no place in the order; `root` is a grant.
    """

    user: str = "65532:65532"
    root: bool = False
    init: bool = False
    cwd: str | None = None
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Environment:
    """passed: names let through from the caller. fixed: name → value."""

    passed: frozenset[str] = frozenset()
    fixed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    clauses: Mapping[str, Clause] = field(compare=False, default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Phase:
    """Rights that end when the application is ready. ready: ("port", "8080"), ("file", "/run/ready") or ("after", "5000").

    deny_syscalls: names refused afterwards; egress: the only egress afterwards, None when it stays as it is.
    """

    ready: tuple[Literal["port", "file", "after"], str]
    deny_syscalls: frozenset[str]
    egress: frozenset[Egress] | None
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Policy:
    """What is in force for one image: nothing that is not here is reachable."""

    name: str
    run: Run
    environment: Environment
    syscalls: Syscalls
    capabilities: frozenset[Capability]
    filesystem: Filesystem
    network: Network
    namespaces: Namespaces
    resources: Resources
    phases: Phase | None = None


@dataclass(frozen=True, slots=True)
class ImageMatch:
    """One entry of `match`: exactly one of `image` ("registry.example/shop/web:1.*") and `digest` ("sha256:…")."""

    image: str = ""
    digest: str = ""
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Narrowing:
    """One grant that a ceiling or an image's own profile took away: its clause, the clause that bounded it, and words."""

    granted: Clause
    bounded_by: Clause
    what: str


@dataclass(frozen=True, slots=True)
class WrittenRun:
    """`run` as a profile says it; None is unsaid. user: "uid:gid" or "image"."""

    user: str | None = None
    init: bool | None = None
    cwd: str | None = None
    clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class WrittenSyscalls:
    """`syscalls` as a profile says it; None is unsaid.

    base:  "none", "minimal", "default", "moby", or "file:PATH" of an OCI seccomp JSON, the path as written.
    allow: (name, one match, its clause) for each grant. deny: (name, its clause).
    """

    base: str | None = None
    allow: tuple[tuple[str, Match, Clause], ...] = ()
    deny: tuple[tuple[str, Clause], ...] = ()
    violation: str | None = None
    architectures: frozenset[str] = frozenset()
    clause: Clause = _clause()
    base_clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class WrittenFilesystem:
    """`filesystem` as a profile says it; None is unsaid. The source of a bind may be relative ("./data")."""

    root: Literal["read-only", "ephemeral"] | None = None
    mounts: frozenset[Mount] = frozenset()
    paths: Paths | None = None
    devices: frozenset[Device] = frozenset()
    root_clause: Clause = _clause()


@dataclass(frozen=True, slots=True)
class Profile:
    """One document, as written. A section that is None is unsaid.

    source:    the name it was read under, first part of its clauses' places.
    extends:   (name of a base, its clause), in the order written.
    sections:  path of a section or key ("network", "filesystem.mounts") → its clause; "" is the document itself.
    directory: absolute host directory that relative bind sources and seccomp files start from; "" when nobody said.
    """

    source: str
    name: str | None = None
    description: str = ""
    extends: tuple[tuple[str, Clause], ...] = ()
    match: tuple[ImageMatch, ...] = ()
    run: WrittenRun | None = None
    environment: Environment | None = None
    syscalls: WrittenSyscalls | None = None
    capabilities: frozenset[Capability] | None = None
    filesystem: WrittenFilesystem | None = None
    network: Network | None = None
    namespaces: Namespaces | None = None
    resources: Resources | None = None
    phases: Phase | None = None
    sections: Mapping[str, Clause] = field(compare=False, default_factory=lambda: MappingProxyType({}))
    directory: str = ""
