"""Profiles as files: where they are looked for, and each read once, beneath its directory, without following links.

What was read, and what was looked for in vain, is remembered as dependencies of the plan.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from enforcer.errors import ProfileError
from enforcer.linux import syscalls
from enforcer.policy.parse import parse_profile
from enforcer.policy.profile import Clause
from enforcer.runtime import plancache, shipped

if TYPE_CHECKING:
    from enforcer.policy.profile import Profile

CEILING = "/etc/enforcer/ceiling.yaml"
SYSTEM = "/etc/enforcer/policies"
SUFFIX = ".yaml"
_LIMIT = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS


def directories() -> list[str]:
    """Where profiles are installed, the most particular first: the user's own, the system's, the shipped ones."""
    own = os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "enforcer/policies")
    return [*([own] if os.geteuid() else []), SYSTEM, shipped.policies()]


class Library:
    """Reads profiles; `dependencies` says of every file what it was."""

    def __init__(self, places: list[str] | None = None) -> None:
        self.places = directories() if places is None else places
        self.dependencies: list[str] = []
        self._profiles: dict[str, Profile] = {}

    def profile(self, path: str) -> Profile:
        """Read a profile by its path. Raises ProfileError."""
        return self._parse(os.path.abspath(path), self._read(path, f"the profile {path!r}", "", _open(path)), path)

    def named(self, word: str, directory: str) -> Profile:
        """Read the profile that a person names: by its name ("base/python"), or by a path ("./web.yaml", "web.yaml").

        What could be a name is one, whatever files there are: a file is meant by a suffix, or by a path that begins with "/",
        "./" or "../". directory: absolute; relative paths start there. Raises ProfileError.
        """
        if not is_name(word):
            return self.profile(os.path.join(directory, word))
        try:
            return self.base(word, Clause("", word))
        except ProfileError as error:
            if error.where == word and os.path.exists(os.path.join(directory, word)):
                error.hint = f"to name the file, write ./{word}"
            raise

    def names(self) -> dict[str, str]:
        """Return every profile there is, name → path; where two places have one of a name, the first place's counts."""
        found: dict[str, str] = {}
        for place in self.places:
            for path in _walk(place):
                name = path[len(place) + 1 : -len(SUFFIX)]
                if _NAME.fullmatch(name):
                    found.setdefault(name, path)
        return dict(sorted(found.items()))

    def base(self, name: str, clause: Clause) -> Profile:
        """Read the profile that `extends` or `syscalls.base` names. Raises ProfileError at the clause."""
        return self._base(name, clause, self.places)

    def ceiling_base(self, name: str, clause: Clause) -> Profile:
        """Read a base of the ceiling: never from a place that the caller may write to. Raises ProfileError."""
        return self._base(name, clause, [place for place in self.places if place in (SYSTEM, shipped.policies())])

    def _base(self, name: str, clause: Clause, places: list[str]) -> Profile:
        if _NAME.fullmatch(name) is None:
            raise ProfileError(f"{name!r} is no name of a profile", where=clause.place, hint="write it like base/python")
        for place in places:
            descriptor = _open_beneath(place, name + SUFFIX)
            path = f"{place}/{name}{SUFFIX}"
            if descriptor is None:
                self.dependencies.append(plancache.stat_of(path))
            else:
                return self._parse(path, self._read(path, name, clause.place, descriptor), path)
        raise ProfileError(
            f"there is no profile {name!r}",
            where=clause.place,
            why="looked in " + ", ".join(places),
            hint="enforcer policy list shows those there are",
        )

    def file(self, path: str, clause: Clause) -> bytes:
        """Read a file that a profile names (an OCI seccomp profile). Raises ProfileError at the clause."""
        return self._read(path, f"the file {path!r}", clause.place, _open(path))

    def installed(self) -> list[Profile]:
        """Return every profile that says which images it is for."""
        profiles = []
        for place in self.places:
            self.dependencies.append(plancache.stat_of(place))
            for name in sorted(os.listdir(place)) if os.path.isdir(place) else []:
                if name.endswith(SUFFIX):
                    profile = self.profile(f"{place}/{name}")
                    profiles += [profile] if profile.match else []
        return profiles

    def default(self) -> Profile:
        """Return the profile for images that no other one matches: `default.yaml` of the first place that has it."""
        for place in self.places:
            path = f"{place}/default{SUFFIX}"
            if os.path.exists(path):
                return self.profile(path)
            self.dependencies.append(plancache.stat_of(path))
        looked = "looked in " + ", ".join(self.places)
        raise ProfileError("there is no default profile", why=looked, hint="name one: --policy FILE")

    def ceiling(self) -> Profile | None:
        """Return the site's ceiling, if there is one. Raises ProfileError when others than root could have written it."""
        try:
            status = os.stat(CEILING, follow_symlinks=False)
        except FileNotFoundError:
            self.dependencies.append(plancache.stat_of(CEILING))
            return None
        if status.st_uid != 0 or status.st_mode & 0o022:
            raise ProfileError(
                "the site ceiling can be written by others than root",
                where=CEILING,
                why="it bounds what everyone may run, so it must be root's alone",
                hint=f"chown root {CEILING} && chmod 0644 {CEILING}",
            )
        self.dependencies.append(plancache.stat_of(CEILING))  # its owner and mode count, not only its content
        return self.profile(CEILING)

    def _parse(self, path: str, content: bytes, shown: str) -> Profile:
        if path not in self._profiles:
            self._profiles[path] = replace(parse_profile(content, shown), directory=os.path.dirname(path))
        return self._profiles[path]

    def _read(self, path: str, what: str, where: str, descriptor: int | None) -> bytes:
        if descriptor is None:
            raise ProfileError(f"{what} is not there", where=where or path, hint="see `enforcer policy list`")
        try:
            content = os.read(descriptor, _LIMIT + 1)
        except OSError as error:
            raise ProfileError(f"{what} cannot be read: {error.strerror}", where=where or path) from error
        finally:
            os.close(descriptor)
        self.dependencies.append(plancache.content_dependency(os.path.abspath(path), content))
        return content


def is_name(word: str) -> bool:
    """Tell whether a word is the name of an installed profile rather than a path."""
    return _NAME.fullmatch(word) is not None and not word.endswith((SUFFIX, ".yml", ".json"))


def _walk(directory: str) -> list[str]:
    """Every profile's path beneath a directory, without following links below it."""
    if not os.path.isdir(directory):
        return []
    walked = os.walk(directory, onerror=None, followlinks=False)
    return sorted(f"{above}/{name}" for above, _, names in walked for name in names if name.endswith(SUFFIX))


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProfileError(f"the file cannot be opened: {error.strerror}", where=path) from error


def _open_beneath(place: str, name: str) -> int | None:
    try:
        directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return syscalls.openat2(directory, name, os.O_RDONLY, resolve=_BENEATH)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProfileError(f"the profile cannot be opened: {error.strerror}", where=f"{place}/{name}") from error
    finally:
        os.close(directory)
