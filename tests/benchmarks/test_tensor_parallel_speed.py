"""Does our tensor parallelism lose to PyTorch's? One forward pass of the same BERT-like layers on two equal processes.

Ours are the strategy's schedule and our worker; theirs is ``parallelize_module``. Both run on gloo with one thread and
on the same hosts, in turn, a few passes each; the median of the rounds' ratios counts: a busy machine slows both.
"""

from pathlib import Path
from statistics import median

import pytest
from beside_pytorch import PyTorch, our_ranks

from edgesim.plan import Plan, Stage
from edgesim.strategies.tensor import tensor
from edgesim.trace import Trace
from edgesim.units import si
from edgesim.workload import Workload
from edgesim.zoo.bert import bert
from real_runtime.assignment import Assignment
from real_runtime.data import BYTE_VOCABULARY, DataSpec
from real_runtime.testbeds import loopback, netns
from real_runtime.testbeds.testbed import Hosts

RANKS, LAYERS, HIDDEN, HEADS, COLUMNS, SAMPLES, TOKENS = 2, 4, 768, 12, 3072, 1, 128
ROUNDS, PASSES, WARM_UP = 9, 5, 2
AT_MOST = 1.05  # of PyTorch's time: assumed noise of a median; single rounds spread by 10 % and more
MODEL = bert(
    name="layers",
    layers=LAYERS,
    hidden=HIDDEN,
    heads=HEADS,
    columns=COLUMNS,
    vocabulary=BYTE_VOCABULARY,
    positions=TOKENS,
)
PEER = Path(__file__).with_name("torch_tensor_parallel.py")

pytestmark = [pytest.mark.timeout(600)]


def our_assignment() -> Assignment:
    stage = Stage(
        layers=(0, len(MODEL.layers)),
        ranks=tuple(range(RANKS)),
        samples=(SAMPLES,) * RANKS,
        in_flight=1,
        heads=(HEADS // RANKS,) * RANKS,
        columns=(COLUMNS // RANKS,) * RANKS,
    )
    plan = Plan(
        model=MODEL.name,
        stages=(stage,),
        micro_batches=1,
        micro_batch_samples=SAMPLES,
        planner="by hand",
    )
    work = Workload(
        purpose="infer",
        batch_samples=SAMPLES,
        micro_batch_samples=SAMPLES,
        tokens=TOKENS,
        optimiser="sgd",
        learning_rate=0.0,
    )
    return Assignment(
        schedule=tensor(plan, MODEL, work),
        model=MODEL,
        workload=work,
        data=DataSpec(kind="text"),
        iterations=PASSES + WARM_UP,
        seed=0,
    )


def layers_s(trace: Trace) -> float:
    """From the first task of the first layer to the end of the last one's: without embedding and head."""
    spans = [span for span in trace if span.task.block.startswith("encoder.")]
    return max(span.end_s for span in spans) - min(span.start_s for span in spans)


def compare(hosts: Hosts, folder: Path, where: str) -> float:
    """The median over all rounds of our seconds over theirs; prints both."""
    assignment, ratios, ours_s, theirs_s = our_assignment(), [], [], []
    sizes = (LAYERS, HIDDEN, HEADS, COLUMNS, SAMPLES, TOKENS)
    with (
        our_ranks(hosts, RANKS) as ours,
        PyTorch(hosts, RANKS, PEER, folder / "theirs", list(map(str, sizes))) as theirs,
    ):
        for _ in range(ROUNDS):
            ours_s.append(median([layers_s(trace) for trace in ours.execute(assignment).traces][WARM_UP:]))
            theirs_s.append(median(theirs.times_s(PASSES + WARM_UP)[WARM_UP:]))
            ratios.append(ours_s[-1] / theirs_s[-1])
    print(
        f"\n{where}: ours {median(ours_s) * 1e3:.1f} ms ({min(ours_s) * 1e3:.1f} .. {max(ours_s) * 1e3:.1f}), "
        f"PyTorch {median(theirs_s) * 1e3:.1f} ms ({min(theirs_s) * 1e3:.1f} .. {max(theirs_s) * 1e3:.1f}), "
        f"ratio {median(ratios):.3f} ({min(ratios):.3f} .. {max(ratios):.3f})"
    )
    return median(ratios)


def test_our_tensor_parallelism_is_no_slower_than_pytorchs_on_loopback(tmp_path: Path) -> None:
    with loopback.hosts() as hosts:
        assert compare(hosts, tmp_path, "loopback") <= AT_MOST


@pytest.mark.netns
@pytest.mark.parametrize("rate", ["100 Mbit/s", "1000 Mbit/s"])
def test_our_tensor_parallelism_is_no_slower_than_pytorchs_on_shaped_links(rate: str, tmp_path: Path) -> None:
    if (problem := netns.problem()) is not None:
        pytest.skip(problem)
    with netns.hosts([si(rate)] * RANKS) as hosts:
        assert compare(hosts, tmp_path, rate) <= AT_MOST
