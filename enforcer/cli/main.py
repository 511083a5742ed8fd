"""The command `enforcer`."""

from __future__ import annotations

import sys

import enforcer


def main(argv: list[str]) -> int:
    """Run one command; returns its exit code."""
    if argv == ["--version"]:
        print(f"enforcer {enforcer.__version__}")
        return 0
    print("enforcer: no command yet", file=sys.stderr)
    return 125
