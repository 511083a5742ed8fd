"""Prints what came of the two runs."""

from __future__ import annotations

import csv
import os
import sys
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from demo.judge import judge

if TYPE_CHECKING:
    from pathlib import Path

    from demo.judge import Plan
    from demo.session import Ended

_WIDTHS = (49, 18, 13, 14, 10)
_RED, _GREEN, _BOLD, _PLAIN = "31", "32", "1", "0"
_INVOICE_LINES = 8
_KNOWN = """\
How it is known: seccomp, when the plan's filter refuses that very call with its arguments; otherwise from
the errno, for things that are there when the same call is made unconfined. The first refusal is named; most
attempts would have met several. "Unconfined" is the same program as root, without enforcer. Both runs took
place in one disposable copy of this machine: decoy secrets and services, mounts, processes and a network of
its own. What the profile grants is not refused: the dependency can spoil the invoices, and fill their
directory."""


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt in both runs.

    said: what the payload told under enforcer, {} when it did not get that far. control: whether it reaches its aim unconfined,
    why_not: what it told there otherwise. mechanism, by: what refused it, "" when nothing did.
    """

    group: str
    name: str
    said: dict[str, Any]
    reached: bool
    control: bool
    why_not: str
    mechanism: str
    by: str

    @property
    def counted(self) -> bool:
        """What reaches nothing even unconfined shows nothing."""
        return self.control or self.reached

    @property
    def state(self) -> str:
        """The word for the column "enforcer"."""
        if self.reached:
            return "REACHED"
        return (self.said["how_far"] or "refused") if self.said else "not tried"


def show(confined: Ended, unconfined: Ended, plan: Plan, orders: Path) -> int:
    """Print the application's output, the table and the summary. Returns 0 when all is as it should be, else 1."""
    worked = _application(confined, orders)
    rows = [_row(name, confined, unconfined, plan) for name in {**confined.attempts, **unconfined.attempts}]
    _table(rows)
    _explain(rows)
    if not any(row.control for row in rows):
        print(_coloured("The control reached nothing, so nothing is shown. It printed:", _RED), unconfined.output)
    return _summary(rows, worked=worked)


def _row(name: str, confined: Ended, unconfined: Ended, plan: Plan) -> Row:
    said, control = confined.attempts.get(name, {}), unconfined.attempts.get(name, {})
    reached = bool(said.get("reached")) or name in confined.evidence
    mechanism, by = judge(said, plan) if said and not reached else ("", "")
    return Row(
        group=(said or control)["group"],
        name=(said or control)["name"],
        said=said,
        reached=reached,
        control=bool(control.get("reached")) or name in unconfined.evidence,
        why_not=control.get("impossible") or control.get("answer") or "not tried",
        mechanism=mechanism,
        by=by,
    )


def _application(run: Ended, orders: Path) -> bool:
    """Print what the application did. True when its invoices add up to what was ordered."""
    print(_coloured("The application, under enforcer:", _BOLD), run.output.strip() or "(nothing)")
    for line in run.invoices.splitlines()[:_INVOICE_LINES]:
        print(f"    {line}".rstrip())
    with orders.open(newline="", encoding="utf-8") as file:
        ordered = sum(int(row["quantity"]) * Decimal(row["unit_price"]) for row in csv.DictReader(file))
    totals = [line.split()[1].replace(",", "") for line in run.invoices.splitlines() if line.startswith("Total ")]
    return run.code == 0 and sum(map(Decimal, totals)) == ordered


def _table(rows: list[Row]) -> None:
    print()
    print(_coloured("Its dependency, textformat, meanwhile:", _BOLD))
    _line(("attempt", "refused by", "answer", "enforcer", "unconfined"), _BOLD)
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            print(_coloured(group, _BOLD))
        answer = "" if row.reached else row.said.get("answer", "")
        control = "reached" if row.control else "not here"
        _line((f"  {row.name}", row.mechanism, answer, row.state, control), _RED if row.reached else _PLAIN)


def _line(cells: tuple[str, ...], colour: str) -> None:
    text = " ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    print(_coloured(text.rstrip(), colour))


def _explain(rows: list[Row]) -> None:
    counts = Counter((row.mechanism, row.by) for row in rows if row.counted and row.mechanism)
    print()
    print(_coloured("What refused them, in the words of enforcer plan --format json:", _BOLD))
    for (mechanism, by), count in counts.most_common():
        print(f"  {count:3} {mechanism:18} {by}".rstrip())
    print(_KNOWN)
    print()


def _summary(rows: list[Row], *, worked: bool) -> int:
    counted = [row for row in rows if row.counted]
    reached = [row for row in counted if row.reached]
    left_out = [f"  {row.name} ({row.why_not})" for row in rows if not row.counted]
    if left_out:
        print("Not counted, since they reach nothing on this machine even unconfined:", *left_out, sep="\n")
    if not worked:
        print(_coloured("The application did not produce its invoices.", _RED))
    good = bool(counted) and not reached and worked and all(row.said for row in rows)
    print(_coloured(f"reached {len(reached)} of {len(counted)}", _GREEN if good else _RED))
    return 0 if good else 1


def _coloured(text: str, colour: str) -> str:
    """Colours on a terminal only, and not with NO_COLOR (no-color.org)."""
    if colour == _PLAIN or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"
