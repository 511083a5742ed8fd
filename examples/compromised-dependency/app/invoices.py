"""Writes one invoice for each customer of a month's orders.

    invoices.py ORDERS.csv DIRECTORY

A small program that does something useful. It imports `textformat` to align columns, as programs import things.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import textformat


def read(path: Path) -> dict[str, list[dict[str, str]]]:
    """Orders by customer, in the order of the file."""
    orders: dict[str, list[dict[str, str]]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            orders[row["customer"]].append(row)
    return orders


def price(row: dict[str, str]) -> Decimal:
    """What one order costs."""
    return int(row["quantity"]) * Decimal(row["unit_price"])


def invoice(customer: str, rows: list[dict[str, str]]) -> str:
    """One invoice, as text."""
    lines = [(row["date"], row["item"], row["quantity"], textformat.money(price(row))) for row in rows]
    total = textformat.money(sum(map(price, rows), Decimal(0)))
    return f"Invoice to {customer}\n\n{textformat.columns(lines)}\n\nTotal {total} EUR\n"


def main() -> None:
    """Write the invoices and say what was written."""
    source, target = map(Path, sys.argv[1:])
    orders = read(source)
    text = "\n".join(invoice(customer, rows) for customer, rows in sorted(orders.items()))
    (target / "invoices.txt").write_text(text, encoding="utf-8")
    total = sum((price(row) for rows in orders.values() for row in rows), Decimal(0))
    print(f"{len(orders)} invoices over {textformat.money(total)} EUR written to {target}/invoices.txt")


if __name__ == "__main__":
    main()
