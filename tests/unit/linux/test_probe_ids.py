from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from enforcer.linux.probe_ids import BLOCK, LAST, PREFERRED, choose

EVERY_ID = range(2**32 - 1)
blocks = st.builds(lambda first, count: range(first, first + count), st.integers(0, 2**31), st.integers(1, 2**28))


def test_the_preferred_range_is_taken_where_it_is_free() -> None:
    assert choose([EVERY_ID], [range(100000, 165536)]) == (PREFERRED.start, len(PREFERRED))
    assert len(PREFERRED) >= 1024 * BLOCK


def test_a_range_that_is_given_to_someone_is_avoided() -> None:
    first, count = choose([EVERY_ID], [range(PREFERRED.start + 5, PREFERRED.start + 6)])
    assert PREFERRED.start + 5 not in range(first, first + count)
    assert count >= 1024 * BLOCK


def test_a_small_user_namespace_gives_its_largest_aligned_rest() -> None:
    assert choose([range(65536 * 4)], []) == (65536, 65536 * 3)
    assert choose([range(65536 * 4 + 10)], [range(65536 * 2 + 1, 65536 * 4)]) == (65536, 65536)


def test_a_user_namespace_without_ids_to_spare_gives_none() -> None:
    assert choose([range(65536)], []) == (0, 0)
    assert choose([range(1), range(1, 65537)], []) == (0, 0)
    assert choose([], []) == (0, 0)


@given(st.lists(blocks, max_size=8), st.lists(blocks, max_size=8))
def test_what_is_chosen_is_mapped_aligned_and_nobodys(mapped: list[range], taken: list[range]) -> None:
    first, count = choose(mapped, taken)
    assert first % BLOCK == count % BLOCK == 0
    assert first + count <= LAST
    if count:
        assert first >= BLOCK
        assert any(block.start <= first and first + count <= block.stop for block in mapped)
        assert not any(first < block.stop and block.start < first + count for block in taken)
