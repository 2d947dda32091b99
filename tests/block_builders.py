"""Transformers, plans and schedules for tests of ranks that divide blocks: small, with sizes that no two share."""

from collections.abc import Sequence
from math import inf

from builders import device, switched, workload

from edgesim.cluster import Cluster, Network
from edgesim.model import BlockKind, Model
from edgesim.plan import Plan, Stage
from edgesim.profile import estimate
from edgesim.schedule import Schedule
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_model import hybrid_model
from edgesim.strategies.sequence import sequence
from edgesim.strategies.tensor import tensor
from edgesim.trace import Trace
from edgesim.workload import Purpose, Workload
from edgesim.zoo.bart import bart
from edgesim.zoo.bert import bert
from edgesim.zoo.gpt2 import gpt2
from edgesim.zoo.llama import llama
from edgesim.zoo.t5 import t5

LAYERS, HIDDEN, HEADS, GROUPS, COLUMNS, VOCABULARY = 2, 48, 12, 6, 20, 41
TOKENS, SAMPLES, DECODER_TOKENS, FLOAT = 24, 2, 3, 4
STRATEGIES = {"tensor": tensor, "sequence": sequence, "hybrid_model": hybrid_model}
INFER = {"purpose": Purpose.INFER}

_STACK = {"hidden": HIDDEN, "heads": HEADS, "columns": COLUMNS, "vocabulary": VOCABULARY}
_BOTH = _STACK | {"encoder_layers": LAYERS, "decoder_layers": LAYERS, "decoder_tokens": DECODER_TOKENS}
MODELS = {
    "bert": bert(name="bert", layers=LAYERS, positions=64, **_STACK),
    "gpt2": gpt2(name="gpt2", layers=LAYERS, positions=64, tied=False, **_STACK),
    "llama": llama(name="llama", layers=LAYERS, positions=64, groups=GROUPS, tied=False, head_size=6, **_STACK),
    "t5": t5(name="t5", head_size=4, buckets=4, **_BOTH),
    "bart": bart(name="bart", positions=64, **_BOTH),
}
BERT, GPT2, LLAMA, T5, BART = MODELS.values()
DECODERS = {"gpt2": GPT2, "llama": LLAMA}
CHAINS = {"bert": BERT, **DECODERS}


def heads_of(model: Model) -> int:
    """How many heads, or groups that share K and V, can be divided."""
    return next(b.splits for layer in model.layers for b in layer.blocks if b.kind is BlockKind.ATTENTION)


def even(total: int, ranks: int) -> tuple[int, ...]:
    """Equal shares, the first ones larger by one where they must be."""
    return tuple(total // ranks + (i < total % ranks) for i in range(ranks))


def block_plan(
    model: Model,
    strategy: str,
    ranks: int | Sequence[int] = 2,
    *,
    heads: Sequence[int] = (),
    columns: Sequence[int] = (),
    tokens: Sequence[int] = (),
    micro_batches: int = 1,
    in_flight: int = 1,
) -> Plan:
    """One stage that divides what the strategy divides, evenly unless told."""
    members = tuple(range(ranks)) if isinstance(ranks, int) else tuple(ranks)
    n, units, own = len(members), strategy != "sequence", strategy != "tensor"
    stage = Stage(
        layers=(0, len(model.layers)),
        ranks=members,
        samples=(SAMPLES,) * n,
        in_flight=in_flight,
        heads=tuple(heads or even(heads_of(model), n)) if units else (),
        columns=tuple(columns or even(COLUMNS, n)) if units else (),
        tokens=tuple(tokens or even(TOKENS, n)) if own else (),
    )
    return Plan(
        model=model.name,
        stages=(stage,),
        micro_batches=micro_batches,
        micro_batch_samples=SAMPLES,
        planner="by hand",
    )


def asked_of(plan: Plan, **more: object) -> Workload:
    """To train in the plan's micro-batches; ``more`` says otherwise."""
    return workload(
        micro_batches=plan.micro_batches, micro_batch_samples=plan.micro_batch_samples, tokens=TOKENS, **more
    )


def write(plan: Plan, model: Model, strategy: str, *, purpose: Purpose, new_tokens: int = 0, **how: object) -> Schedule:
    """The strategy's schedule; ``how`` is its exchange and overlap."""
    return STRATEGIES[strategy](plan, model, asked_of(plan, purpose=purpose, new_tokens=new_tokens), **how)


def infer(model: Model, strategy: str, ranks: int | Sequence[int] = 2, *, new_tokens: int = 0, **more) -> Schedule:
    """The schedule of one inference; shares are those of :func:`block_plan`, the rest is the strategy's."""
    how = {name: more.pop(name) for name in ("exchange", "overlap") if name in more}
    plan = block_plan(model, strategy, ranks, **more)
    return write(plan, model, strategy, purpose=Purpose.INFER, new_tokens=new_tokens, **how)


def train(model: Model, strategy: str, ranks: int | Sequence[int] = 2, **more) -> Schedule:
    """The schedule of one training iteration, alike."""
    how = {name: more.pop(name) for name in ("exchange", "overlap") if name in more}
    return write(block_plan(model, strategy, ranks, **more), model, strategy, purpose=Purpose.TRAIN, **how)


class Seconds:
    """A profile for tests: ``cost`` says the seconds of (block, op, tokens, share); all devices are alike."""

    hash = "made up"

    def __init__(self, cost=lambda block, op, tokens, share: 0.0) -> None:
        self.cost = cost

    def block_s(self, *, device, block, op, portion) -> float:
        return self.cost(block, op, portion.tokens, portion.share)


def boards(ranks: int, network: Network | None = None, *, flop_per_s: Sequence[float] = ()) -> Cluster:
    """Boards that compute only: no time goes into moving bytes in memory."""
    devices = tuple(
        device(f"d{rank}", flop_per_s=flop_per_s[rank] if flop_per_s else 1e9, memory_bytes=inf)
        for rank in range(ranks)
    )
    return Cluster(name="boards", devices=devices, network=network or switched(ranks))


def played(schedule: Schedule, model: Model, cluster: Cluster, profile=None) -> Trace:
    """The schedule, simulated; by its FLOPs unless a profile is given."""
    profile = profile or estimate(model, cluster.devices, samples=[SAMPLES], tokens=TOKENS)
    return simulate(schedule, cluster=cluster, model=model, profile=profile, tokens=TOKENS)
