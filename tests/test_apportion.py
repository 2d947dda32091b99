"""Shares add up, and are as equal, or as proportional, as whole numbers can be."""

from hypothesis import given
from hypothesis import strategies as st

from edgesim.apportion import even_shares, largest_remainder


@given(st.integers(0, 500), st.integers(1, 40))
def test_even_shares_are_those_of_equal_weights(total: int, parts: int) -> None:
    shares = even_shares(total, parts)
    assert shares == largest_remainder(total, [1] * parts)
    assert sum(shares) == total
    assert max(shares) - min(shares) <= 1
    assert shares == tuple(sorted(shares, reverse=True))
