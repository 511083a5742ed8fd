"""Measures enforcer and its peers in one run, in interleaved rounds, and prints medians and ratios.

usage: python -m bench.run [--rounds N] [--policy FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bench import memory, timer
from bench.bundle import make_rootfs
from bench.peers import Peer, enforcer_command, peers

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS, BASE = "enforcer run", "runc run"
WARM_UP = 3
TIME_LIMIT, MEMORY_LIMIT = 0.8, 16 * 1024  # of runc's wall time; KiB of PSS
SLEEP = ["/bin/sleep", "60"]


@dataclass(slots=True)
class Result:
    """milliseconds of each round; failure: why there are none."""

    peer: Peer
    milliseconds: list[float] = field(default_factory=list)
    memory: memory.Memory | None = None
    failure: str = ""

    @property
    def median(self) -> float:
        """Milliseconds, nan when nothing was measured."""
        return statistics.median(self.milliseconds) if self.milliseconds else float("nan")


class Timers:
    """One timer process for each place to start from: each user, and each view of the cgroup tree.

    crun 1.8 refuses v1 controllers beside an empty v2 tree, so it is started where the latter is not seen.
    """

    def __init__(self) -> None:
        self._timers: dict[tuple[bool, str], subprocess.Popen[str]] = {}

    def measure(self, peer: Peer) -> dict[str, int | str]:
        """As timer.measure."""
        place = peer.unified, peer.user
        if place not in self._timers:
            self._timers[place] = self._start(peer)
        requests, answers = _pipes(self._timers[place])
        peer.prepare()
        requests.write(json.dumps({"argv": peer.argv, "environment": peer.environment}) + "\n")
        requests.flush()
        answer: dict[str, int | str] = json.loads(answers.readline())
        return answer

    @staticmethod
    def _start(peer: Peer) -> subprocess.Popen[str]:
        prefix, place = peer.place()
        # A Python below /root cannot be started by others.
        python = os.path.realpath(sys.executable) if peer.user == "root" else "/usr/bin/python3"
        command = [*prefix, python, "-I", "-S", "-c", Path(timer.__file__).read_text()]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, text=True, **streams, **place)

    def close(self) -> None:
        """End the timers."""
        for process in self._timers.values():
            process.communicate()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def measure_time(results: list[Result], rounds: int) -> None:
    """Run all peers once a round, in a new order each time, so that the machine's moods strike all alike."""
    timers = Timers()
    try:
        for number in range(WARM_UP + rounds):
            for result in random.sample(results, len(results)):
                if not result.failure:
                    _one(timers, result, keep=number >= WARM_UP)
    finally:
        timers.close()


def _one(timers: Timers, result: Result, *, keep: bool) -> None:
    if not Path(result.peer.argv[0]).exists():
        result.failure = f"{result.peer.argv[0]} is not installed"
        return
    answer = timers.measure(result.peer)
    if answer["exit"] != 0:
        lines = str(answer["error"]).strip().splitlines() or ["no message"]
        result.failure = f"exit code {answer['exit']}: {lines[0]}"
    elif keep:
        result.milliseconds.append(int(answer["ns"]) / 1e6)


def measure_memory(results: Iterable[Result], sleeping: Iterable[Peer]) -> None:
    """Fill in what stays beside a sleeping payload; what keeps no process there has none."""
    for result, peer in zip(results, sleeping, strict=True):
        if not result.failure and peer.stays:
            try:
                result.memory = memory.resident(peer, SLEEP[0])
            except TimeoutError as error:
                result.failure = str(error)


def table(results: list[Result]) -> str:
    """The results as aligned text, medians over rounds and their ratio to runc's."""
    base = next(result.median for result in results if result.peer.name == BASE)
    rows = [("", "ms", "min", f"× {BASE}", "PSS MiB", "RSS MiB", "")]
    for result in results:
        kept = result.memory
        stays = (_mebibytes(kept.pss), _mebibytes(kept.rss)) if kept else ("–", "–")
        took = (f"{result.median:.1f}", f"{min(result.milliseconds):.1f}") if result.milliseconds else ("–", "–")
        ratio = f"{result.median / base:.2f}" if result.milliseconds else "–"
        rows.append((result.peer.name, *took, ratio, *stays, result.failure or result.peer.note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:-1], widths[1:]), row[-1]]) for row in rows)


def _mebibytes(parts: tuple[int, ...]) -> str:
    """A sum of KiB, and what it is the sum of."""
    total = f"{sum(parts) / 1024:.1f}"
    return f"{total} = {' + '.join(f'{part / 1024:.1f}' for part in parts)}" if len(parts) > 1 else total


def verdicts(results: list[Result]) -> list[str]:
    """What is missed of the figures to reach, in words; empty when all are reached."""
    by_name = {result.peer.name: result for result in results}
    ours, base = by_name[OURS], by_name[BASE]
    if ours.failure or base.failure:
        return [f"{result.peer.name}: {result.failure}" for result in (ours, base) if result.failure]
    missed = []
    if ours.median > TIME_LIMIT * base.median:
        missed.append(f"wall time is {ours.median / base.median:.2f} of {BASE}'s, more than {TIME_LIMIT}")
    if ours.memory is None or sum(ours.memory.pss) > MEMORY_LIMIT:
        missed.append(f"one supervised container takes more than {MEMORY_LIMIT} KiB of PSS")
    if ours.memory is not None and not ours.memory.lean:
        missed.append(f"{ours.peer.argv[0]} starts Python with `site`: it is not installed from a wheel")
    return missed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--policy", type=Path, help="the profile that enforcer is given, instead of the default one")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    return parser.parse_args()


def main() -> int:
    """0 when the figures to reach are reached, 1 when not."""
    options = _options()
    # Not in /tmp, which may be a tmpfs: the kernel does not map the ids of that one for a container.
    with tempfile.TemporaryDirectory(prefix="enforcer-bench-", dir="/var/tmp") as directory:
        work = Path(directory)
        os.environ |= {"ENFORCER_STORE": f"{work}/store", "ENFORCER_STATE": f"{work}/state"}
        rootfs = make_rootfs(work / "rootfs")
        results = [Result(peer) for peer in peers(work, rootfs, ["/bin/true"], options.policy)]
        measure_time(results, options.rounds)
        measure_memory(results, peers(work, rootfs, SLEEP, options.policy))
    print(table(results))
    print(f"\nmedians of {options.rounds} interleaved rounds of /bin/true")
    print(f"enforcer is {enforcer_command()}, under {options.policy or 'the default profile'}")
    print("memory of the processes beside one sleeping payload: of enforcer the supervisor and, with `init: true`, its pid 1")
    print("a detached runc or crun keeps no process: its caller (conmon, containerd-shim) does, and is not measured here")
    missed = verdicts(results)
    for sentence in missed:
        print(f"missed: {sentence}")
    if options.json:
        options.json.write_text(
            json.dumps([asdict(result) | {"median": result.median} for result in results], indent=1, default=str) + "\n"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
