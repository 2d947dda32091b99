"""Do a host of Python 3.10 with an old PyTorch and one of this Python with ours work in one group, and say so?"""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import ssh_lab
from old_python import old_python, said
from ssh_lab import lab
from test_ssh_testbed import assignment, two_hosts

from edgesim.trace import Trace
from real_runtime.data import DataSpec
from real_runtime.testbeds.opening import open_testbed

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.netns,
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
VERSIONS = "from importlib.metadata import version as of; import sys; print(sys.version.split()[0], of('torch'))"


@pytest.fixture
def board() -> tuple[Path, str, str]:
    """A Python 3.10 that has what ranks load, and its versions."""
    python = old_python()
    if python is None or len(versions := said(python, "-c", VERSIONS).split()) != 2:
        pytest.skip("no Python 3.10 with PyTorch (name one, outside /tmp: EDGESIM_PYTHON_3_10=/path/to/python3.10)")
    return python, versions[0], versions[1]


def test_hosts_of_different_versions_learn_together_and_the_trace_says_so(
    board: tuple[Path, str, str], tmp_path: Path
) -> None:
    python, version, torch = board
    # Python's own sources are not alike; the repository's are, and each host of the lab sees them.
    work = replace(assignment(3), data=DataSpec(kind="text", folder=str(Path(__file__).parents[1] / "edgesim")))
    with lab(tmp_path, 2) as two:
        with open_testbed(two.spec(), two_hosts()) as testbed:
            alike = testbed.execute(work)
        assert alike.traces[0].notes == ()
        hosts = two.hosts(h1=two.host(1, python=str(python)))
        with open_testbed(two.spec(hosts=hosts), two_hosts()) as testbed:
            mixed = testbed.execute(work)
            assert f"{torch} on h1" in testbed.description
        with (
            pytest.raises(ValueError, match=f"are not alike: {re.escape(version)} on h1; .* on h0 "),
            open_testbed(two.spec(hosts=hosts), two_hosts(), DataSpec(kind="text")),
        ):
            raise AssertionError("ranks have started")
        assert mixed.losses == pytest.approx(alike.losses, rel=1e-5)
        trace = mixed.traces[0]
        assert trace.notes[0].startswith(f"different versions of Python: {version} on h1; ")
        assert any(note.startswith("different versions of PyTorch: ") and torch in note for note in trace.notes)
        assert Trace.from_lines(trace.to_lines(), trace.schedule).notes == trace.notes
        assert two.nothing_is_left() == []
