"""The command line: options, printing and exit codes."""

from __future__ import annotations

import os
import sys


def leave(code: int) -> None:
    """End the process with what was printed delivered, but without tearing the interpreter down, which costs a launch 4 ms."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    finally:
        os._exit(code)
