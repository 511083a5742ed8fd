"""One tree of errors. Each says what was refused, where, why, and what to do about it.

Only `cli` prints them (`render`), and only `cli` turns them into exit codes. This module is on the launch path: it imports
nothing.
"""

from __future__ import annotations


class EnforcerError(Exception):
    """Something was refused.

    what:    one sentence, no full stop: "unknown key 'sycalls'".
    where:   a place: "web.yaml:3:1", "step 41 mount_setattr", "/etc/enforcer/ceiling.yaml"; empty when there is none.
    why:     the rule or the kernel's answer behind it; empty when `what` says it all.
    hint:    what to do now, as a sentence or a command.
    excerpt: source line and caret, already laid out, printed between the sentence and the reason.
    """

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "", excerpt: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint
        self.excerpt = excerpt

    def render(self) -> str:
        """Text for a person: several lines, no trailing newline."""
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.excerpt:
            lines.extend("  " + line for line in self.excerpt.splitlines())
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


class UsageError(EnforcerError):
    """The command line asks for something that does not exist."""


class ProfileError(EnforcerError):
    """A profile, base, ceiling or match is not what the language allows."""


class ImageError(EnforcerError):
    """An image cannot be found, read, verified or unpacked."""


class PlanError(EnforcerError):
    """A policy cannot be enforced as written for this image on this host: the run refuses (profile.md, rule 5)."""


class HostError(EnforcerError):
    """The host lacks something, or answers in a way we do not trust."""


class LaunchError(EnforcerError):
    """A step of the launch program failed: the payload never started.

    errno: the kernel's error number of the failed step, 0 when the step did not come from the kernel.
    """

    def __init__(self, what: str, *, errno: int = 0, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, why=why, hint=hint)
        self.errno = errno
