"""Do ranks that divide blocks compute what one device does, in real processes, and as the simulator's tasks say?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pytest
import torch
import transformers
from pairwise import every_pair
from runtime_builders import three_hosts
from torch import Tensor

from edgesim import Model, Plan, Workload, estimate
from edgesim.apportion import at_least_one, largest_remainder, ranges
from edgesim.cluster import Cluster, Network
from edgesim.model import with_activation_bytes
from edgesim.plan import Depth, Stage, make_stages
from edgesim.schedule import Schedule
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_model import hybrid_model
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.strategies.sequence import sequence
from edgesim.strategies.tensor import tensor
from edgesim.trace import Trace
from edgesim.zoo.architectures import BUILDERS
from real_runtime.assignment import Assignment, results_file
from real_runtime.blocks.shards import cut
from real_runtime.data import DataSpec
from real_runtime.data.samples import Source
from real_runtime.execution import Execution
from real_runtime.models import architecture, build_layers
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed
from real_runtime.weights.tensor_files import load_tensors

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(300)]

SEED, SAMPLES, TOKENS, TOLERANCE = 7, 2, 13, 1e-4
HEADS, COLUMNS, VOCABULARY = 5, 67, 263  # prime: nothing divides them
RANKS = (2, 3, 4)
SPEEDS = (5.0, 3.0, 2.0, 1.0)
NEW_TOKENS = 6
Strategy = Callable[[Plan, Model, Workload], Schedule]


def model_of(architecture: str, *, tied: bool = False) -> Model:
    more = {"groups": HEADS} if architecture == "llama" else {}
    return BUILDERS[architecture](
        name=architecture,
        layers=2,
        hidden=40,
        heads=2 * HEADS if more else HEADS,
        columns=COLUMNS,
        vocabulary=VOCABULARY,
        positions=32,
        tied=tied,
        **more,
    )


def workload(**more: object) -> Workload:
    fields = {"purpose": "infer", "batch_samples": SAMPLES, "learning_rate": 0.0, "optimiser": "sgd"} | more
    return Workload(micro_batch_samples=SAMPLES, tokens=TOKENS, **fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Way:
    """A way to divide blocks, and what its plans give shares of."""

    name: str
    strategy: Strategy
    units: bool
    tokens: bool

    def plan(self, model: Model, ranks: int, micro_batches: int = 1, in_flight: int = 1) -> Plan:
        speeds = SPEEDS[:ranks]
        stage = Stage(
            layers=(0, len(model.layers)),
            ranks=tuple(range(ranks)),
            samples=(SAMPLES,) * ranks,
            in_flight=in_flight,
            heads=at_least_one(HEADS, speeds) if self.units else (),
            columns=at_least_one(COLUMNS, speeds) if self.units else (),
            tokens=at_least_one(TOKENS, speeds[::-1]) if self.tokens else (),
        )
        return plan_of(model, (stage,), micro_batches)


def plan_of(model: Model, stages: tuple[Stage, ...], micro_batches: int = 1) -> Plan:
    samples = SAMPLES if stages[0].divides_blocks else sum(stages[0].samples)
    return Plan(
        model=model.name,
        stages=stages,
        micro_batches=micro_batches,
        micro_batch_samples=samples,
        planner="by hand",
    )


TENSOR = Way("tensor", tensor, units=True, tokens=False)
SEQUENCE = Way("sequence", sequence, units=False, tokens=True)
HYBRID = Way("hybrid without overlap", partial(hybrid_model, overlap=False), units=True, tokens=True)
OVERLAPPED = Way("hybrid with overlap", hybrid_model, units=True, tokens=True)
STARS = [
    Way("tensor, star", partial(tensor, exchange="star"), units=True, tokens=False),
    Way("sequence, star", partial(sequence, exchange="star"), units=False, tokens=True),
    Way("hybrid with overlap, star", partial(hybrid_model, exchange="star"), units=True, tokens=True),
]
RINGS = [TENSOR, SEQUENCE, HYBRID, OVERLAPPED]


def crossed(one: str, ones: Sequence[str], other: str, others: Sequence[object]) -> pytest.MarkDecorator:
    """Every pair of two axes and the number of ranks; all combinations are soaks."""
    return pytest.mark.parametrize(
        (one, other, "testbed"),
        every_pair(ones, others, RANKS),
        indirect=["testbed"],
        ids=lambda value: f"{value} ranks" if isinstance(value, int) else str(getattr(value, "name", value)),
    )


of_three = pytest.mark.parametrize("testbed", [3], indirect=True, ids=["3 ranks"])


def hosts(ranks: int) -> Cluster:
    three = three_hosts()
    network = Network.switched(
        transmit_bytes_per_s=[5e7] * ranks, latency_s=1e-4, goodput=0.956, origin="assumed", source="made up"
    )
    return Cluster(name=f"{ranks} hosts", devices=(*three.devices, three.devices[0])[:ranks], network=network)


@pytest.fixture(scope="module")
def open_of() -> Iterator[Callable[[int], Testbed]]:
    """A testbed of as many ranks as asked for: ranks take seconds to start, so each stays open for all tests."""
    with ExitStack() as stack:

        @cache
        def open_one(ranks: int) -> Testbed:
            spec = TestbedSpec(kind="loopback", deadline_s=30, fractions=(0.35,) * ranks)
            return stack.enter_context(open_testbed(spec, hosts(ranks)))

        yield open_one


@pytest.fixture
def testbed(request: pytest.FixtureRequest, open_of: Callable[[int], Testbed]) -> Testbed:
    return open_of(request.param)


def execute(
    testbed: Testbed,
    schedule: Schedule,
    model: Model,
    work: Workload,
    folder: Path,
    iterations: int = 1,
    checkpoint: Path | None = None,
) -> tuple[Execution, list[dict[str, Tensor]]]:
    """What was measured, and what each rank has at the end."""
    assignment = Assignment(
        schedule=schedule,
        model=model,
        workload=work,
        data=DataSpec(kind="text"),
        iterations=iterations,
        seed=SEED,
        results_folder=str(folder),
        checkpoint=None if checkpoint is None else str(checkpoint),
    )
    execution = testbed.execute(assignment)
    files = [results_file(folder, rank) for rank in range(len(testbed.cluster.devices))]
    return execution, [load_tensors(file) if file.exists() else {} for file in files]


def simulated(schedule: Schedule, cluster: Cluster, model: Model, work: Workload) -> Trace:
    profile = estimate(model, cluster.devices, samples=[SAMPLES], tokens=TOKENS)
    return simulate(schedule, cluster=cluster, model=model, profile=profile, tokens=TOKENS)


def assert_played_as_simulated(
    execution: Execution, schedule: Schedule, cluster: Cluster, model: Model, work: Workload
) -> None:
    """The same tasks in the same order on every stream, with the same bytes."""
    expected = simulated(schedule, cluster, model, work)
    for measured in execution.traces:
        assert measured.order() == expected.order()
        assert [span.task.nbytes for span in measured] == [span.task.nbytes for span in expected]


def inputs(model: Model, work: Workload) -> tuple[Tensor, Tensor]:
    return Source(DataSpec(kind="text"), model, work, SEED).batch(0)


@crossed("architecture", ["bert", "distilbert", "gpt2", "opt", "llama"], "way", [*RINGS, *STARS])
def test_ranks_put_out_what_one_device_does(architecture: str, way: Way, testbed: Testbed, tmp_path: Path) -> None:
    model, work = model_of(architecture), workload(batch_samples=2 * SAMPLES)
    plan = way.plan(model, len(testbed.cluster.devices), micro_batches=2)
    schedule = way.strategy(plan, model, work)
    execution, by_rank = execute(testbed, schedule, model, work, tmp_path)
    assert_played_as_simulated(execution, schedule, testbed.cluster, model, work)
    with torch.no_grad():
        expected = build_layers(model, range(len(model.layers)), seed=SEED)(inputs(model, work)[0])
    logits = torch.cat([rank["logits"] for rank in by_rank], dim=2 if way.units else 1)
    torch.testing.assert_close(logits, expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))


def trained(model: Model, work: Workload, iterations: int) -> tuple[torch.nn.Sequential, list[float]]:
    """One device's layers and losses: plain PyTorch, the whole batch at once."""
    layers, arch = build_layers(model, range(len(model.layers)), seed=SEED), architecture(model)
    optimiser = torch.optim.SGD(layers.parameters(), lr=work.learning_rate, momentum=0.9)
    source, losses = Source(DataSpec(kind="text"), model, work, SEED), []
    for iteration in range(iterations):
        ids, targets = source.batch(iteration)
        optimiser.zero_grad()
        loss = arch.loss(model.hyper, TOKENS, layers(ids), targets) / work.batch_samples
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return layers, losses


@crossed("name", ["bert", "gpt2", "llama"], "way", [TENSOR, SEQUENCE, HYBRID, *STARS])
def test_ranks_learn_what_one_device_does(name: str, way: Way, testbed: Testbed, tmp_path: Path) -> None:
    """Weights after two steps with momentum: off by less than 10^-4 of what they have moved.

    GPT-2 forwards both micro-batches before the first goes back.
    """
    model = model_of(name)
    work = workload(purpose="train", batch_samples=2 * SAMPLES, optimiser="momentum", learning_rate=0.1)
    plan = way.plan(model, len(testbed.cluster.devices), micro_batches=2, in_flight=1 + (name == "gpt2"))
    schedule = way.strategy(plan, model, work)
    execution, by_rank = execute(testbed, schedule, model, work, tmp_path, iterations=2)
    assert_played_as_simulated(execution, schedule, testbed.cluster, model, work)
    layers, losses = trained(model, work, iterations=2)
    assert execution.losses == pytest.approx(losses, rel=TOLERANCE)
    before = build_layers(model, range(len(model.layers)), seed=SEED)
    stage = plan.stages[0]
    shares = {
        name: ranges(values) if values else [None] * len(by_rank)
        for name, values in {
            "heads": stage.heads,
            "columns": stage.columns,
            "vocabulary": largest_remainder(VOCABULARY, stage.columns) if stage.columns else (),
        }.items()
    }
    for rank, weights in enumerate(by_rank):
        own = {name: pieces[rank] for name, pieces in shares.items()}
        wanted, start = cut(model, layers, **own), cut(model, before, **own)
        names = [f"{block}.{name}" for block, part in wanted.items() for name, _ in part.named_parameters()]
        assert set(weights) == set(names)
        for block, part in wanted.items():
            first = dict(start[block].named_parameters())
            for name, parameter in part.named_parameters():
                moved = float((parameter - first[name]).detach().abs().max())
                torch.testing.assert_close(
                    weights[f"{block}.{name}"], parameter.detach(), rtol=0, atol=max(TOLERANCE * moved, 1e-6)
                )


def stages_of(kind: str, model: Model, ranks: int, samples: int) -> tuple[Stage, ...]:
    """A pipeline with a stage per rank as far as layers go, or data parallelism."""
    if kind == "data":
        return make_stages(
            cuts=(0, len(model.layers)),
            groups=[range(ranks)],
            samples=[at_least_one(samples, SPEEDS[:ranks])],
            depth=Depth.ONE_F_ONE_B,
            micro_batches=1,
        )
    cuts = (*range(ranks), len(model.layers))
    return make_stages(
        cuts=cuts,
        groups=[[r] for r in range(ranks)],
        samples=[[samples]] * ranks,
        depth=Depth.ONE_F_ONE_B,
        micro_batches=1,
    )


@crossed("name", ["distilbert", "opt"], "kind", ["data", "pipeline"])
def test_replicas_and_stages_put_out_what_one_device_does(
    name: str, kind: str, testbed: Testbed, tmp_path: Path
) -> None:
    model, samples = model_of(name), 5
    work = Workload(
        purpose="infer",
        batch_samples=samples,
        micro_batch_samples=samples,
        tokens=TOKENS,
        optimiser="sgd",
        learning_rate=0,
    )
    plan = plan_of(model, stages_of(kind, model, len(testbed.cluster.devices), samples))
    execution, by_rank = execute(testbed, hybrid_pipeline(plan, model, work), model, work, tmp_path)
    with torch.no_grad():
        expected = build_layers(model, range(len(model.layers)), seed=SEED)(inputs(model, work)[0])
    logits = torch.cat([rank["logits"] for rank in by_rank if "logits" in rank])
    torch.testing.assert_close(logits, expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))
    assert execution.losses == (0.0,)


@of_three
@pytest.mark.parametrize("way", [TENSOR, OVERLAPPED], ids=lambda way: way.name)
def test_short_numbers_cross_the_network_as_they_are_kept(way: Way, testbed: Testbed, tmp_path: Path) -> None:
    """By all-reduces and by messages; how near they come is looked at in one process (test_short_numbers.py)."""
    work = workload(batch_samples=2 * SAMPLES, weight_bytes=2, activation_bytes=2)
    model = with_activation_bytes(model_of("gpt2"), 2)
    plan = way.plan(model, len(testbed.cluster.devices), micro_batches=2)
    schedule = way.strategy(plan, model, work)
    execution, by_rank = execute(testbed, schedule, model, work, tmp_path)
    assert_played_as_simulated(execution, schedule, testbed.cluster, model, work)
    with torch.no_grad():
        expected = build_layers(model, range(len(model.layers)), seed=SEED)(inputs(model, work)[0])
    logits = torch.cat([rank["logits"] for rank in by_rank], dim=2)
    assert logits.dtype is torch.bfloat16
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.03 * float(expected.abs().max()))


def library_model(model: Model) -> transformers.PreTrainedModel:
    """The same sizes as the library builds it; weights wide enough that no two tokens are nearly as likely."""
    torch.manual_seed(SEED)
    special = {"bos_token_id": 0, "eos_token_id": VOCABULARY - 1}
    if model.architecture == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=32,
            n_embd=40,
            n_layer=2,
            n_head=HEADS,
            n_inner=COLUMNS,
            initializer_range=0.5,
            **special,
        )
        return transformers.GPT2LMHeadModel(config)
    if model.architecture == "opt":
        config = transformers.OPTConfig(
            vocab_size=VOCABULARY,
            hidden_size=40,
            num_hidden_layers=2,
            ffn_dim=COLUMNS,
            num_attention_heads=HEADS,
            max_position_embeddings=32,
            word_embed_proj_dim=40,
            init_std=0.5,
            pad_token_id=1,
            **special,
        )
        return transformers.OPTForCausalLM(config)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=40,
        intermediate_size=COLUMNS,
        num_hidden_layers=2,
        num_key_value_heads=HEADS,
        num_attention_heads=2 * HEADS,
        max_position_embeddings=32,
        initializer_range=0.5,
        **special,
    )
    return transformers.LlamaForCausalLM(config)


@crossed("name", ["gpt2", "opt", "llama"], "way", [*RINGS, *STARS])
def test_ranks_generate_the_library_s_greedy_tokens(name: str, way: Way, testbed: Testbed, tmp_path: Path) -> None:
    """From a checkpoint folder, tied weights included."""
    model, work = model_of(name, tied=name != "llama"), workload(new_tokens=NEW_TOKENS)
    library = library_model(model).eval()
    library.save_pretrained(tmp_path / "checkpoint")
    ids, _ = inputs(model, work)
    expected = library.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        eos_token_id=None,
        pad_token_id=1,
    )[:, TOKENS:]
    schedule = way.strategy(way.plan(model, len(testbed.cluster.devices)), model, work)
    execution, by_rank = execute(testbed, schedule, model, work, tmp_path, checkpoint=tmp_path / "checkpoint")
    assert_played_as_simulated(execution, schedule, testbed.cluster, model, work)
    chosen = [rank["chosen"] for rank in by_rank if "chosen" in rank]
    assert len(chosen) == (len(by_rank) if way.units else 1)  # where weights are not divided, one rank goes on alone
    for tokens in chosen:
        assert torch.equal(tokens, expected)


@of_three
def test_a_rehearsal_knows_the_seconds_of_all_that_a_plan_computes(testbed: Testbed, tmp_path: Path) -> None:
    model, work = model_of("gpt2"), workload(new_tokens=3)
    schedule = OVERLAPPED.strategy(OVERLAPPED.plan(model, len(testbed.cluster.devices)), model, work)
    assignment = Assignment(
        schedule=schedule, model=model, workload=work, data=DataSpec(kind="text"), iterations=1, seed=SEED
    )
    profile = testbed.rehearse(assignment, repeats=2)
    assert {point.device for point in profile.points} == {device.name for device in testbed.cluster.devices}
    trace = simulate(schedule, cluster=testbed.cluster, model=model, profile=profile, tokens=TOKENS)
    assert trace.makespan_s > 0
    assert all(point.seconds > 0 for point in profile.points)


@of_three
def test_schedules_of_whole_layers_are_not_rehearsed(testbed: Testbed) -> None:
    model = model_of("bert")
    plan = plan_of(model, stages_of("data", model, len(testbed.cluster.devices), 5))
    work = Workload(
        purpose="infer", batch_samples=5, micro_batch_samples=5, tokens=TOKENS, optimiser="sgd", learning_rate=0
    )
    assignment = Assignment(
        schedule=hybrid_pipeline(plan, model, work),
        model=model,
        workload=work,
        data=DataSpec(kind="text"),
        iterations=1,
        seed=SEED,
    )
    with pytest.raises(ValueError, match="only schedules of blocks are rehearsed"):
        testbed.rehearse(assignment, repeats=1)
