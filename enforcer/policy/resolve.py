"""Profile, bases, command line and ceiling → the policy in force (profile.md, rules 1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

from enforcer.errors import ProfileError
from enforcer.policy.command_line import from_command_line
from enforcer.policy.layers import Layer, layer_of, located, policy_of, reaching, union, with_syscalls, without
from enforcer.policy.narrow import narrow
from enforcer.policy.order_network import egress_beyond
from enforcer.policy.profile import Clause, Narrowing, Policy, Profile, Syscalls, WrittenSyscalls

if TYPE_CHECKING:
    from collections.abc import Callable

    LoadBase = Callable[[str, Clause], Profile]
    ReadFile = Callable[[str, Clause], bytes]

__all__ = ["Resolution", "from_command_line", "resolve"]

MAX_DEPTH = 8  # bases below one another
IMPLIED_BASE = "minimal"
FILE = "file:"


@dataclass(frozen=True, slots=True)
class Resolution:
    """The policy in force, and what the ceiling took from what the profile asked for."""

    policy: Policy
    narrowings: tuple[Narrowing, ...]


def resolve(  # noqa: PLR0913  the profile, its neighbours and where each is read: named, none belongs to another
    profile: Profile,
    *,
    load_base: LoadBase,
    read_file: ReadFile,
    ceiling: Profile | None = None,
    command_line: Profile | None = None,
    directory: str = "/",
    load_ceiling_base: LoadBase | None = None,
) -> Resolution:
    """Resolve a profile.

    1. Survey the bases: each is loaded once, at most MAX_DEPTH below one another, none below itself.
    2. Each profile is the union of its bases and of what it grants itself, less its own `syscalls.deny`. `syscalls.base: NAME`
       is the `syscalls` section of the profile base/NAME. When neither the profile nor any base says `syscalls.base`, those
       that extend nothing stand on `minimal`. Unsaid is the identity of the union; settings are the most derived profile's.
    3. The command line's profile is one more base.
    4. What nobody said gets the language's default. A phase only ends rights.
    5. The ceiling, resolved by 1, 2 and 4 as a profile of its own, bounds the result; every grant lost is a narrowing.

    load_base, read_file: (name or path, the clause that names it) → what it holds; they raise EnforcerError.
    directory: absolute host directory that the profile's relative paths start from, unless `profile.directory` says another;
    a base's and the ceiling's start from their own `directory`.
    load_ceiling_base: reads the ceiling's bases, where they must not come from a place that the profile's author may write to;
    `load_base` when it is left out.
    Raises ProfileError.
    """
    bases = _Bases(load_base, read_file)
    layer = bases.alone(profile, profile.directory or directory, (_label(profile),))
    if command_line is not None:
        extra = bases.layer(command_line, command_line.directory, (_label(command_line),), implied=False)
        layer = replace(union(layer, extra), name=layer.name)
        layer = reaching(layer, extra.grants.filesystem.mounts)
    policy = policy_of(layer)
    _check_phase(policy)
    if ceiling is None:
        return Resolution(policy, ())
    bound = policy_of(_Bases(load_ceiling_base or load_base, read_file).alone(ceiling, ceiling.directory, (_label(ceiling),)))
    return Resolution(*narrow(policy, bound, ceiling.sections))


def _label(profile: Profile) -> str:
    return profile.name or profile.source


def _check_phase(policy: Policy) -> None:
    phase = policy.phases
    if phase is None or phase.egress is None:
        return
    found = egress_beyond(policy.network.egress, phase.egress)
    if found is not None and policy.network.share != "host":
        why = "a phase only ends rights; network.egress does not grant this"
        what = f"egress to {found.target} begins when the application is ready"
        raise ProfileError(what, where=found.clause.place, why=why)


@dataclass(frozen=True, slots=True)
class _Survey:
    """height: how many bases are below one another. says_base: whether any of the tree says `syscalls.base`."""

    height: int
    says_base: bool


class _Bases:
    """The bases of one resolution, each loaded, surveyed and united once."""

    def __init__(self, load_base: LoadBase, read_file: ReadFile) -> None:
        self.load_base = load_base
        self.read_file = read_file
        self.loaded: dict[str, Profile] = {}
        self.surveys: dict[str, _Survey] = {}
        self.layers: dict[tuple[str, bool], Layer] = {}
        self.syscalls: dict[str, Syscalls] = {}
        self.begun: set[str] = set()  # bases of system calls that were asked for

    def alone(self, profile: Profile, directory: str, chain: tuple[str, ...]) -> Layer:
        """The profile with its bases, as when it is used by itself. chain: how it was reached, itself last."""
        survey = self.survey(profile, chain)
        return self.layer(profile, directory, chain, implied=not survey.says_base)

    def layer(self, profile: Profile, directory: str, chain: tuple[str, ...], *, implied: bool) -> Layer:
        """The profile with its bases. implied: profiles that extend nothing stand on `minimal`."""
        own = self._on_syscall_base(layer_of(profile, directory), profile, directory, chain, implied=implied)
        bases = [self._base_layer(name, clause, chain, implied=implied) for name, clause in profile.extends]
        _check_phases(profile, bases)
        denied = (profile.syscalls or WrittenSyscalls()).deny
        return without(reduce(union, bases, own), (name for name, _ in denied))

    def survey(self, profile: Profile, chain: tuple[str, ...]) -> _Survey:
        """Load all bases below the profile. Raises ProfileError for a cycle and for more than MAX_DEPTH levels."""
        height, says = 0, profile.syscalls is not None and profile.syscalls.base is not None
        for name, clause in profile.extends:
            below = self._survey_base(name, clause, chain)
            height, says = max(height, below.height + 1), says or below.says_base
        return _Survey(height, says)

    def _survey_base(self, name: str, clause: Clause, chain: tuple[str, ...]) -> _Survey:
        self._check_chain(name, clause, chain)
        if name not in self.surveys:
            self.surveys[name] = self.survey(self._load(name, clause), (*chain, name))
        if len(chain) + self.surveys[name].height > MAX_DEPTH:
            raise _too_deep((*chain, name), clause)
        return self.surveys[name]

    def _check_chain(self, name: str, clause: Clause, chain: tuple[str, ...]) -> None:
        if name in chain:
            raise _circle((*chain, name), clause)
        if len(chain) > MAX_DEPTH:
            raise _too_deep((*chain, name), clause)

    def _load(self, name: str, clause: Clause) -> Profile:
        if name not in self.loaded:
            self.loaded[name] = self.load_base(name, clause)
        return self.loaded[name]

    def _base_layer(self, name: str, clause: Clause, chain: tuple[str, ...], *, implied: bool) -> Layer:
        key = (name, implied)
        if key not in self.layers:
            base = self._load(name, clause)
            self.layers[key] = self.layer(base, base.directory, (*chain, name), implied=implied)
        return self.layers[key]

    def _on_syscall_base(
        self, layer: Layer, profile: Profile, directory: str, chain: tuple[str, ...], *, implied: bool
    ) -> Layer:
        written = profile.syscalls or WrittenSyscalls()
        if written.base is None:
            if not implied or profile.extends:
                return layer
            return with_syscalls(layer, self._named_syscalls(IMPLIED_BASE, Clause("syscalls.base"), chain))
        if written.base == "none":
            return layer
        if written.base.startswith(FILE):
            return with_syscalls(layer, self._file_syscalls(written.base, directory, written.base_clause))
        return with_syscalls(layer, self._named_syscalls(written.base, written.base_clause, chain))

    def _named_syscalls(self, name: str, clause: Clause, chain: tuple[str, ...]) -> Syscalls:
        """The system calls of base/NAME, which stands alone: how deep its own bases are is counted from it."""
        full = f"base/{name}"
        if full in self.begun and full not in self.syscalls:
            raise _circle((*chain, full), clause)
        self.begun.add(full)
        if full not in self.syscalls:
            base = self._load(full, clause)
            self.syscalls[full] = policy_of(self.alone(base, base.directory, (full,))).syscalls
        return self.syscalls[full]

    def _file_syscalls(self, base: str, directory: str, clause: Clause) -> Syscalls:
        from enforcer.policy.from_oci import syscalls_of_filter  # noqa: PLC0415  few profiles stand on a file

        path = located(base.removeprefix(FILE), directory, clause)
        return syscalls_of_filter(self.read_file(path, clause), path, clause=clause)


def _circle(chain: tuple[str, ...], clause: Clause) -> ProfileError:
    hint = "base/minimal must say syscalls.base: none" if chain[-1] == f"base/{IMPLIED_BASE}" else "remove one of these lines"
    return ProfileError(f"{chain[-1]} stands on itself", where=clause.place, why=" → ".join(chain), hint=hint)


def _too_deep(chain: tuple[str, ...], clause: Clause) -> ProfileError:
    return ProfileError(f"more than {MAX_DEPTH} bases below one another", where=clause.place, why=" → ".join(chain))


def _check_phases(profile: Profile, bases: list[Layer]) -> None:
    """A profile's phases replace its bases'; of two bases neither goes before the other."""
    said = {layer.phases: layer.phases.clause for layer in bases if layer.phases is not None}
    if profile.phases is None and len(said) > 1:
        places = " and ".join(sorted(clause.place for clause in said.values()))
        where = profile.extends[0][1].place
        raise ProfileError(
            "two bases end rights in different ways", where=where, why=f"phases at {places}", hint="write phases here"
        )
