"""How long does a request take if blocks are divided so? Phase by phase, each as long as its slowest rank.

With n ranks on a ring, whose step moves a tile in c seconds, and a product of P seconds in all, p of them per tile:

    gather or scatter       (n - 1) c;  all-reduce: 2 (n - 1) steps of an n-th part
    beside what enters      max(P, (n - 1) c + p)              the own tile is there, the others come one by one
    beside what leaves      max(P, (n - 1) c + p, P - p + c)   the own tile is computed last, the others are sent on
    iteration               Σ over phases of max over ranks of seconds, and exchanges

(Galaxy, arXiv 2405.17245, tile-based overlap.) c is that of the largest tile and of the slowest hop, products are those
of equal tiles; a vocabulary is divided exactly as columns are. What idle token buckets let through at once
(``burst_bytes``) is not counted. A gather is a barrier here; the simulator lets a slow rank, for whom all has come
already, go on at once. So this is long for sequence parallelism among unequal ranks (seen: 4 to 11 % in Galaxy's
environments D and F), and close to the simulator for the others (within 0.1 % and, with equal tokens, about 1 %).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgesim.apportion import even_shares
from edgesim.block_passes.division import divided_text
from edgesim.cluster import Network, Resource, Topology
from edgesim.errors import PlanError
from edgesim.model import SplitBy
from edgesim.plan import Plan
from edgesim.planners.cost_models.phase_counts import phases
from edgesim.planners.cost_models.phases import BlockPhase, Computation, RingRounds
from edgesim.planners.problem import Problem
from edgesim.profile import UPDATE, Portion
from edgesim.ring import ring_steps

Row = tuple[float, int]  # seconds, and how many steps of the ring come on top


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """How long the steps of a ring of ranks take; ``on_air``, all tiles of a step travel one after the other.

    Beside its bytes a step needs ``message_s`` where it is a message, and ``reduce_s`` in an all-reduce, which is
    handed over once.
    """

    ranks: int
    seconds_per_byte: float
    message_s: float
    reduce_s: float
    on_air: bool

    def step_s(self, exchange: RingRounds, *, largest: float, tokens: int) -> float:
        """Return the seconds of a step, where the largest tile has ``largest`` of all ``tokens``."""
        tile = tokens / self.ranks if self.on_air else largest
        nbytes = exchange.fixed_bytes + exchange.shared_bytes / self.ranks + exchange.token_bytes * tile
        return (self.reduce_s if exchange.rounds == 2 else self.message_s) + nbytes * self.seconds_per_byte


def ring(network: Network, ranks: Sequence[int]) -> Ring:
    """Return the ring of these ranks, in this order; the fullest NIC, link or radio channel sets its pace."""
    hops = list(pairwise((*ranks, ranks[0]))) if len(ranks) > 1 else []
    load: defaultdict[Resource, float] = defaultdict(float)
    for source, destination in hops:
        for resource, seconds in network.hops(source, destination):
            load[resource] += seconds
        for resource, seconds in network.hops(destination, source) if network.acknowledgement else ():
            load[resource] += network.acknowledgement * seconds
    return Ring(
        ranks=len(ranks),
        seconds_per_byte=max(load.values(), default=0.0),
        message_s=max((network.message_delay_s(a, b) for a, b in hops), default=0.0),
        reduce_s=network.step_delay_s(hops) + 2 * network.hand_over_s / max(1, ring_steps(len(ranks))),
        on_air=network.topology is Topology.RADIO,
    )


class BlockCosts:
    """Seconds of a problem's phases at any share, remembered; ``heads`` and ``columns`` are how many there are."""

    def __init__(self, problem: Problem, *, heads: int, columns: int) -> None:
        self.problem = problem
        self.totals = {SplitBy.HEADS: heads, SplitBy.COLUMNS: columns, SplitBy.TOKENS: problem.workload.tokens}
        self._known: dict[tuple[object, ...], dict[int, float]] = {}
        self._measured: dict[tuple[str, str, str], tuple[set[float], set[int]]] = {}  # shares, and counts of tokens
        for p in problem.profile.points:
            shares, tokens = self._measured.setdefault((p.device, p.block, p.op), (set(), set()))
            shares.add(p.share)
            tokens.add(p.tokens)

    def work_s(self, rank: int, work: Computation, amount: int, *, tokens: int | None = None) -> float:
        """Return the seconds of a computation for so many heads, columns or tokens, or of one tile of ``tokens``.

        Raises ProfileError where the profile does not know such a share.
        """
        return self.all_s(rank, work, (amount,), tokens=tokens)[0]

    def all_s(self, rank: int, work: Computation, amounts: Iterable[int], *, tokens: int | None = None) -> list[float]:
        """Return the seconds of a computation for many amounts, as :meth:`work_s` does for one."""
        device = self.problem.cluster.devices[rank].name
        known = self._known.setdefault((device, work, tokens), {})  # the long key is looked up once for all amounts
        amounts = list(amounts)
        if missing := [amount for amount in amounts if amount not in known]:
            known.update(zip(missing, self._profiled_s(device, work, missing, tokens), strict=True))
        return [known[amount] for amount in amounts]

    def _profiled_s(
        self, device: str, work: Computation, amounts: Iterable[int], tokens: int | None
    ) -> Iterator[float]:
        """The profile's seconds of many amounts; straight from its formula, which is quick, where no table tells."""
        profile, total = self.problem.profile, self.totals.get(work.by, 1)
        samples = 0 if work.op == UPDATE else self.problem.workload.micro_batch_samples
        shares, counts = self._measured.get((device, work.block, work.op), ((), ()))
        formula = profile.estimates if profile.estimates and device in profile.estimates.devices else None
        for amount in amounts:
            count = amount if work.by is SplitBy.TOKENS else work.tokens if tokens is None else tokens
            assert count is not None, "a tile has tokens"
            share = amount / total if work.by in (SplitBy.HEADS, SplitBy.COLUMNS) else 1.0
            portion = Portion(samples, count, share, work.keys)
            told = (share in shares or len(shares) > 1) and (count in counts or len(counts) > 1)  # or looked up between
            if formula is not None and not told:
                yield formula.block_s(device, work.block, work.op, portion)
            else:
                yield profile.block_s(device=device, block=work.block, op=work.op, portion=portion)

    def rows(self, rank: int, phase: BlockPhase, amount: int, *, ranks: int) -> list[Row]:
        """Return the rows of an overlapped phase on a ring of so many ranks; the longest of them is its time."""
        between = sum(self.work_s(rank, work, amount) for work in phase.works)
        enter = self._by_tiles(rank, phase.entering, amount, ranks)
        leave = self._by_tiles(rank, phase.leaving, amount, ranks)
        before = [(enter[0], 0), (enter[1], ranks - 1)]
        behind = [(leave[0], 0), (leave[1], ranks - 1), (leave[0] - leave[1], 1)] if phase.leaving else [(0.0, 0)]
        if ranks == 1:
            before, behind = before[:1], behind[:1]
        return [(a + between + b, i + j) for a, i in before for b, j in behind]

    def _by_tiles(self, rank: int, work: Computation | None, amount: int, ranks: int) -> tuple[float, float]:
        """Seconds of a product over all tiles, and over one, the largest."""
        if work is None:
            return 0.0, 0.0
        tiles = even_shares(self.problem.workload.tokens, ranks)
        seconds = {size: self.work_s(rank, work, amount, tokens=size) for size in set(tiles)}
        return sum(seconds[size] for size in tiles), seconds[max(tiles)]


class BlockLatency:
    """Adds up :func:`block_latency_s` for many plans of one problem that all divide the same."""

    def __init__(self, problem: Problem, *, units: bool, tokens: bool, overlap: bool) -> None:
        self.problem, self.units, self.tokens = problem, units, tokens
        self.phases = phases(problem, units=units, tokens=tokens, overlap=overlap)
        self.costs: BlockCosts | None = None

    def __call__(self, plan: Plan) -> float:
        """Return the seconds of an iteration or request. Raises PlanError for a plan that divides otherwise."""
        stage = plan.stages[0]
        if len(plan.stages) != 1 or (bool(stage.heads), bool(stage.tokens)) != (self.units, self.tokens):
            divided = divided_text(units=self.units, tokens=self.tokens)
            raise PlanError(f"these phases divide {divided} in one stage, the plan says {plan} (count its own phases)")
        if self.costs is None:
            self.costs = BlockCosts(self.problem, heads=sum(stage.heads), columns=sum(stage.columns))
        nothing = (0,) * len(stage.ranks)
        amounts = [
            {SplitBy.HEADS: heads, SplitBy.COLUMNS: columns, SplitBy.TOKENS: tokens, SplitBy.NOTHING: 0}
            for heads, columns, tokens in zip(
                stage.heads or nothing, stage.columns or nothing, stage.tokens or nothing, strict=True
            )
        ]
        around, largest = ring(self.problem.cluster.network, stage.ranks), max(stage.tokens, default=0)
        whole, total_s = self.problem.workload.tokens, 0.0
        for phase, count in self.phases.items():
            step_s = around.step_s(phase.exchange, largest=largest, tokens=whole) if phase.exchange else 0.0
            total_s += count * _phase_s(self.costs, phase, stage.ranks, amounts, step_s)
        return total_s


def block_latency_s(problem: Problem, plan: Plan, *, overlap: bool) -> float:
    """Return the seconds of an iteration or request under a plan that divides blocks, with exchanges around a ring.

    ``overlap`` is the strategy's: it counts in inference where heads, columns and tokens are divided. Raises PlanError
    for another plan, ProfileError for shares that the profile does not know.
    """
    stage = plan.stages[0]
    if len(plan.stages) != 1 or not stage.divides_blocks:
        raise PlanError(f"plan {plan} does not divide blocks in one stage, so it has no phases to add up (simulate it)")
    return BlockLatency(problem, units=bool(stage.heads), tokens=bool(stage.tokens), overlap=overlap)(plan)


def _phase_s(
    costs: BlockCosts, phase: BlockPhase, ranks: Sequence[int], amounts: Sequence[dict[SplitBy, int]], step_s: float
) -> float:
    """The slowest rank's computations and the exchange behind, or the slowest rank's of both at once."""
    n = len(ranks)
    if phase.entering is not None:
        by = phase.entering.by
        return max(
            seconds + steps * step_s
            for rank, amount in zip(ranks, amounts, strict=True)
            for seconds, steps in costs.rows(rank, phase, amount[by], ranks=n)
        )
    slowest_s = max(
        sum(costs.work_s(rank, work, amount[work.by]) for work in phase.works)
        for rank, amount in zip(ranks, amounts, strict=True)
    )
    rounds = phase.exchange.rounds if phase.exchange else 0
    return slowest_s + rounds * (n - 1) * step_s
