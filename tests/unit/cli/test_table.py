from __future__ import annotations

from enforcer.cli.table import aligned, table


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("NAME", "ABOUT"), [("a", "x y"), ("longer", "")]) == ["NAME    ABOUT", "a       x y", "longer"]


def test_nothing_but_a_head() -> None:
    assert table(("NAME",), []) == ["NAME"]
    assert aligned([("a", "b")]) == ["a  b"]
