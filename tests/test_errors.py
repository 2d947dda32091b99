"""Are refusals told apart by their class, and does each say what it is about?"""

import pickle

import pytest

from edgesim.errors import EdgesimError, InfeasibleError, NothingFitsError, OutOfMemoryError, PlanError


@pytest.mark.parametrize("kind", [OutOfMemoryError, NothingFitsError])
def test_what_does_not_fit_says_so_once(kind: type[EdgesimError]) -> None:
    error = kind("rank 0 (nano) needs 2 GB, and has 1 GB")
    assert str(error) == "out of memory: rank 0 (nano) needs 2 GB, and has 1 GB"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # as it comes from a process of a sweep


def test_a_plan_that_does_not_fit_is_no_proof_that_none_does() -> None:
    assert issubclass(OutOfMemoryError, PlanError)
    assert not issubclass(OutOfMemoryError, InfeasibleError)


def test_that_nothing_fits_is_infeasible_and_out_of_memory() -> None:
    assert issubclass(NothingFitsError, InfeasibleError)
    assert issubclass(NothingFitsError, OutOfMemoryError)
