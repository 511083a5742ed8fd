"""The Python API: from what a caller asks to a plan that can be shown or launched."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from enforcer.errors import HostError, PlanError
from enforcer.image import accounts, find
from enforcer.linux import probe, probe_mounts
from enforcer.linux import seccomp as libseccomp
from enforcer.oci.reference import parse_reference
from enforcer.plan import cgroups, encoder, host, seccomp, userns
from enforcer.plan.compile import Plan, compile_plan
from enforcer.plan.mounts import Sources
from enforcer.plan.subject import Subject
from enforcer.policy import canonical, match
from enforcer.policy.command_line import from_command_line
from enforcer.policy.resolve import Resolution, resolve
from enforcer.runtime import paths, plancache, profiles
from enforcer.runtime.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enforcer.image.find import Image
    from enforcer.plan.cgroup_devices import DeviceRule
    from enforcer.plan.host import HostFacts
    from enforcer.policy.profile import Filesystem, Mount, Policy, Profile


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks for.

    image: a reference as cli.md has it. policy: name or path of a profile, "" to have it chosen by the image.
    allow_*: permissions of the command line. accept_weaker: paths of clauses. command: () for the image's own.
    directory: absolute; relative paths of the request start there.
    """

    image: str
    policy: str = ""
    allow_net: tuple[str, ...] = ()
    allow_read: tuple[str, ...] = ()
    allow_write: tuple[str, ...] = ()
    accept_weaker: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    terminal: bool = False
    directory: str = "/"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that a plan is compiled from."""

    image: Image
    profile: Profile
    resolution: Resolution
    policy: Policy
    subject: Subject
    facts: HostFacts
    dependencies: tuple[str, ...]


def prepare(request: Request) -> Prepared:
    """Find the image, the profile and the policy in force.

    1. The image is found, verified and made ready; it is known by its digest from here on.
    2. The profile is the one named, or the most exact match for that image, or the default.
    3. The policy is resolved: bases, command line, then the site's ceiling.
    4. What its clauses name on the host is looked up once: sources, devices, the payload's ids.
    Raises EnforcerError.
    """
    facts = host_facts()
    image = find.find(parse_reference(request.image), store=paths.store(), machine=facts.machine, uid=facts.uid)
    library = profiles.Library()
    profile = choose(request, image, library)
    resolution = resolve_profile(profile, library, request)
    policy, real = _on_this_host(resolution.policy)
    subject = _subject(request, image, policy, facts)
    dependencies = (*library.dependencies, *map(plancache.stat_of, image.inputs), *real)
    return Prepared(image, profile, resolution, policy, subject, facts, dependencies)


def choose(request: Request, image: Image, library: profiles.Library) -> Profile:
    """Choose the profile for an image (profile.md, rule 6)."""
    if request.policy:
        return library.named(request.policy, request.directory)
    return match.choose(library.installed(), image.repository or image.reference, image.tag, image.digest) or library.default()


def resolve_profile(profile: Profile, library: profiles.Library, request: Request | None = None) -> Resolution:
    """Resolve a profile under the site's ceiling, with what the command line adds."""
    extra = None
    if request is not None and (request.allow_net or request.allow_read or request.allow_write):
        extra = from_command_line(request.allow_net, request.allow_read, request.allow_write, directory=request.directory)
    return resolve(
        profile,
        load_base=library.base,
        load_ceiling_base=library.ceiling_base,
        read_file=library.file,
        ceiling=library.ceiling(),
        command_line=extra,
        directory=profile.directory or "/",
    )


def make_plan(prepared: Prepared, request: Request) -> Plan:
    """Compile the plan. Raises PlanError where a clause does not hold and was not accepted."""
    code = filter_code(prepared.policy, prepared.facts.machine)
    return compile_plan(prepared.policy, prepared.subject, prepared.facts, code, request.accept_weaker)


def make_entry(request: Request) -> plancache.Entry:
    """Make the plan of a request, as bytes that can be kept and launched."""
    prepared = prepare(request)
    plan = make_plan(prepared, request)
    program = encoder.encode(plan.steps, prepared.facts.machine)
    code = sorted({plancache.stat_of(path) for path in _code()})
    return plancache.Entry([*dict.fromkeys(prepared.dependencies), *code], _record(prepared, plan, program, request), program)


def host_facts() -> HostFacts:
    """Measure what this host can enforce, once for each boot and kind of caller."""

    def measure() -> bytes:
        return json.dumps(host.to_document(probe.host_facts(paths.store()))).encode()

    return host.from_document(json.loads(_kept("facts", plancache.caller(), measure)))


def filter_code(policy: Policy, machine: str) -> bytes:
    """Return the policy's seccomp filter, compiled by libseccomp once and kept by what it must decide."""
    decided = seccomp.decide(policy.syscalls, machine)
    return _kept("seccomp", [repr(decided)], lambda: libseccomp.assemble(decided))


def _kept(cache: str, question: list[str], make: Callable[[], bytes]) -> bytes:
    """Return what was made for a question, by this very code, before; a file that is missing or damaged is made anew."""
    directory = paths.cache(cache)
    name = plancache.key([cache, *question, *map(plancache.stat_of, _code())])
    content = plancache.read(directory, name)
    if content is not None:
        with suppress(ValueError):
            return plancache.unseal(content)
    made = make()
    plancache.save(directory, name, plancache.seal(made))
    return made


def _code() -> list[str]:
    """Return the files of this program that are loaded: another version makes other plans."""
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "enforcer"]
    return sorted(path for path in (getattr(module, "__file__", None) for module in modules) if path)


def _on_this_host(policy: Policy) -> tuple[Policy, list[str]]:
    """Follow the symbolic links of bind sources now, once: at launch none is followed."""
    dependencies, mounts = [], []
    for mount in policy.filesystem.mounts:
        if mount.kind != "bind":
            mounts.append(mount)
            continue
        dependencies.append(plancache.real_of(mount.source))
        mounts.append(replace(mount, source=_existing(mount)))
    return replace(policy, filesystem=replace(policy.filesystem, mounts=frozenset(mounts))), dependencies


def _existing(mount: Mount) -> str:
    source = os.path.realpath(mount.source)
    if not os.path.exists(source):
        what = f"the bind source {mount.source} does not exist"
        raise PlanError(what, where=mount.clause.place, hint="make it, or remove the clause")
    return source


def _subject(request: Request, image: Image, policy: Policy, facts: HostFacts) -> Subject:
    uid, gid, groups = _user(image, policy)
    return Subject(
        reference=image.reference,
        digest=image.digest,
        config=image.config,
        files=Sources(
            layers=image.layers,
            binds=image.binds,
            kinds=_kinds(policy.filesystem),
            unmapped=_unmapped(policy, facts),
            volumes=paths.volumes(),
            owner=(uid, gid),
        ),
        user=(uid, gid),
        groups=groups,
        home=accounts.image_home(image.layers, uid),
        device_rules=_device_rules(policy.filesystem),
        command=request.command,
        terminal=request.terminal,
    )


def _user(image: Image, policy: Policy) -> tuple[int, int, tuple[int, ...]]:
    if policy.run.user == "image":
        return accounts.image_user(image.layers, image.config.user)
    uid, _, gid = policy.run.user.partition(":")
    return int(uid), int(gid), ()


def _kinds(filesystem: Filesystem) -> Mapping[str, str]:
    binds = [mount.source for mount in filesystem.mounts if mount.kind == "bind"]
    return {source: "directory" if os.path.isdir(source) else "file" for source in binds}


def _unmapped(policy: Policy, facts: HostFacts) -> frozenset[str]:
    """Try which bind sources cannot be idmapped into a user namespace; without root none needs to be."""
    if not facts.rootful or policy.namespaces.user == "host":
        return frozenset()
    sources = {mount.source for mount in policy.filesystem.mounts if mount.kind == "bind"}
    return frozenset(source for source in sources if not probe_mounts.idmapped_mounts(source))


def _device_rules(filesystem: Filesystem) -> tuple[DeviceRule, ...]:
    """Look up the numbers of the granted nodes. Raises PlanError at the clause of one that is not there, or no device."""
    rules: list[DeviceRule] = []
    for device in sorted(filesystem.devices, key=lambda one: one.path):
        try:
            rules += probe.device_rules([device.path])
        except HostError as error:
            raise PlanError(error.what, where=device.clause.place, why=error.why, hint=error.hint) from error
    return tuple(rules)


def _record(prepared: Prepared, plan: Plan, program: bytes, request: Request) -> Record:
    policy, facts, subject = prepared.policy, prepared.facts, prepared.subject
    narrowings = prepared.resolution.narrowings
    ranged = userns.way(policy.namespaces, facts) == "range"
    single = {
        "profile": policy.name,
        "image": subject.reference,
        "image-digest": subject.digest,
        "policy-digest": canonical.digest(policy),
        "plan-digest": f"sha256:{hashlib.sha256(program).hexdigest()}",
        "state": paths.run_state(),
        "first-id": str(facts.container_ids[0] if ranged else 0),
        "id-count": str(facts.container_ids[1] if ranged else 0),
        "rootful": "yes" if facts.rootful else "",
        "uid": str(subject.user[0]),
        "gid": str(subject.user[1]),
        "time": str(policy.resources.time or 0),
    }
    many = [
        *(("cgroup-parent", parent) for parent in cgroups.directories(policy.resources, facts)),
        *(("entrypoint", word) for word in subject.config.entrypoint),
        *(("cmd", word) for word in subject.config.cmd),
        *(("env", f"{name}={value}") for name, value in plan.environment),
        *(("pass", name) for name in sorted(policy.environment.passed)),
        *(("secret", mount.source) for mount in policy.filesystem.mounts if mount.kind == "secret"),
        *(("weaker", path) for path in request.accept_weaker),
        *(("narrowed", f"{one.granted.place}: {one.what} (bounded by {one.bounded_by.place})") for one in narrowings),
    ]
    return Record([*single.items(), *many])
