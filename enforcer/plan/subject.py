"""What is launched: an image with its files, the payload's ids, and the caller's command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enforcer.oci.image import ImageConfig
    from enforcer.plan.cgroup_devices import DeviceRule
    from enforcer.plan.mounts import Sources


@dataclass(frozen=True, slots=True)
class Subject:
    """What is launched.

    reference, digest: the image. config: what it says of itself. files: where its files and the granted ones are.
    user, groups: the payload's numeric ids inside. home: of that user, by the image's passwd. device_rules: of granted devices.
    command: what the caller asked to run, () for the image's own. terminal: with a terminal of its own.
    """

    reference: str
    digest: str
    config: ImageConfig
    files: Sources
    user: tuple[int, int]
    groups: tuple[int, ...]
    home: str = "/"
    device_rules: tuple[DeviceRule, ...] = ()
    command: tuple[str, ...] = ()
    terminal: bool = False

    @property
    def arguments(self) -> list[str]:
        """The command line: the image's entrypoint, then the caller's command or the image's own (as Docker does)."""
        return [*self.config.entrypoint, *(self.command or self.config.cmd)]
