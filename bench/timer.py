"""A small process that starts commands and times them, so that each command is started from the same place.

One JSON object a line on standard input: "argv", "environment" (added to this process's own); one a line on standard output:
"ns" from before the start to after the end, "exit" (128+n after signal n), "error" (what it wrote to standard error).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time


def measure(argv: list[str], environment: dict[str, str]) -> dict[str, int | str]:
    """Start `argv`, an absolute path first, and wait for its end."""
    environment = {**os.environ, **environment}
    with tempfile.TemporaryFile() as errors:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
        ]
        before = time.perf_counter_ns()
        pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        elapsed = time.perf_counter_ns() - before
        errors.seek(0)
        code = os.waitstatus_to_exitcode(status)
        return {"ns": elapsed, "exit": code if code >= 0 else 128 - code, "error": errors.read().decode(errors="replace")}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(measure(**json.loads(line))), flush=True)
