from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from enforcer.cli.policy_grants import flow
from enforcer.policy.parse import parse_profile

VALUES = st.recursive(
    st.integers(0, 2**64 - 1)
    | st.booleans()
    | st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_a_value_is_read_back_as_it_was(value: object) -> None:
    text = f"x: {flow(value)}"
    assert yaml.load(text, Loader=_Core) == {"x": value}


class _Core(yaml.SafeLoader):
    """YAML with the words of JSON only, as the profile language has them."""


_Core.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in {"tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if first in "tfnTFN"
} | {digit: yaml.SafeLoader.yaml_implicit_resolvers[digit] for digit in "0123456789"}


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "null", "true", "1e3", "0x10", "a: b", "a #b", "", "~", "-", "*a", "22:22"]
)
def test_words_that_yaml_may_take_for_something_else_stay_strings(word: str) -> None:
    text = f"profile: enforcer/v1\nname: x\ndescription: {flow(word)}\n"
    assert parse_profile(text.encode(), "x").description == word


def test_masks_are_hexadecimal() -> None:
    assert flow({"mask": 0x7E020000, "index": 0}) == "{mask: 0x7e020000, index: 0}"
    assert json.dumps(1) == flow(1)
