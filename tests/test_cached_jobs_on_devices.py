"""Fine-tuning from an activation cache on real ranks: what is learnt is what one device learns without any cache."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cached_device_jobs import EPOCHS, ITERATIONS, played, training, undisturbed
from device_jobs import FRACTIONS, four_hosts
from tuned_models import tuned

from edgesim.cached_outputs import Storage
from edgesim.errors import RunError
from edgesim.job import Activity
from edgesim.scenario import Loss, Moment
from edgesim.schedule import DISK, Op
from real_runtime.carrying.checkpoints import newest
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed
from real_runtime.weights.tensor_files import load_tensors

pytestmark = [pytest.mark.xdist_group("testbed"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with open_testbed(TestbedSpec(fractions=FRACTIONS), four_hosts()) as opened:
        yield opened


@pytest.mark.parametrize(
    ("family", "cuts", "groups", "shares"),
    [
        ("t5", [0, 2, 4], [[0, 1], [2], [3]], [[3, 1], [4], [4]]),
        ("bert", [0, 2], [[0, 1], [2]], [[1, 3], [4]]),
        ("bart", [0, 3], [[1], [0]], [[4], [4]]),
    ],
    ids=["T5", "BERT", "BART"],
)
def test_epochs_from_the_cache_learn_what_one_device_learns_without_it(
    family: str, cuts: list[int], groups: list[list[int]], shares: list[list[int]], testbed: Testbed, tmp_path: Path
) -> None:
    model = tuned(family, "parallel_adapters")
    trace = played(testbed, training(model, cuts, groups, shares), tmp_path)
    assert list(trace.losses) == pytest.approx(undisturbed(model), rel=1e-5)
    moved = next(trace.of(Activity.MIGRATION))
    assert moved.trace is not None
    assert {task.op for task in moved.trace.schedule} >= {Op.SEND, Op.RECV, *DISK}
    later = [span for span in trace.of(Activity.TRAINING) if span.first >= ITERATIONS]
    assert len(later) == (EPOCHS - 1) * ITERATIONS
    assert all(span.model is not None and span.model.hyper["cached"] for span in later)


@pytest.mark.parametrize(("storage", "within"), [(Storage.FP16, 1e-3), (Storage.INT8, 3e-2)], ids=str)
def test_a_cache_of_fewer_bytes_costs_as_much_exactness_as_it_says(
    storage: Storage, within: float, testbed: Testbed, tmp_path: Path
) -> None:
    model = tuned("bert", "parallel_adapters")
    trace = played(testbed, training(model, [0, 2], [[0, 1], [2]], [[1, 3], [4]]), tmp_path, storage=storage)
    assert list(trace.losses) == pytest.approx(undisturbed(model), rel=within)


def weights_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    shards = (load_tensors(path) for path in sorted(checkpoint.glob("*.safetensors")))
    return {name: tensor for shard in shards for name, tensor in shard.items()}


@pytest.mark.parametrize(
    ("ends_in", "version"),
    [(ITERATIONS - 1, 1), (ITERATIONS + 1, ITERATIONS), (ITERATIONS + 3, ITERATIONS + 2)],
    ids=["in the first epoch", "between epochs", "in a later epoch"],
)
def test_a_job_that_was_ended_goes_on_from_its_checkpoint_and_its_caches_to_the_same_bits(
    ends_in: int, version: int, testbed: Testbed, tmp_path: Path
) -> None:
    asked = training(tuned("bert", "parallel_adapters"), [0, 2], [[0, 1], [2]], [[1, 3], [4]])
    whole = played(testbed, asked, tmp_path / "whole", checkpoints=tmp_path / "of whole")
    caches, checkpoints = tmp_path / "caches", tmp_path / "checkpoints"
    lost = Loss(rank=2, when=Moment(iteration=ends_in))
    with pytest.raises(RunError, match="rank 2 was killed by SIGKILL"):
        played(testbed, asked, caches, events=[lost], checkpoints=checkpoints)
    resumed = played(testbed, asked, caches, checkpoints=checkpoints, resume=checkpoints / f"version-{version}")
    assert resumed.losses == whole.losses[version:]
    ends = [weights_of(newest(folder) or folder) for folder in (tmp_path / "of whole", checkpoints)]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
