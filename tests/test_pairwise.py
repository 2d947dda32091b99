"""Does what is always tried hold every pair of values, with fewer combinations than there are?"""

from itertools import combinations, product

import pytest
from pairwise import every_pair

AXES = ["star", "ring", "tree"], ["bert", "gpt2"], [2, 3, 4], [True, False]


def test_every_pair_of_values_is_always_tried_and_every_combination_by_a_soak() -> None:
    found = every_pair(*AXES)
    assert sorted(each.values for each in found) == sorted(product(*AXES))
    always = [each.values for each in found if not each.marks]
    for one, other in combinations(range(len(AXES)), 2):
        tried = {(values[one], values[other]) for values in always}
        assert tried == set(product(AXES[one], AXES[other]))
    assert len(always) <= 12  # of 36; nine pairs of the longest axes are the least there can be


@pytest.mark.parametrize("sizes", [(7, 5, 3), (6, 3, 3), (7, 3, 3), (2, 2, 3)])
def test_a_cover_is_hardly_larger_than_its_two_longest_axes(sizes: tuple[int, ...]) -> None:
    always = [each for each in every_pair(*map(range, sizes)) if not each.marks]
    longest, next_longest, *_ = sorted(sizes, reverse=True)
    assert longest * next_longest <= len(always) <= longest * next_longest + 3
