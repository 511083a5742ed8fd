"""`enforcer doctor`: what this host can enforce, for root and for ordinary users, and what to do about the rest."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from enforcer.cli.options import Command, Option
from enforcer.errors import EnforcerError, UsageError
from enforcer.linux import probe, procfs
from enforcer.oci.image import ImageConfig
from enforcer.plan.compile import enforce
from enforcer.plan.host import to_document
from enforcer.plan.mechanisms import SYSCTLS, judge
from enforcer.plan.mounts import Sources
from enforcer.plan.subject import Subject
from enforcer.policy.resolve import resolve
from enforcer.runtime import paths
from enforcer.runtime.profiles import Library

if TYPE_CHECKING:
    from enforcer.plan.host import Enforcement, HostFacts
    from enforcer.plan.mechanisms import Mechanism
    from enforcer.policy.profile import Policy

FORMATS = ("text", "json")
COMMAND = Command(
    "doctor",
    "Say what this host can enforce, for root and for an ordinary user, and what to install.",
    "",
    (Option("format", "text for people, json for programs", value="FORMAT", choices=FORMATS),),
)
FIRST_ACCOUNT, LAST_ACCOUNT, NOBODY = 1000, 59999, 65534


@dataclass(frozen=True, slots=True)
class Column:
    """What one caller can have enforced. title: "rootful" or "rootless (anna, uid 1000)"."""

    title: str
    facts: HostFacts
    mechanisms: tuple[Mechanism, ...]
    clauses: tuple[Enforcement, ...]

    @property
    def failing(self) -> list[Enforcement]:
        """Clauses of the default profile that do not hold."""
        return [clause for clause in self.clauses if clause.verdict != "enforced"]


def run(argv: list[str]) -> int:
    """Print what holds here. 0: the default profile can be enforced for the caller; 1: it cannot."""
    given = COMMAND.parse(argv)
    if given.on("help"):
        print(COMMAND.usage())
        return 0
    if given.words:
        what = f"{given.words[0]!r} names nothing that doctor looks at"
        raise UsageError(what, where="enforcer doctor", hint="enforcer doctor [--format text|json]")
    return _examine(given.one("format", "text"))


def _examine(kind: str) -> int:
    sysctls = _sysctls()
    policy = _default_policy()
    found = [_column(facts, account, policy, sysctls) for facts, account in _callers()]
    broken = policy.render() if isinstance(policy, EnforcerError) else ""
    if kind == "json":
        print(json.dumps(_document(found, sysctls, broken), indent=2))
    else:
        print("\n".join(_text(found, broken)))
    return 1 if broken or found[0].failing else 0


def _callers() -> list[tuple[HostFacts, str]]:
    """The caller first; for root, an ordinary user as well."""
    own = probe.host_facts(paths.store())
    callers = [(own, _name(own.uid))]
    if own.uid == 0:
        uid, gid = _ordinary_user()
        other = probe.host_facts_as(uid, gid, _store(uid))
        callers += [(other, _name(uid))] if other else []
    return callers


def _ordinary_user() -> tuple[int, int]:
    """Who called sudo, else the first account of a person, else nobody."""
    wanted = os.environ.get("SUDO_UID", "")
    accounts = [entry for entry in pwd.getpwall() if FIRST_ACCOUNT <= entry.pw_uid <= LAST_ACCOUNT]
    chosen = [entry for entry in accounts if str(entry.pw_uid) == wanted] or accounts
    return (chosen[0].pw_uid, chosen[0].pw_gid) if chosen else (NOBODY, NOBODY)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _store(uid: int) -> str:
    """Where the store of another user would be: only its filesystem matters here."""
    try:
        return f"{pwd.getpwuid(uid).pw_dir}/.local/share/enforcer"
    except KeyError:
        return "/"


def _sysctls() -> dict[str, str]:
    values = {name: procfs.read(f"/proc/sys/{name.replace('.', '/')}").strip() for name in SYSCTLS}
    return {name: value for name, value in values.items() if value}


def _default_policy() -> Policy | EnforcerError:
    """The policy of an image that no other profile is for, under the site's ceiling; or what is wrong with it."""
    library = Library()
    try:
        profile, ceiling = library.default(), library.ceiling()
        return resolve(profile, load_base=library.base, read_file=library.file, ceiling=ceiling).policy
    except EnforcerError as error:
        return error


def _column(facts: HostFacts, account: str, policy: Policy | EnforcerError, sysctls: dict[str, str]) -> Column:
    title = "rootful" if facts.rootful else f"rootless ({account}, uid {facts.uid})"
    clauses = () if isinstance(policy, EnforcerError) else _clauses(policy, facts)
    return Column(title, facts, judge(facts, sysctls), clauses)


def _clauses(policy: Policy, facts: HostFacts) -> tuple[Enforcement, ...]:
    """How the policy would be enforced for an image without wishes of its own."""
    uid, _, gid = policy.run.user.partition(":")
    user = (int(uid), int(gid)) if uid.isdecimal() and gid.isdecimal() else (NOBODY, NOBODY)
    files = Sources((), (), MappingProxyType({}), "")
    return enforce(policy, Subject("", "", ImageConfig(), files, user, ()), facts)


def _document(columns: list[Column], sysctls: dict[str, str], broken: str) -> dict[str, Any]:
    callers = [
        {
            "caller": column.title,
            "facts": to_document(column.facts),
            "mechanisms": [asdict(mechanism) for mechanism in column.mechanisms],
            "default_profile": {
                "enforceable": not broken and not column.failing,
                "error": broken,
                "clauses": [asdict(clause) for clause in column.clauses],
            },
        }
        for column in columns
    ]
    return {"callers": callers, "sysctls": sysctls}


def _text(columns: list[Column], broken: str) -> list[str]:
    facts = columns[0].facts
    rows = [("mechanism", *(column.title for column in columns))]
    rows += [
        (several[0].name, *(mechanism.state for mechanism in several))
        for several in zip(*(column.mechanisms for column in columns), strict=True)
    ]
    rows.append(("default profile", *("cannot be enforced" if broken or column.failing else "enforced" for column in columns)))
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    explanations = [line for column in columns for line in _explanation(column)]
    error = ["", "default profile", *("  " + line for line in broken.splitlines())] if broken else []
    return [
        f"Linux {facts.kernel} on {facts.machine}, control groups: {facts.cgroup_layout}",
        "",
        *table,
        *explanations,
        *error,
    ]


def _explanation(column: Column) -> list[str]:
    lines = []
    for mechanism in column.mechanisms:
        if mechanism.state in ("weaker", "missing"):
            lines.append(f"  {mechanism.name} {mechanism.state}: {mechanism.why}")
            lines += [f"    mend: {mechanism.mend}"] if mechanism.mend else []
    lines += [f"  default profile: {clause.path} is {clause.verdict}: {clause.why}" for clause in column.failing]
    return ["", column.title, *lines] if lines else []
