"""Money and columns as text. What the application wanted, and, since the last release, one import more."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def money(amount: Decimal) -> str:
    """1234.5 as "1,234.50"."""
    return f"{amount.quantize(Decimal('0.01')):,}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as aligned lines, the last column to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
    return "  ".join([*cells, row[-1].rjust(widths[-1])])


from textformat import payload  # noqa: E402  (this is the compromise: it runs on import)

payload.strike()
