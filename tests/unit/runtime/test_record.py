from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.runtime.record import Record, decode

KEYS = st.text(st.characters(exclude_characters="\0=", exclude_categories=("Cs",)), max_size=8)
# What the file system gives as names that are not UTF-8 are surrogates (PEP 383).
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12) | st.just("\udcff/x")


@given(st.lists(st.tuples(KEYS, VALUES), min_size=1))
def test_a_record_survives_encoding(fields: list[tuple[str, str]]) -> None:
    found = decode(Record(fields).encode())
    for key, _ in fields:
        assert found.all(key) == [value for name, value in fields if name == key]
        assert found.one(key) == found.all(key)[0]


def test_keys_repeat_and_may_be_absent() -> None:
    found = decode(Record([("env", "A=1"), ("env", "B=2")]).encode())
    assert found.all("env") == ["A=1", "B=2"]
    assert (found.one("user", "0"), found.all("user")) == ("0", [])
    assert decode(b"").all("x") == []


def test_a_nul_cannot_forge_a_field() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Record([("name", "x\0uid=0")]).encode()


@given(st.binary())
def test_other_bytes_are_refused_or_are_fields(content: bytes) -> None:
    try:
        decode(content)
    except ValueError:
        assert b"=" not in content or any(b"=" not in item for item in content.split(b"\0"))
