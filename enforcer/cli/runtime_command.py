"""The command `enforcer-runtime`, which engines call in place of runc.

This version has no OCI runtime command line. The command says so and fails, so that an engine which was pointed at it starts
nothing: a container that runs unconfined by mistake would be worse than one that does not run.
"""

from __future__ import annotations

import sys

import enforcer
from enforcer.errors import HostError

EXIT_ENFORCER = 125


def main(_argv: list[str]) -> int:
    """Refuse whatever is asked, `--version` and `features` included, with 125, Docker's code for failures of its own."""
    refusal = HostError(
        f"enforcer-runtime is not available in this version: enforcer {enforcer.__version__} cannot serve an engine",
        hint="`enforcer run IMAGE` runs a container without an engine",
    )
    print(refusal.render(), file=sys.stderr)
    return EXIT_ENFORCER
