"""What can stand where on the command line, as the completions of all shells need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enforcer.cli.options import Command, Option

PROGRAM = "enforcer"
SCHEMES = ("host", "rootfs:", "oci:", "oci-archive:", "docker-archive:")
# The word that the help shows for a value → what it is. Any other value cannot be completed.
_KINDS = {
    "FILE": "file",
    "PATH": "file",
    "NAME|FILE": "profile",
    "[NAME|FILE]": "profile",
    "A B": "profile",
    "IMAGE": "image",
    "IMAGE [CMD…]": "image",
}
PROFILE_OPTIONS = ("from",)  # their NAME is a profile's


@dataclass(frozen=True, slots=True)
class Entry:
    """One command. words: how it is named. about: one line. command: its table; None for one that only has subcommands."""

    words: tuple[str, ...]
    about: str
    command: Command | None

    @property
    def options(self) -> tuple[Option, ...]:
        """Its options, --help aside."""
        return self.command.options if self.command else ()

    @property
    def kind(self) -> str:
        """What its words are: "file", "profile", "image", choices joined by spaces, or "" when they cannot be completed."""
        words = self.command.words if self.command else ""
        return " ".join(words.split("|")) if words.islower() else _KINDS.get(words, "")


def kind_of(option: Option) -> str:
    """What an option's value is, in the same words; "-" when it takes none."""
    if not option.value:
        return "-"
    if option.choices:
        return " ".join(option.choices)
    return "profile" if option.long in PROFILE_OPTIONS else _KINDS.get(option.value, "")


def below(entries: tuple[Entry, ...], words: tuple[str, ...]) -> list[Entry]:
    """The commands that can follow these words."""
    return [entry for entry in entries if entry.words[:-1] == words]
